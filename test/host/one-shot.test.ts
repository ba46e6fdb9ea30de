import { expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	linkText,
	policyRules,
	routesIn,
	scripts,
} from "./expectations";
import { createFakeHost } from "./fake-host";

const shared = {
	name: "eth1",
	addresses: ["10.0.1.62", "10.0.1.63", "10.0.1.30"],
};
const apart = {
	name: "eth1",
	addresses: ["192.168.1.62", "192.168.1.30"],
	subnet: "192.168.1.0/26",
};

test("a new NIC in the primary's subnet gets addresses, rules and a table, and main prefers the primary", async () => {
	const host = await createFakeHost({ enis: [shared] });
	const primary = linkText(host, "eth0");
	const { outcome, exitCode, findings } = await run(host, "configure", "eth1");
	expect({ outcome, exitCode, findings }).toEqual({
		outcome: "applied",
		exitCode: 0,
		findings: [],
	});
	expect(addressesOn(host, "eth1")).toEqual([
		"10.0.1.30/32",
		"10.0.1.62/24",
		"10.0.1.63/32",
	]);
	expect(policyRules(host)).toEqual([
		"1001 from 10.0.1.30 lookup 1001",
		"1001 from 10.0.1.62 lookup 1001",
		"1001 from 10.0.1.63 lookup 1001",
	]);
	expect(routesIn(host, 1001)).toEqual([
		"default via 10.0.1.1 dev eth1",
		"10.0.1.0/24 dev eth1 scope link",
	]);
	expect(routesIn(host, 254)).toEqual([
		"default via 10.0.1.1 dev eth0",
		"10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10",
		"10.0.1.0/24 dev eth1 proto kernel scope link src 10.0.1.62 metric 2001",
		"169.254.0.0/16 dev eth0 scope link metric 1002",
	]);
	expect(linkText(host, "eth0")).toBe(primary);
});

test("the files of a NIC survive a power cut before anything goes by them, by one fsync of their directory", async () => {
	const host = await createFakeHost({ enis: [shared] });
	host.operations.reset();
	await run(host, "configure", "eth1");
	const done = host.operations
		.list()
		.map(({ kind, target }) => `${kind} ${target}`);
	const first = done.findIndex((one) => one.startsWith(`rename ${scripts}/`));
	const ifup = done.indexOf("command ifup eth1");
	const between = done.slice(first, ifup);
	const files = ["ifcfg", "route", "rule"].map((name) => `${name}-eth1`);
	for (const name of files)
		expect(between).toContain(
			`rename ${scripts}/.eni-configure-${name} -> ${scripts}/${name}`,
		);
	expect(between.filter((one) => one === `fsync ${scripts}`)).toHaveLength(1);
	const last = Math.max(
		...between.map((one, at) => (one.startsWith("rename ") ? at : -1)),
	);
	expect(between.indexOf(`fsync ${scripts}`)).toBeGreaterThan(last);
	expect(between.indexOf("fsync /etc")).toBeGreaterThan(last);
});

test("a new NIC in a subnet of its own keeps the kernel's route to it", async () => {
	const host = await createFakeHost({ enis: [apart] });
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(routesIn(host, 254)).toContain(
		"192.168.1.0/26 dev eth1 proto kernel scope link src 192.168.1.62",
	);
	expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("0");
	expect(host.kernel.sysctls.get("conf/eth1/rp_filter")).toBe("0");
	expect(host.kernel.sysctls.get("conf/eth1/arp_ignore")).toBe("1");
});

test.each([
	["the primary's subnet", shared],
	["a subnet of its own", apart],
])("a second run changes nothing at all: %s", async (_, eni) => {
	const host = await createFakeHost({ enis: [eni] });
	await run(host, "configure", "eth1");
	const [snapshot, logged] = [host.snapshot(), host.log.length];
	const second = await run(host, "configure", "eth1");
	expect({
		outcome: second.outcome,
		exitCode: second.exitCode,
		steps: second.steps,
	}).toEqual({ outcome: "unchanged", exitCode: 0, steps: [] });
	expect(host.operations.list()).toEqual([]);
	expect(host.snapshot()).toBe(snapshot);
	expect(
		host.log.slice(logged).filter(({ level }) => level !== "debug"),
	).toEqual([]);
	expect((await run(host, "configure", "", { all: true })).outcome).toBe(
		"unchanged",
	);
	expect(host.operations.list()).toEqual([]);
});

