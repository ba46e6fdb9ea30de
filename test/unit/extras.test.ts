import { describe, expect, test } from "vitest";
import { extrasAfter } from "../../src/commit/extras.js";
import { desire } from "../../src/desire.js";
import type {
	Observed,
	PrimaryExtras,
	Request,
	StateExtras,
} from "../../src/model.js";
import { extrasBack } from "../../src/plan/extras.js";
import { batchLine } from "../../src/plan/ip-batch.js";
import { touchableKernel } from "../../src/plan/revert.js";
import { healthFindings } from "../../src/verify.js";
import {
	cloudOf,
	kernelOf,
	observedOf,
	requestOf,
	settingsOf,
} from "./given.js";

const mac = "52:54:00:00:00:00";
const all = requestOf({ targets: "all" });

function guest(standing: string[], record?: Partial<StateExtras>): Observed {
	const addresses = ["10.0.1.10/24", ...standing].map(
		(cidr) => `inet ${cidr} scope global eth0`,
	);
	return observedOf({
		links: { eth0: { mac, addresses } },
		routes: ["default via 10.0.1.1 dev eth0"],
		cloud: { primaryAddresses: ["10.0.1.10", "10.0.1.11", "10.0.1.12"] },
		state: record
			? { extras: { mac, bootId: "boot", addresses: [], ...record } }
			: {},
	});
}

function extrasOf(
	observed: Observed,
	request: Request = all,
	managePrimary = true,
): PrimaryExtras | undefined {
	return desire(observed, request, settingsOf({ managePrimary })).extras;
}

describe("what is wanted of the primary's further private IPs", () => {
	const released = (settled: string[]): Request => {
		const cloud = cloudOf({ primaryAddresses: ["10.0.1.10", "10.0.1.11"] });
		return {
			...all,
			daemon: { cloud, settled, present: [], gone: [], left: [] },
		};
	};
	const shrunk = (): Observed => {
		const observed = guest(["10.0.1.11/32", "10.0.1.12/32"], {
			addresses: ["10.0.1.11/32", "10.0.1.12/32"],
		});
		return { ...observed, cloud: released([]).daemon?.cloud };
	};

	test("the daemon takes one away once the primary's answer has settled, not before and not for another's", () => {
		const wanted = (settled: string[]) =>
			extrasOf(shrunk(), released(settled))?.addresses;
		expect(wanted([])).toEqual(["10.0.1.11/32", "10.0.1.12/32"]);
		expect(wanted(["52:54:00:00:00:01"])).toHaveLength(2);
		expect(wanted([mac])).toEqual(["10.0.1.11/32"]);
	});

	test("the daemon says what it keeps for now, and until when", () => {
		const settings = settingsOf({ managePrimary: true });
		const { notes } = desire(shrunk(), released([]), settings);
		expect(notes.map(({ text }) => text)).toEqual([
			expect.stringMatching(
				/is no longer listed .*: kept until that has stayed the answer$/,
			),
		]);
	});

	test("what stands is only ours if the record says so, in this boot, for this MAC", () => {
		const recorded = (record: Partial<StateExtras>) =>
			extrasOf(guest(["10.0.1.11/32"], record))?.recorded;
		const addresses = ["10.0.1.11/32"];
		expect(recorded({ addresses })).toEqual(addresses);
		expect(recorded({ addresses, bootId: "an earlier one" })).toEqual([]);
		expect(recorded({ addresses, mac: "52:54:00:00:00:99" })).toEqual([]);
		expect(recorded({})).toEqual([]);
	});

	test("the same address with another prefix is its owner's", () => {
		const observed = guest(["10.0.1.11/24"], { addresses: ["10.0.1.11/32"] });
		expect(extrasOf(observed)).toMatchObject({
			addresses: ["10.0.1.12/32"],
			recorded: [],
		});
	});

	test("left alone after a rollback as long as the setting stays", () => {
		const observed = guest([], { rolledBack: true });
		expect(extrasOf(observed)).toBeUndefined();
		expect(extrasOf(observed, all, false)?.addresses).toEqual([]);
	});

	test("an excluded primary, a removal, a named NIC: not touched", () => {
		const settings = settingsOf({
			managePrimary: true,
			exclude: { names: ["eth0"] },
		});
		expect(desire(guest([]), all, settings).extras).toBeUndefined();
		for (const request of [
			requestOf({ targets: "all", verb: "remove" }),
			requestOf(),
			requestOf({ targets: "all", skip: ["eth0"] }),
		])
			expect(extrasOf(guest([]), request)).toBeUndefined();
	});
});

