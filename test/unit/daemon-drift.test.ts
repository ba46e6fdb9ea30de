import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { initscripts } from "../../src/backends/initscripts.js";
import {
	type Drift,
	type DriftRecord,
	describeFights,
	findDrift,
	nextDriftRecords,
} from "../../src/daemon/drift.js";
import { managedOf } from "../../src/desire/managed.js";
import { desire } from "../../src/desire.js";
import type { Eni, Managed } from "../../src/model.js";
import { stepKey } from "../../src/plan/step-key.js";
import { type Means, makePlan } from "../../src/plan.js";
import type { Prepared } from "../../src/prepared.js";
import {
	cloudOf,
	type GuestText,
	observedOf,
	renderer,
	requestOf,
	settingsOf,
	specOf,
} from "./given.js";

const mac = "52:54:00:00:00:01";
const eni: Eni = {
	mac,
	addresses: ["192.168.1.62"],
	primaryAddress: "192.168.1.62",
	prefix: 26,
	gateway: "192.168.1.1",
	publicIps: {},
};
const eth1 = managedOf(specOf(), []);
const keyOf = (leaf: string) => `conf/eth1/${leaf}`;
const sysctls = {
	"conf/all/rp_filter": "0",
	"conf/default/rp_filter": "0",
	"conf/eth0/rp_filter": "0",
	[keyOf("rp_filter")]: "0",
	[keyOf("arp_ignore")]: "1",
	[keyOf("promote_secondaries")]: "1",
};

/** A guest whose eth1 stands in the kernel as recorded; its files are not there. */
function prepared(
	change: Partial<GuestText> = {},
	recorded: Partial<Managed> | null = {},
	said: Partial<Eni> = {},
): Prepared {
	const observed = observedOf({
		links: {
			eth0: {
				addresses: ["inet 10.0.1.10/24 brd 10.0.1.255 scope global eth0"],
			},
			eth1: {
				addresses: ["inet 192.168.1.62/26 brd 192.168.1.63 scope global eth1"],
			},
		},
		rules: [
			"0:	from all lookup local",
			"1001:	from 192.168.1.62 lookup 1001",
			"32766:	from all lookup main",
			"32767:	from all lookup default",
		],
		routes: [
			"default via 10.0.1.1 dev eth0",
			"192.168.1.0/26 dev eth1 proto kernel scope link src 192.168.1.62",
			"192.168.1.0/26 dev eth1 table 1001 scope link",
			"default via 192.168.1.1 dev eth1 table 1001",
		],
		sysctls,
		cloud: cloudOf({
			enis: { [mac]: { state: "ok", eni: { ...eni, ...said } } },
		}),
		state: {
			rpFilter: 0,
			interfaces: recorded
				? {
						[mac]: {
							name: "eth1",
							table: 1001,
							managed: { ...eth1, ...recorded },
						},
					}
				: {},
		},
		...change,
	});
	const desired = desire(observed, requestOf({ targets: "all" }), settingsOf());
	const means: Means = {
		backend: initscripts,
		renderer,
		restart: "auto" as const,
		calm: [],
	};
	return { observed, desired, means, plan: makePlan(observed, desired, means) };
}
const whatIn = (one: Prepared) => findDrift(one).map(({ what }) => what);
const inKernel = (one: Prepared) =>
	whatIn(one).filter((what) => !what.startsWith("/"));

describe("drift is", () => {
	test("a file of ours that is gone, by its path", () => {
		expect(whatIn(prepared()).sort()).toEqual([
			expect.stringMatching(/^\/etc\/sysconfig\/.*\/ifcfg-eth1 was missing$/),
			expect.stringMatching(/\/route-eth1 was missing$/),
			expect.stringMatching(/\/rule-eth1 was missing$/),
			"/etc/sysctl.conf was missing",
		]);
		expect(inKernel(prepared())).toEqual([]);
	});

	test.each<[string, Partial<GuestText>, string]>([
		[
			"an address that is missing",
			{
				links: {
					eth0: { addresses: ["inet 10.0.1.10/24 scope global eth0"] },
					eth1: { up: true },
				},
			},
			"192.168.1.62/26 was missing",
		],
		[
			"a link that is down",
			{
				links: {
					eth0: { addresses: ["inet 10.0.1.10/24 scope global eth0"] },
					eth1: {
						up: false,
						addresses: [
							"inet 192.168.1.62/26 brd 192.168.1.63 scope global eth1",
						],
					},
				},
			},
			"the link was down",
		],
		[
			"a rule that is missing",
			{
				rules: [
					"0:	from all lookup local",
					"32766:	from all lookup main",
					"32767:	from all lookup default",
				],
			},
			"the rule from 192.168.1.62/32 lookup 1001 priority 1001 was missing",
		],
		[
			"a value of the NIC's own",
			{ sysctls: { ...sysctls, [keyOf("arp_ignore")]: "0" } },
			"net.ipv4.conf.eth1.arp_ignore was 0",
		],
		[
			"a shared value",
			{ sysctls: { ...sysctls, "conf/all/rp_filter": "1" } },
			"net.ipv4.conf.all.rp_filter was 1",
		],
		[
			"a value of the primary's",
			{ sysctls: { ...sysctls, "conf/eth0/rp_filter": "2" } },
			"net.ipv4.conf.eth0.rp_filter was 2",
		],
	])("%s", (_, change, what) => {
		expect(inKernel(prepared(change))).toContain(what);
	});
});

