import { expect, test } from "vitest";
import { run } from "./agent";
import { addressesOn, policyRules, routesIn } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

async function configured(): Promise<FakeHost> {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] }],
	});
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	return host;
}

test("an assigned address is added while the link stays up", async () => {
	const host = await configured();
	host.assign("eth1", "10.0.1.40");
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toEqual([
		"10.0.1.40/32",
		"10.0.1.62/24",
		"10.0.1.63/32",
	]);
	expect(policyRules(host)).toContain("1001 from 10.0.1.40 lookup 1001");
	expect(
		host.operations
			.list()
			.filter(
				({ kind, target }) => kind === "command" || target.startsWith("link "),
			),
	).toEqual([]);
	await host.reboot();
	expect(addressesOn(host, "eth1")).toEqual([
		"10.0.1.40/32",
		"10.0.1.62/24",
		"10.0.1.63/32",
	]);
});

test("a released address is kept and reported, and goes with --prune", async () => {
	const host = await configured();
	const before = host.snapshot();
	host.release("eth1", "10.0.1.63");
	const kept = await run(host, "configure", "eth1");
	expect({ outcome: kept.outcome, notes: kept.notes }).toEqual({
		outcome: "unchanged",
		notes: [
			expect.objectContaining({ text: expect.stringContaining("10.0.1.63") }),
		],
	});
	expect(host.snapshot()).toBe(before);
	expect((await run(host, "configure", "eth1", { prune: true })).outcome).toBe(
		"applied",
	);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.62/24"]);
	expect(policyRules(host)).toEqual(["1001 from 10.0.1.62 lookup 1001"]);
	host.assign("eth1", "10.0.1.63");
	await run(host, "configure", "eth1");
	expect(host.snapshot()).toBe(before);
});

test("flags move a NIC to another subnet, and are remembered until --from-metadata", async () => {
	const host = await configured();
	const before = host.snapshot();
	const moved = await run(host, "configure", "eth1", {
		address: ["192.168.1.62/26", "192.168.1.30"],
		gateway: "192.168.1.1",
	});
	expect({
		outcome: moved.outcome,
		source: moved.interfaces[0]?.source,
	}).toEqual({ outcome: "applied", source: "flags" });
	expect(addressesOn(host, "eth1")).toEqual([
		"192.168.1.30/32",
		"192.168.1.62/26",
	]);
	expect(policyRules(host)).toEqual([
		"1001 from 192.168.1.30 lookup 1001",
		"1001 from 192.168.1.62 lookup 1001",
	]);
	expect(routesIn(host, 1001)).toEqual([
		"default via 192.168.1.1 dev eth1",
		"192.168.1.0/26 dev eth1 scope link",
	]);
	expect(routesIn(host, 254).filter((route) => route.includes("eth1"))).toEqual(
		["192.168.1.0/26 dev eth1 proto kernel scope link src 192.168.1.62"],
	);
	expect((await run(host, "configure", "", { all: true })).outcome).toBe(
		"unchanged",
	);
	expect(
		(
			await run(host, "configure", "eth1", {
				"from-metadata": true,
				prune: true,
			})
		).outcome,
	).toBe("applied");
	expect(host.snapshot()).toBe(before);
});

test("a new primary address in metadata waits for --prune", async () => {
	const host = await configured();
	const before = host.snapshot();
	host.release("eth1", "10.0.1.62");
	expect((await run(host, "configure", "eth1")).exitCode).toBe(4);
	expect(host.snapshot()).toBe(before);
	expect((await run(host, "configure", "eth1", { prune: true })).outcome).toBe(
		"applied",
	);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.63/24"]);
	expect(policyRules(host)).toEqual(["1001 from 10.0.1.63 lookup 1001"]);
});

test("addresses and routes that somebody else put on the link outlive a change of ours", async () => {
	const host = await configured();
	await host.type("ip addr add 10.9.9.9/32 dev eth1");
	await host.type("ip route add 10.77.0.0/16 via 10.0.1.1 dev eth1");
	await host.type("ip rule add from 10.9.9.9 lookup 77 priority 500");
	host.assign("eth1", "10.0.1.40");
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect((await run(host, "remove", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toEqual(["10.9.9.9/32"]);
	expect(routesIn(host, 254)).toContain("10.77.0.0/16 via 10.0.1.1 dev eth1");
	expect(policyRules(host)).toEqual(["500 from 10.9.9.9 lookup 77"]);
});

test("an address that a container owns is held, the others go on", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] }],
	});
	host.addLink({ name: "cali1", mac: "ee:ee:ee:ee:ee:ee", driver: undefined });
	await host.type("ip route add 10.0.2.63/32 dev cali1");
	const { outcome, notes } = await run(host, "configure", "eth1");
	expect(outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
	expect(notes.map(({ text }) => text).join()).toContain("10.0.2.63");
	expect(routesIn(host, 254)).toContain("10.0.2.63 dev cali1 scope link");
});

test("drift comes back: an address, a rule and a route deleted by hand", async () => {
	const host = await configured();
	const wanted = host.snapshot();
	for (const line of [
		"ip addr del 10.0.1.63/32 dev eth1",
		"ip rule del from 10.0.1.63 lookup 1001",
		"ip route del default via 10.0.1.1 dev eth1 table 1001",
	]) {
		await host.type(line);
		expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
		expect(host.snapshot()).toBe(wanted);
	}
});
