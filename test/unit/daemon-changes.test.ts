import { describe, expect, test } from "vitest";
import { describeChanges } from "../../src/daemon/changes.js";
import type { Drift } from "../../src/daemon/drift.js";
import { managedOf } from "../../src/desire/managed.js";
import type {
	Finding,
	InterfaceSpec,
	Managed,
	Outcome,
	Step,
} from "../../src/model.js";
import type { Prepared } from "../../src/prepared.js";
import type { InterfaceReport, Report } from "../../src/report.js";
import { reportSpec } from "../../src/report.js";
import { specOf } from "./given.js";

interface Given {
	specs?: InterfaceSpec[];
	recorded?: Managed[];
	gone?: Managed[];
	outcomes?: Record<string, Outcome>;
	/** Names of links with steps; all by default. */
	changed?: string[];
	drift?: Drift[];
	findings?: Finding[];
	heardMs?: Record<string, number>;
}

/** The lines of a pass that took 83.4 ms. */
function lines({
	specs = [],
	recorded = [],
	gone = [],
	outcomes = {},
	changed,
	drift = [],
	findings = [],
	heardMs = {},
}: Given): string[] {
	const all: InterfaceReport[] = [...specs, ...gone].map((one) =>
		reportSpec(
			{ nmControlled: true, source: "metadata", ...one },
			outcomes[one.name] ?? "applied",
			0,
		),
	);
	const steps = (changed ?? all.map(({ name }) => name)).map(
		(link): Step => ({ kind: "link", link, op: "up" }),
	);
	const prepared = {
		desired: { interfaces: specs, recorded, gone },
		plan: { steps },
	} as unknown as Prepared;
	const report = {
		outcome: "applied",
		interfaces: all,
		findings,
	} as unknown as Report;
	return describeChanges(
		report,
		prepared,
		drift,
		83.4,
		(name) => heardMs[name],
	).map(({ level, link, text }) => `${level} ${link ?? "-"}: ${text}`);
}
const spec = specOf();
const record = managedOf(spec, []);
const more = ["192.168.1.62/26", "192.168.1.63/32", "192.168.1.30/32"];
const drifted = (link: string | undefined, what: string): Drift => ({
	key: what,
	link,
	what,
});

describe("one line says what was changed and why, and how long it took:", () => {
	test.each<[string, Given, string]>([
		[
			"a new NIC",
			{ specs: [spec], heardMs: { eth1: 412.6 } },
			"info eth1: configured 192.168.1.62/26 via 192.168.1.1, table 1001: plugged in (413 ms from link event to verified)",
		],
		[
			"with more addresses, and no event",
			{ specs: [specOf({ addresses: more })] },
			"info eth1: configured 192.168.1.62/26 and 2 more via 192.168.1.1, table 1001: plugged in (83 ms)",
		],
		[
			"without routing",
			{ specs: [specOf({ table: undefined })] },
			"info eth1: configured 192.168.1.62/26 via 192.168.1.1: plugged in (83 ms)",
		],
		[
			"renamed",
			{ specs: [specOf({ name: "eth2" })], recorded: [record] },
			"info eth2: configured 192.168.1.62/26 via 192.168.1.1, table 1001: was eth1 (83 ms)",
		],
		[
			"assigned",
			{ specs: [specOf({ addresses: more })], recorded: [record] },
			"info eth1: added 192.168.1.63, 192.168.1.30: assigned (83 ms)",
		],
		[
			"given by hand",
			{
				specs: [specOf({ addresses: more, source: "flags" })],
				recorded: [record],
			},
			"info eth1: added 192.168.1.63, 192.168.1.30: given (83 ms)",
		],
		[
			"released",
			{ specs: [spec], recorded: [{ ...record, addresses: more }] },
			"info eth1: removed 192.168.1.63, 192.168.1.30: released (83 ms)",
		],
		[
			"one for another",
			{
				specs: [specOf({ addresses: more.slice(0, 2) })],
				recorded: [{ ...record, addresses: [more[0] ?? "", more[2] ?? ""] }],
			},
			"info eth1: added 192.168.1.63: assigned; removed 192.168.1.30: released (83 ms)",
		],
		[
			"another gateway",
			{ specs: [specOf({ gateway: "192.168.1.2" })], recorded: [record] },
			"info eth1: changed to 192.168.1.62/26 via 192.168.1.2, table 1001: so says the metadata service (83 ms)",
		],
		[
			"unplugged",
			{ gone: [{ ...record, addresses: more }], recorded: [record] },
			"info eth1: removed 192.168.1.62, 192.168.1.63, 192.168.1.30: unplugged (83 ms)",
		],
		[
			"drift",
			{
				specs: [spec],
				recorded: [record],
				drift: [
					drifted("eth1", "a was missing"),
					drifted("eth1", "b was there"),
				],
			},
			"info eth1: put right: a was missing, b was there (83 ms)",
		],
		[
			"shared drift",
			{
				specs: [spec],
				recorded: [record],
				changed: [],
				drift: [
					drifted(undefined, "net.ipv4.conf.all.rp_filter was 1"),
					drifted("eth0", "x was 2"),
				],
			},
			"info -: put right: net.ipv4.conf.all.rp_filter was 1, x was 2 (83 ms)",
		],
		[
			"neither",
			{ specs: [spec], recorded: [record] },
			"info eth1: brought in line with the settings and the other NICs (83 ms)",
		],
	])("%s", (_, given, line) => {
		expect(lines(given)).toEqual([line]);
	});
});

test("thirty addresses are not thirty words", () => {
	const addresses = Array.from(
		{ length: 31 },
		(_, at) => `10.0.2.${at + 10}/${at === 0 ? 24 : 32}`,
	);
	const old = {
		...record,
		addresses: addresses.slice(0, 1),
		gateway: "10.0.2.1",
	};
	const [line] = lines({
		specs: [specOf({ addresses, gateway: "10.0.2.1" })],
		recorded: [old],
	});
	expect(line).toMatch(
		/^info eth1: added (\d+\.\d+\.\d+\.\d+, ){5}\S+ and 24 more: assigned/,
	);
});

test("a NIC that had nothing to change gets no line, nor one that is left alone", () => {
	const both = [spec, specOf({ name: "eth2", mac: "52:54:00:00:00:02" })];
	expect(lines({ specs: both, changed: ["eth2"] })).toHaveLength(1);
	expect(
		lines({ specs: both, outcomes: { eth1: "unchanged", eth2: "pending" } }),
	).toEqual([]);
});

test("a roll back names the NIC's own finding that is still open, else any", () => {
	const finding = (link: string, want: string, mended?: boolean): Finding => ({
		link,
		kind: "address",
		want,
		got: "nothing",
		...(mended ? { mended } : {}),
	});
	const specs = [spec];
	const outcomes = { eth1: "rolled-back" } as const;
	expect(
		lines({
			specs,
			outcomes,
			findings: [
				finding("eth0", "z"),
				finding("eth1", "x", true),
				finding("eth1", "y"),
			],
		}),
	).toEqual([
		expect.stringMatching(
			/^error eth1: rolled back: address: expected y, found nothing/,
		),
	]);
	expect(
		lines({
			specs,
			outcomes,
			findings: [finding("eth1", "x", true), finding("eth0", "z")],
		})[0],
	).toContain("expected z");
	expect(
		lines({ specs, outcomes: { eth1: "rollback-failed" }, findings: [] })[0],
	).toMatch(/^error eth1: NOT rolled back, look at the machine/);
});
