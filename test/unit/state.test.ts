import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { initscripts } from "../../src/backends/initscripts.js";
import { nextState } from "../../src/commit.js";
import { desire } from "../../src/desire.js";
import type { Backup, Observed, Request, State } from "../../src/model.js";
import { makePlan } from "../../src/plan.js";
import {
	emptyState,
	readState,
	setAsideDamagedState,
	writeState,
} from "../../src/state.js";
import type { System } from "../../src/system.js";
import {
	type GuestText,
	observedOf,
	renderer,
	requestOf,
	settingsOf,
} from "./given.js";

const path = "/var/lib/eni-configure/state.json";
const mac = "52:54:00:00:00:01";

function machine(content?: string | Buffer) {
	const volume = new Volume();
	volume.mkdirSync("/var/lib/eni-configure", { recursive: true });
	if (content !== undefined) volume.writeFileSync(path, content);
	const logged: string[] = [];
	const system = {
		fs: volume,
		log: (level: string, message: string) => logged.push(`${level} ${message}`),
		uid: () => 0,
		stopSignal: () => undefined,
	} as unknown as System;
	return { system, logged, volume };
}

const full: State = {
	version: 1,
	interfaces: {
		[mac]: {
			name: "eth1",
			table: 1001,
			managed: {
				name: "eth1",
				mac,
				addresses: ["192.168.1.62/26"],
				subnet: "192.168.1.0/26",
				gateway: "192.168.1.1",
				table: 1001,
				throws: ["172.17.0.0/16"],
				demoteMetric: 2001,
				files: [],
			},
			before: {
				up: true,
				addresses: ["10.0.0.9/32"],
				routes: [["198.51.100.0/24", "dev", "eth1"]],
				sysctls: { "conf/eth1/rp_filter": "1" },
				bootId: "b",
			},
			backups: [
				{
					path: "/etc/sysconfig/network-scripts/ifcfg-eth1",
					copy: "ifcfg-eth1",
					mode: 0o600,
					uid: 0,
					gid: 0,
				},
			],
			released: false,
			flags: { addresses: ["192.168.1.62/26"], gateway: "192.168.1.1" },
			cache: {
				instanceId: "ins-1",
				primaryAddress: "192.168.1.62",
				prefix: 26,
				gateway: "192.168.1.1",
			},
		},
	},
	primary: { instanceId: "ins-1", mac: "52:54:00:00:00:00" },
	sysctls: { "conf/all/rp_filter": "1" },
	pinned: { eth1: mac },
};

describe("the state file", () => {
	test("comes back as it was written, and is not written again", () => {
		const { system } = machine();
		expect(writeState(system, full)).toBe(true);
		expect(readState(system)).toEqual(full);
		expect(writeState(system, full)).toBe(false);
	});

	test("missing means a machine the agent has never touched", () => {
		expect(readState(machine().system)).toEqual(emptyState());
	});

	test.each([
		["empty", ""],
		["cut off", JSON.stringify(full).slice(0, 200)],
		["of zeros after a power loss", Buffer.alloc(512)],
		[
			"of a version that does not exist yet",
			JSON.stringify({ ...full, version: 2 }),
		],
		[
			"with an entry of another shape",
			JSON.stringify({ ...full, interfaces: { [mac]: "eth1" } }),
		],
		["a list", "[]"],
	])(
		"%s: goes on from the files alone, says so, and keeps the damaged one",
		(_, content) => {
			const { system, logged, volume } = machine(content);
			expect(readState(system)).toEqual(emptyState());
			expect(logged).toEqual([
				expect.stringMatching(
					/^warning \/var\/lib\/eni-configure\/state\.json cannot be understood/,
				),
			]);
			setAsideDamagedState(system);
			expect(logged.at(-1)).toContain("state.json.damaged-1");
			writeState(system, full);
			expect(
				volume.readFileSync(
					"/var/lib/eni-configure/state.json.damaged-1",
					"latin1",
				),
			).toBe(Buffer.from(content as string).toString("latin1"));
			expect(readState(system)).toEqual(full);
		},
	);
});