describe("no drift is", () => {
	const broken = { sysctls: { ...sysctls, [keyOf("arp_ignore")]: "0" } };
	test("what a new NIC needs", () => {
		expect(findDrift(prepared(broken, null))).toEqual([]);
	});

	test("what an address assigned meanwhile needs", () => {
		const more = { addresses: ["192.168.1.62", "192.168.1.30"] };
		expect(inKernel(prepared(broken, {}, more))).toEqual([]);
	});

	test.each<[string, Partial<Managed>]>([
		["name", { name: "eth2" }],
		["gateway", { gateway: "192.168.1.2" }],
		["table", { table: 1009 }],
		["primary address", { addresses: ["192.168.1.61/26"] }],
	])("what another %s than recorded needs", (_, recorded) => {
		expect(
			findDrift(prepared(broken, recorded)).filter(
				({ link }) => link === "eth1",
			),
		).toEqual([]);
	});

	test("a setting that was changed in the config", () => {
		const one = prepared({
			sysctls: { ...sysctls, "conf/all/rp_filter": "1" },
		});
		const other = {
			...one,
			observed: {
				...one.observed,
				state: { ...one.observed.state, rpFilter: 1 as const },
			},
		};
		expect(inKernel(one)).toContain("net.ipv4.conf.all.rp_filter was 1");
		expect(inKernel(other)).toEqual([]);
	});

	test("a throw route for a container's network that has just come, or gone", () => {
		const docker = {
			links: {
				...{
					eth0: { addresses: ["inet 10.0.1.10/24 scope global eth0"] },
					eth1: {
						addresses: [
							"inet 192.168.1.62/26 brd 192.168.1.63 scope global eth1",
						],
					},
				},
				docker0: {
					devtype: "bridge",
					addresses: ["inet 172.17.0.1/16 scope global docker0"],
				},
			},
			routes: [
				"default via 10.0.1.1 dev eth0",
				"172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1",
				"192.168.1.0/26 dev eth1 proto kernel scope link src 192.168.1.62",
				"192.168.1.0/26 dev eth1 table 1001 scope link",
				"default via 192.168.1.1 dev eth1 table 1001",
			],
		};
		expect(inKernel(prepared(docker))).toEqual([]);
		// Recorded, and somebody deleted it: that is drift.
		expect(inKernel(prepared(docker, { throws: ["172.17.0.0/16"] }))).toEqual([
			"the route throw 172.17.0.0/16 table 1001 was missing",
		]);
	});

	test("anything, where there is nothing to do", () => {
		expect(findDrift({ ...prepared(broken), plan: { steps: [] } })).toEqual([]);
	});
});

const thing = (key: string): Drift => ({
	key,
	link: "eth1",
	what: `${key} was missing`,
});
const minute = 60_000;

/** Repairs at these minutes: for how many minutes each is then left alone. */
function leftAfter(minutes: number[]): number[] {
	let records: DriftRecord[] = [];
	return minutes.map((at) => {
		const next = nextDriftRecords(records, [thing("a")], at * minute);
		records = next.records;
		const [fight] = next.fights;
		return fight ? Math.round(fight.leftUntilMs / minute - at) : 0;
	});
}