test("a run closes what it opened and frees the lock", async () => {
	const host = await createFakeHost({ enis: [shared] });
	await run(host, "configure", "eth1");
	expect([...host.programs.open.values()]).toEqual([]);
	expect(host.programs.lock).toBeUndefined();
});

test("`plan` takes no lock and changes nothing", async () => {
	const host = await createFakeHost({ enis: [shared] });
	const before = host.snapshot();
	const { outcome, exitCode, steps } = await run(host, "plan", "eth1");
	expect({ outcome, exitCode }).toEqual({ outcome: "planned", exitCode: 0 });
	expect(steps.length).toBeGreaterThan(0);
	expect(host.operations.list()).toEqual([]);
	expect(host.snapshot()).toBe(before);
});

test("after a reboot the files alone bring the NIC up, and a run completes the rest", async () => {
	const host = await createFakeHost({ enis: [shared] });
	await run(host, "configure", "eth1");
	const wanted = host.snapshot();
	await host.reboot();
	expect(host.programs.service.state).toBe("active");
	expect(addressesOn(host, "eth1")).toEqual([
		"10.0.1.30/32",
		"10.0.1.62/24",
		"10.0.1.63/32",
	]);
	expect(policyRules(host)).toHaveLength(3);
	expect(routesIn(host, 254)[0]).toBe("default via 10.0.1.1 dev eth0");
	expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(wanted);
});

test("traffic from an ENI's address to containers stays in the guest", async () => {
	const host = await createFakeHost({ enis: [apart] });
	host.addLink({
		name: "docker0",
		mac: "02:42:ac:11:00:01",
		driver: undefined,
		devtype: "bridge",
	});
	await host.type("ip addr add 172.17.0.1/16 brd + dev docker0");
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(routesIn(host, 1001)).toContain("throw 172.17.0.0/16");
	await run(host, "configure", "eth1");
	expect(host.operations.list()).toEqual([]);
});

test("an ENI's addresses cost no duplicate-address probe: 30 of them are up within a second", async () => {
	const addresses = Array.from({ length: 30 }, (_, at) => `10.0.2.${at + 10}`);
	const host = await createFakeHost({ enis: [{ name: "eth1", addresses }] });
	const start = host.clock.nowMs();
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toHaveLength(30);
	expect(host.clock.nowMs() - start).toBeLessThan(1000);
});

test("a metric-0 duplicate of the primary's subnet route is drift and goes again", async () => {
	const host = await createFakeHost({ enis: [shared] });
	await run(host, "configure", "eth1");
	const wanted = host.snapshot();
	await host.type(
		"ip route append 10.0.1.0/24 dev eth1 proto kernel scope link src 10.0.1.62",
	);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(host.snapshot()).toBe(wanted);
});

test("rules doubled by a second ifup are cleared", async () => {
	const host = await createFakeHost({ enis: [apart] });
	await run(host, "configure", "eth1");
	const wanted = host.snapshot();
	await host.type("ifup eth1");
	expect(policyRules(host)).toHaveLength(4);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(host.snapshot()).toBe(wanted);
});

test("the primary and unknown NICs are refused by name", async () => {
	const host = await createFakeHost({ enis: [shared] });
	const before = host.snapshot();
	expect((await run(host, "configure", "eth0")).exitCode).toBe(5);
	expect((await run(host, "configure", "eth7")).exitCode).toBe(2);
	expect((await run(host, "configure", "lo")).exitCode).toBe(2);
	expect(host.snapshot()).toBe(before);
	expect(
		host.disk.list(scripts).map((path) => path.split("/").at(-1)),
	).not.toContain("ifcfg-eth7");
});