describe("what is undone", () => {
	const extras: PrimaryExtras = {
		name: "eth0",
		mac,
		addresses: ["10.0.1.11/32", "10.0.1.12/32"],
		recorded: ["10.0.1.12/32", "10.0.1.13/32"],
		isManaged: true,
	};
	const claim = { interfaces: [], gone: [], recorded: [], extras };
	const kernel = (...cidrs: string[]) =>
		kernelOf({
			links: {
				eth0: {
					mac,
					addresses: cidrs.map((cidr) => `inet ${cidr} scope global eth0`),
				},
			},
		});
	const back = (before: string[], now: string[], isBounced = false) =>
		extrasBack(
			extras,
			touchableKernel(kernel(...before), claim, []),
			kernel(...now),
			() => isBounced,
		).map(batchLine);

	test("what was added goes, what was taken away comes, the rest stays", () => {
		expect(
			back(
				["10.0.1.10/24", "10.0.1.12/32", "10.0.1.13/32", "10.0.1.50/32"],
				["10.0.1.10/24", "10.0.1.11/32", "10.0.1.12/32", "10.0.1.99/32"],
			),
		).toEqual([
			"addr del 10.0.1.11/32 dev eth0",
			"addr add 10.0.1.13/32 label eth0 dev eth0",
		]);
	});

	test("what was there before is never removed", () => {
		expect(back(["10.0.1.11/32"], ["10.0.1.11/32"])).toEqual([]);
	});

	test("what a command dropped with all others is not added twice", () => {
		expect(back(["10.0.1.13/32"], [], true)).toEqual([]);
	});

	test("not on another NIC of that name", () => {
		const other = kernelOf({
			links: {
				eth0: { mac: "52:54:00:00:00:77", addresses: ["inet 10.0.1.11/32"] },
			},
		});
		expect(extrasBack(extras, kernel(), other, () => false)).toEqual([]);
	});
});

test("an address that the run took away is no damage to the primary; any other is", () => {
	const health = {
		link: "eth0",
		addresses: ["10.0.1.10/24", "10.0.1.11/32", "10.0.1.99/32"],
		gateway: undefined,
		gatewayLink: undefined,
		hasNeighbour: false,
	};
	const after = { ...health, addresses: [] };
	expect(
		healthFindings(health, after, ["10.0.1.11/32"]).map(({ want }) => want),
	).toEqual(["10.0.1.10/24", "10.0.1.99/32"]);
});

describe("what is remembered", () => {
	const observed = guest(["10.0.1.11/32"], { addresses: ["10.0.1.11/32"] });
	const desired = desire(observed, all, settingsOf({ managePrimary: true }));
	const old = observed.state.extras;

	test("all that should stand, and the boot; nothing where nothing should", () => {
		expect(extrasAfter(observed, desired, "kept", 0)).toEqual({
			mac,
			addresses: ["10.0.1.11/32", "10.0.1.12/32"],
			bootId: "boot",
		});
		const off = desire(observed, all, settingsOf());
		expect(extrasAfter(observed, off, "kept", 0)).toBeUndefined();
		expect(extrasAfter(observed, off, "untouched", 0)).toEqual(old);
	});

	test("of what was rolled back: as before, and when to try again, longer each time", () => {
		const failed = extrasAfter(observed, desired, "rolled-back", 5000);
		expect(failed).toMatchObject({
			addresses: ["10.0.1.11/32"],
			backOff: { attempts: 1, untilMs: 65_000 },
		});
		const again = { ...observed, state: { ...observed.state, extras: failed } };
		expect(
			extrasAfter(again as Observed, desired, "rolled-back", 5000),
		).toMatchObject({ backOff: { attempts: 2, untilMs: 125_000 } });
		expect(extrasOf(again as Observed)).toBeUndefined();
		expect(extrasOf({ ...again, nowMs: 65_000 } as Observed)).toBeDefined();
	});

	test("of what could not be taken back: all of it is still ours", () => {
		expect(
			extrasAfter(observed, desired, "rollback-failed", 0)?.addresses,
		).toEqual(["10.0.1.11/32", "10.0.1.12/32"]);
	});
});