describe("a fight", () => {
	test("is three times within ten minutes", () => {
		expect(leftAfter([0, 1, 2])).toEqual([0, 0, 1]);
		expect(leftAfter([0, 5, 9.9])).toEqual([0, 0, 1]);
		expect(leftAfter([0, 5, 10.1])).toEqual([0, 0, 0]);
		expect(leftAfter([0, 6, 12, 18, 24])).toEqual([0, 0, 0, 0, 0]);
	});

	test("is left alone for 1, 2, 5, then 10 minutes, without a second chance in between", () => {
		expect(leftAfter([0, 1, 2, 3.1, 5.2, 10.3, 20.4, 30.5])).toEqual([
			0, 0, 1, 2, 5, 10, 10, 10,
		]);
	});

	test("is forgotten after half an hour of peace, counted from the end of the truce", () => {
		expect(leftAfter([0, 1, 2, 33.1])).toEqual([0, 0, 1, 0]);
		expect(leftAfter([0, 1, 2, 32.9])).toEqual([0, 0, 1, 2]);
		expect(
			nextDriftRecords(
				nextDriftRecords([], [thing("a")], 0).records,
				[],
				30 * minute,
			).records,
		).toEqual([]);
	});

	test("over one thing does not touch another", () => {
		const { records } = nextDriftRecords([], [thing("a"), thing("b")], 0);
		const again = nextDriftRecords(records, [thing("a")], minute);
		const third = nextDriftRecords(
			again.records,
			[thing("a"), thing("b")],
			2 * minute,
		);
		expect(third.fights.map(({ key }) => key)).toEqual(["a"]);
		expect(third.records.find(({ key }) => key === "b")).toMatchObject({
			times: 2,
			leftUntilMs: 0,
		});
	});

	test("is said with what, how often and for how long", () => {
		const [fight] = [0, 1, 2].reduce<{
			records: DriftRecord[];
			fights: DriftRecord[];
		}>(
			(last, at) => nextDriftRecords(last.records, [thing("a")], at * minute),
			{ records: [], fights: [] },
		).fights;
		expect(describeFights([fight as DriftRecord], 2 * minute)[0]).toMatch(
			/^eth1: a was missing, 3 times by now: .* left as it is for 1 min$/,
		);
	});

	test("of hundreds of things at once keeps a bounded memory", () => {
		let records: DriftRecord[] = [];
		for (let at = 0; at < 50; at += 1)
			records = nextDriftRecords(
				records,
				Array.from({ length: 50 }, (_, index) => thing(`${at} ${index}`)),
				at * 1000,
			).records;
		expect(records).toHaveLength(2000);
		expect(records.at(-1)?.key).toBe("49 49");
	});

	test("however it goes on, costs at most three repairs in ten minutes, and fewer than eight an hour later", () => {
		fc.assert(
			fc.property(
				fc.array(fc.integer({ min: 1, max: 90 }), {
					minLength: 50,
					maxLength: 300,
				}),
				(seconds) => {
					let records: DriftRecord[] = [];
					let now = 0;
					const repairs: number[] = [];
					for (const second of seconds) {
						now += second * 1000;
						if (records.some(({ leftUntilMs }) => leftUntilMs > now)) continue;
						records = nextDriftRecords(records, [thing("a")], now).records;
						repairs.push(now);
					}
					const [first = 0] = repairs;
					const late = repairs.filter((at) => at - first > 30 * minute);
					for (const at of late)
						expect(
							late.filter((other) => other >= at && other - at < 60 * minute)
								.length,
						).toBeLessThan(8);
				},
			),
		);
	});
});

test("a step's key is the same for what puts the same thing right, and no other", () => {
	const before = { content: "x", mode: 0o644, uid: 0, gid: 0 };
	const words = ["10.0.2.63/32", "brd", "10.0.2.63", "label", "eth1"];
	const write = {
		kind: "write",
		link: "eth1",
		path: "/a",
		content: "",
		mode: 0o644,
		keepCopy: false,
	} as const;
	expect(stepKey({ ...write, before })).toBe(
		stepKey({ ...write, before: undefined }),
	);
	// Another content is another thing to want, and so is its absence.
	expect(stepKey({ ...write, before })).not.toBe(
		stepKey({ ...write, content: "other", before }),
	);
	expect(stepKey({ ...write, before })).not.toBe(
		stepKey({
			kind: "remove",
			link: "eth1",
			path: "/a",
			before,
			keepCopy: false,
		}),
	);
	expect(stepKey({ kind: "addr", link: "eth1", op: "add", words })).toBe(
		stepKey({ kind: "addr", link: "eth1", op: "add", words: ["10.0.2.63/32"] }),
	);
	expect(stepKey({ kind: "addr", link: "eth1", op: "add", words })).not.toBe(
		stepKey({ kind: "addr", link: "eth1", op: "del", words: ["10.0.2.63/32"] }),
	);
	expect(stepKey({ kind: "addr", link: "eth1", op: "add", words })).not.toBe(
		stepKey({ kind: "addr", link: "eth10", op: "add", words }),
	);
	expect(
		stepKey({
			kind: "sysctl",
			link: "eth1",
			key: "conf/eth1/rp_filter",
			value: "0",
			before: "1",
		}),
	).toBe(
		stepKey({
			kind: "sysctl",
			link: "eth1",
			key: "conf/eth1/rp_filter",
			value: "0",
			before: "2",
		}),
	);
	const rule = ["from", "10.0.2.62/32", "lookup", "1001", "priority", "1001"];
	expect(
		stepKey({ kind: "rule", link: "eth1", op: "add", words: rule }),
	).not.toBe(stepKey({ kind: "route", link: "eth1", op: "add", words: rule }));
	expect(stepKey({ kind: "link", link: "eth1", op: "up" })).not.toBe(
		stepKey({ kind: "link", link: "eth1", op: "down" }),
	);
});