const guest: GuestText = {
	links: {
		eth0: {
			mac: "52:54:00:00:00:00",
			addresses: ["inet 10.0.1.10/24 scope global eth0"],
		},
		eth1: {
			mac,
			up: true,
			addresses: ["inet 192.168.1.50/26 brd 192.168.1.63 scope global eth1"],
		},
	},
	routes: [
		"default via 10.0.1.1 dev eth0",
		"198.51.100.0/24 dev eth1 scope link",
	],
	sysctls: {
		"conf/all/rp_filter": "1",
		"conf/default/rp_filter": "2",
		"conf/eth0/rp_filter": "1",
		"conf/eth1/rp_filter": "1",
		"conf/eth1/arp_ignore": "0",
		"conf/eth1/promote_secondaries": "0",
	},
	cloud: {
		enis: {
			[mac]: {
				state: "ok",
				eni: {
					mac,
					addresses: ["192.168.1.62"],
					primaryAddress: "192.168.1.62",
					prefix: 26,
					gateway: "192.168.1.1",
					publicIps: {},
				},
			},
		},
	},
};

function commit(
	observed: Observed,
	request: Request = requestOf(),
	committed: { failed?: boolean; backups?: Backup[] } = {},
	values = {},
) {
	const settings = settingsOf(values);
	const desired = desire(observed, request, settings);
	return nextState(observed, desired, request, settings, {
		kept: committed.failed ? [] : desired.interfaces,
		failed: committed.failed ? desired.interfaces : [],
		gone: committed.failed ? [] : desired.gone,
		backups: committed.backups ?? [],
		extras: "kept",
		isKernelDone: true,
		nowMs: 1000,
	});
}

