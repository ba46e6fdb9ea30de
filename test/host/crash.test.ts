import { afterAll, describe, expect, test } from "vitest";
import { run } from "./agent";
import {
	type Crashes,
	type StepKind,
	sweepKills,
	sweepKillsInRecovery,
	sweepPowerCuts,
} from "./crash";
import { createFakeHost, type FakeHost } from "./fake-host";
import type { Scenario } from "./sweep";

const eth1 = {
	name: "eth1",
	addresses: ["10.0.1.62", "10.0.1.63", "10.0.1.30"],
};
const handMade =
	"DEVICE=eth1\nBOOTPROTO=static\nONBOOT=yes\nIPADDR=192.168.1.62\nNETMASK=255.255.255.192\n";
const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth1";

async function configured(): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1] });
	const first = await run(host, "configure", "eth1");
	expect(first.outcome).toBe("applied");
	return host;
}

// What other tools and admins have put there: none of it is ours, whatever happens.
async function withForeign(host: FakeHost): Promise<FakeHost> {
	for (const line of [
		"ip rule add from 10.9.9.9 lookup 77 priority 500",
		"ip rule add to 10.8.8.0/24 lookup 77 priority 1500",
		"ip route add 10.7.0.0/16 via 10.0.1.1 dev eth0 table 77",
	])
		await host.type(line);
	return host;
}

async function byHand(): Promise<FakeHost> {
	const host = await createFakeHost({
		enis: [
			{
				name: "eth1",
				addresses: ["192.168.1.62", "192.168.1.61"],
				subnet: "192.168.1.0/26",
			},
		],
	});
	host.write(ifcfg, handMade, { mode: 0o640, uid: 12, gid: 34 });
	await host.type("ifup eth1");
	return host;
}

const scenarios: Record<string, Scenario> = {
	"a new NIC": {
		prepare: async () => withForeign(await createFakeHost({ enis: [eth1] })),
		act: (host) => run(host, "configure", "eth1"),
	},
	"another list of addresses beside a floating one": {
		prepare: async () => {
			const host = await withForeign(await configured());
			await host.type("ip addr add 10.0.1.99/32 dev eth1");
			host.assign("eth1", "10.0.1.40");
			host.release("eth1", "10.0.1.63");
			return host;
		},
		act: (host) => run(host, "configure", "eth1", { prune: true }),
	},
	"another subnet": {
		prepare: async () => withForeign(await configured()),
		act: (host) =>
			run(host, "configure", "eth1", {
				address: "192.168.1.62/26",
				gateway: "192.168.1.1",
			}),
	},
	"a restart of the interface, a floating address on it": {
		prepare: async () => {
			const host = await withForeign(await configured());
			await host.type("ip addr add 10.0.1.99/32 dev eth1");
			await host.type("ip route add 10.6.0.0/16 via 10.0.1.1 dev eth1");
			host.assign("eth1", "10.0.1.40");
			return host;
		},
		act: (host) => run(host, "configure", "eth1", { restart: "interface" }),
	},
	"a restart of the service, static routes and addresses all over": {
		prepare: async () => {
			const host = await withForeign(
				await createFakeHost({
					enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
				}),
			);
			for (const line of [
				"ip link set dev eth2 up",
				"ip addr add 10.0.3.200/24 dev eth2",
				"ip addr add 10.0.1.99/32 dev eth0",
				"ip route add 10.6.0.0/16 via 10.0.1.1 dev eth0",
			])
				await host.type(line);
			return host;
		},
		act: (host) => run(host, "configure", "eth1", { restart: "service" }),
	},
	"a removed NIC": {
		prepare: async () => withForeign(await configured()),
		act: (host) => run(host, "remove", "eth1"),
	},
	"a forced takeover of a NIC set up by hand": {
		prepare: byHand,
		act: (host) => run(host, "configure", "eth1", { force: true }),
	},
	"a takeover given back": {
		prepare: async () => {
			const host = await byHand();
			await run(host, "configure", "eth1", { force: true });
			return host;
		},
		act: (host) => run(host, "remove", "eth1"),
	},
	"a roll back of a new NIC": {
		prepare: async () => withForeign(await configured()),
		act: (host) => run(host, "rollback", ""),
	},
};

const interrupted = new Set<StepKind>();
let points = 0;
function tally(crashes: Crashes): string[] {
	points += crashes.points;
	for (const kind of crashes.kinds) interrupted.add(kind);
	return crashes.problems;
}

describe.each(Object.entries(scenarios))("%s", (_, scenario) => {
	test("killed at any operation, the next start ends in the old state or the new one", async () => {
		expect(tally(await sweepKills(scenario))).toEqual([]);
	}, 120_000);

	test("with the power cut at any operation, the next boot ends in the old state or the new one", async () => {
		expect(tally(await sweepPowerCuts(scenario))).toEqual([]);
	}, 120_000);

	test("killed again in the recovery, the start after that still does", async () => {
		expect(tally(await sweepKillsInRecovery(scenario, 9))).toEqual([]);
	}, 120_000);
});

afterAll(() => {
	console.log(`crash points tried: ${points}`);
});

test("every kind of step was interrupted", () => {
	expect([...interrupted].sort()).toEqual([
		"addr",
		"link",
		"remove",
		"route",
		"rule",
		"run",
		"sysctl",
		"write",
	]);
});
