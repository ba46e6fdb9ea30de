import { expect } from "vitest";
import type { Values } from "../../src/commands/options";
import { pass, type Run, run } from "./agent";
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

// Two further private IPs of the primary in the cloud, and a floating one that is none of them.
async function withFurther(host: FakeHost): Promise<FakeHost> {
	host.write("/etc/eni-configure/config.yaml", "managePrimary: true\n");
	for (const ip of ["10.0.1.20", "10.0.1.21"]) host.assign("eth0", ip);
	await host.type("ip addr add 10.0.1.99/32 dev eth0");
	return host;
}

// Later than any back-off: a run that is to be repeated at once after it was rolled back.
async function allLater(host: FakeHost, values: Values = {}): Promise<Run> {
	await host.clock.sleep(601_000);
	return run(host, "configure", "", { all: true, ...values });
}

/** A run of every kind of plan, amid what other tools have put there. */
export const scenarios: Record<string, Scenario> = {
	"a new NIC": {
		prepare: async () => withForeign(await createFakeHost({ enis: [eth1] })),
		act: (host) => run(host, "configure", "eth1"),
	},
	"another list of addresses beside a floating one": {
		prepare: async () => {
			const host = await withForeign(await configured());
			for (const cidr of ["10.0.1.99/32", "10.0.1.98/24", "10.5.0.9/24"])
				await host.type(`ip addr add ${cidr} dev eth1`);
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
	"a roll back of a takeover": {
		prepare: async () => {
			const host = await byHand();
			await run(host, "configure", "eth1", { force: true });
			return host;
		},
		act: (host) => run(host, "rollback", ""),
	},
	"a roll back of a new NIC": {
		prepare: async () => withForeign(await configured()),
		act: (host) => run(host, "rollback", ""),
	},
	"further private IPs of the primary beside a new NIC": {
		prepare: async () => withFurther(await createFakeHost({ enis: [eth1] })),
		act: (host) => allLater(host),
	},
	"further private IPs of the primary, one released and one new": {
		prepare: async () => {
			const host = await withFurther(await createFakeHost({ enis: [eth1] }));
			await run(host, "configure", "", { all: true });
			host.release("eth0", "10.0.1.20");
			host.assign("eth0", "10.0.1.22");
			host.release("eth1", "10.0.1.63");
			return host;
		},
		act: (host) => allLater(host, { prune: true }),
	},
	"a roll back of the primary's further private IPs": {
		prepare: async () => {
			const host = await withFurther(await createFakeHost({ enis: [eth1] }));
			await run(host, "configure", "", { all: true });
			return host;
		},
		act: (host) => run(host, "rollback", ""),
	},
};

async function watched(): Promise<FakeHost> {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] }],
	});
	expect((await pass(host)).outcome).toBe("applied");
	return host;
}

/** What only a daemon's pass does, from what it has seen. */
export const passes: Record<string, Scenario> = {
	"a NIC that was unplugged": {
		prepare: async () => {
			const host = await withForeign(await watched());
			host.unplug("eth1");
			return host;
		},
		act: (host) => pass(host),
	},
	"a NIC that came back under another name": {
		prepare: async () => {
			const host = await watched();
			const mac = host.kernel.link("eth1")?.mac ?? "";
			host.unplug("eth1");
			host.plug({ name: "eth2", mac, addresses: ["10.0.1.62", "10.0.1.63"] });
			return host;
		},
		act: (host) => pass(host),
	},
	"another ENI under the same name": {
		prepare: async () => {
			const host = await watched();
			host.unplug("eth1");
			host.plug({
				name: "eth1",
				mac: "52:54:00:aa:bb:cc",
				addresses: ["10.0.4.9"],
			});
			return host;
		},
		act: (host) => pass(host),
	},
	"an address assigned and another released, both live": {
		prepare: async () => {
			const host = await withForeign(await watched());
			host.assign("eth1", "10.0.1.64");
			host.release("eth1", "10.0.1.63");
			return host;
		},
		act: (host) => pass(host, true),
	},
};

/** A run that rolls one NIC back, for its gateway is silent, and keeps another. */
export const rolledBack: Record<string, Scenario> = {
	"one NIC rolled back, another kept": {
		prepare: async () => {
			const host = await withForeign(
				await createFakeHost({
					enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
				}),
			);
			host.silent.add("eth1");
			return host;
		},
		act: (host) => run(host, "configure", "eth1 eth2"),
		exitCode: 3,
	},
	"one NIC rolled back, the primary's further private IPs kept": {
		prepare: async () => {
			const host = await withFurther(await createFakeHost({ enis: [eth1] }));
			host.silent.add("eth1");
			return host;
		},
		act: (host) => run(host, "configure", "", { all: true }),
		exitCode: 3,
	},
};