describe("what is remembered", () => {
	test("of a new ENI: its table, how the link was before, the gateway for this instance, the shared sysctls", () => {
		const state = commit(observedOf(guest));
		expect(state.interfaces[mac]).toMatchObject({
			name: "eth1",
			table: 1001,
			managed: { addresses: ["192.168.1.62/26"], gateway: "192.168.1.1" },
			before: {
				up: true,
				addresses: [expect.stringContaining("192.168.1.50/26")],
				routes: [["198.51.100.0/24", "dev", "eth1", "scope", "link"]],
				sysctls: { "conf/eth1/rp_filter": "1" },
			},
			cache: { instanceId: "ins-1", gateway: "192.168.1.1", prefix: 26 },
		});
		expect(state.sysctls).toEqual({
			"conf/all/rp_filter": "1",
			"conf/default/rp_filter": "2",
			"conf/eth0/rp_filter": "1",
		});
		expect(state.primary).toEqual({
			instanceId: "ins-1",
			mac: "52:54:00:00:00:00",
		});
	});

	test("of a second run: what was before the first, not what the first made", () => {
		const first = commit(observedOf(guest));
		const later = observedOf({
			...guest,
			sysctls: { "conf/all/rp_filter": "0", "conf/eth1/rp_filter": "0" },
			state: first,
		});
		const second = commit(later);
		expect(second.interfaces[mac]?.before).toEqual(
			first.interfaces[mac]?.before,
		);
		expect(second.sysctls).toMatchObject(first.sysctls);
	});

	test("of a removal: that it was released, and its table; nothing else", () => {
		const first = commit(observedOf(guest));
		const removed = commit(
			observedOf({ ...guest, state: first }),
			requestOf({ verb: "remove" }),
		);
		expect(removed.interfaces[mac]).toEqual({
			name: "eth1",
			table: 1001,
			released: true,
		});
		expect(removed.sysctls).toEqual({});
	});

	test("of being named again after a removal: not released any more", () => {
		const released = {
			...emptyState(),
			interfaces: { [mac]: { name: "eth1", table: 1005, released: true } },
		};
		const state = commit(observedOf({ ...guest, state: released }));
		expect(state.interfaces[mac]).toMatchObject({ table: 1005 });
		expect(state.interfaces[mac]?.released).toBeUndefined();
	});

	test("of addresses given by flags: the MAC's source, until --from-metadata", () => {
		const flags = { addresses: ["192.168.1.30/26"], gateway: "192.168.1.1" };
		const first = commit(observedOf(guest), requestOf({ flags }));
		expect(first.interfaces[mac]?.flags).toEqual(flags);
		const second = commit(observedOf({ ...guest, state: first }));
		expect(second.interfaces[mac]?.flags).toEqual(flags);
		const third = commit(
			observedOf({ ...guest, state: second }),
			requestOf({ fromMetadata: true, prune: true }),
		);
		expect(third.interfaces[mac]?.flags).toBeUndefined();
		expect(third.interfaces[mac]?.managed?.addresses).toEqual([
			"192.168.1.62/26",
		]);
	});

	test("of a failed run: the cached gateway is not trusted again, the rest stays", () => {
		const first = commit(observedOf(guest));
		const failed = commit(observedOf({ ...guest, state: first }), requestOf(), {
			failed: true,
		});
		expect(failed.interfaces[mac]?.cache).toBeUndefined();
		expect(failed.interfaces[mac]?.managed).toEqual(
			first.interfaces[mac]?.managed,
		);
	});

	test("of --force twice: the first copy of a file is the one that is given back", () => {
		const backup = (copy: string): Backup => ({
			path: "/etc/sysconfig/network-scripts/ifcfg-eth1",
			copy,
			mode: 0o644,
			uid: 0,
			gid: 0,
		});
		const first = commit(observedOf(guest), requestOf({ force: true }), {
			backups: [backup("ifcfg-eth1")],
		});
		const second = commit(
			observedOf({ ...guest, state: first }),
			requestOf({ force: true }),
			{ backups: [backup("ifcfg-eth1.2")] },
		);
		expect(second.interfaces[mac]?.backups?.map((one) => one.copy)).toEqual([
			"ifcfg-eth1",
		]);
	});

	test("of --force: a copy of another NIC's file is not given to this one, though its name begins alike", () => {
		const path = "/etc/sysconfig/network-scripts/ifcfg-eth10";
		const state = commit(
			observedOf({ ...guest, files: { "ifcfg-eth10": ["DEVICE=eth10"] } }),
			requestOf({ force: true }),
			{ backups: [{ path, copy: "ifcfg-eth10", mode: 0o644, uid: 0, gid: 0 }] },
		);
		expect(state.interfaces[mac]?.backups).toBeUndefined();
	});

	test("of a config name: the MAC it had at its first use", () => {
		const values = {
			interfaces: {
				eth1: { addresses: ["192.168.1.30/26"], gateway: "192.168.1.1" },
			},
		};
		expect(commit(observedOf(guest), requestOf(), {}, values).pinned).toEqual({
			eth1: mac,
		});
		const byMac = {
			interfaces: {
				[mac]: { addresses: ["192.168.1.30/26"], gateway: "192.168.1.1" },
			},
		};
		expect(commit(observedOf(guest), requestOf(), {}, byMac).pinned).toEqual(
			{},
		);
	});

	test("of a NIC that came back under another name: no trace of the old name", () => {
		const first = commit(observedOf(guest));
		const moved = observedOf({
			...guest,
			links: { eth0: guest.links.eth0 ?? {}, eth2: { mac } },
			state: first,
		});
		const state = commit(moved, requestOf({ targets: ["eth2"] }));
		expect(state.interfaces[mac]).toMatchObject({
			name: "eth2",
			table: 1001,
			managed: { name: "eth2" },
		});
		expect(Object.keys(state.interfaces)).toEqual([mac]);
	});

	test("survives the disk: what is committed reads back equal", () => {
		const state = commit(observedOf(guest));
		const { system } = machine();
		writeState(system, state);
		expect(readState(system)).toEqual(state);
	});
});

test("a removal sets shared sysctls back only where nobody has changed them since", () => {
	const first = commit(observedOf(guest));
	const later = observedOf({
		...guest,
		sysctls: {
			"conf/all/rp_filter": "0",
			"conf/default/rp_filter": "1",
			"conf/eth0/rp_filter": "0",
			"conf/eth1/rp_filter": "0",
			"conf/eth1/arp_ignore": "2",
		},
		state: first,
	});
	const request = requestOf({ verb: "remove" });
	const { steps } = makePlan(later, desire(later, request, settingsOf()), {
		backend: initscripts,
		renderer,
		restart: "auto",
		calm: [],
	});
	const changed = Object.fromEntries(
		steps.flatMap((step) =>
			step.kind === "sysctl" ? [[step.key, step.value]] : [],
		),
	);
	expect(changed).toEqual({
		"conf/all/rp_filter": "1",
		"conf/eth0/rp_filter": "1",
		"conf/eth1/rp_filter": "1",
	});
});
