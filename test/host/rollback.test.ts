import { expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	expectUntouched,
	linkText,
	outcomes,
	policyRules,
	scripts,
} from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { failWhere } from "./operations";
import { lineDifference } from "./sweep";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };

async function configured(): Promise<{ host: FakeHost; before: string }> {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	return { host, before };
}

test("rollback gives the machine back as it was before the last change, and --all leaves the NIC alone from then on", async () => {
	const { host, before } = await configured();
	const back = await run(host, "rollback", "");
	expect({
		exitCode: back.exitCode,
		outcomes: outcomes(back),
		difference: lineDifference(before, host.snapshot()),
	}).toEqual({
		exitCode: 0,
		outcomes: { eth1: "applied" },
		difference: lineDifference("", ""),
	});
	const all = await run(host, "configure", "", { all: true });
	expect({ exitCode: all.exitCode, snapshot: host.snapshot() }).toEqual({
		exitCode: 0,
		snapshot: before,
	});
	expect(all.interfaces.find(({ name }) => name === "eth1")?.reason).toContain(
		"`eni-configure eth1`",
	);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toHaveLength(2);
});

test("of a change to a managed NIC it gives the earlier addresses back, and --all does not bring the change again", async () => {
	const { host } = await configured();
	const configuredOnce = host.snapshot();
	host.assign("eth1", "10.0.1.70");
	await run(host, "configure", "eth1");
	expect(addressesOn(host, "eth1")).toContain("10.0.1.70/32");
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(configuredOnce);
	await run(host, "configure", "", { all: true });
	expect(host.snapshot()).toBe(configuredOnce);
	await run(host, "configure", "eth1");
	expect(addressesOn(host, "eth1")).toContain("10.0.1.70/32");
	// Named again, it is an ordinary NIC again.
	host.assign("eth1", "10.0.1.71");
	await run(host, "configure", "", { all: true });
	expect(addressesOn(host, "eth1")).toContain("10.0.1.71/32");
});

test("of a removal it brings the NIC back, as managed as it was", async () => {
	const { host } = await configured();
	const managed = host.snapshot();
	await run(host, "remove", "eth1");
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(managed);
	const all = await run(host, "configure", "", { all: true });
	expect(outcomes(all).eth1).toBe("unchanged");
	host.assign("eth1", "10.0.1.70");
	await run(host, "configure", "", { all: true });
	expect(addressesOn(host, "eth1")).toContain("10.0.1.70/32");
});

test("of a takeover it gives the user's file back with mode and owner, and keeps no copy of it", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.write(
		`${scripts}/ifcfg-eth1`,
		"DEVICE=eth1\nONBOOT=yes\nIPADDR=10.0.1.62\nPREFIX=24\n",
		{ mode: 0o640, uid: 12, gid: 34 },
	);
	await host.type("ifup eth1");
	const before = host.snapshot();
	await run(host, "configure", "eth1", { force: true });
	expect(host.disk.list("/var/lib/eni-configure/backup")).toHaveLength(1);
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(before);
	expect(host.disk.list("/var/lib/eni-configure/backup")).toEqual([]);
});

test("without a change, or after a rollback, there is nothing to roll back", async () => {
	const { host } = await configured();
	await run(host, "rollback", "");
	const snapshot = host.snapshot();
	const again = await run(host, "rollback", "");
	expect({
		exitCode: again.exitCode,
		outcome: again.outcome,
		note: again.notes[0]?.text,
		snapshot: host.snapshot(),
	}).toEqual({
		exitCode: 0,
		outcome: "unchanged",
		note: "nothing to roll back: the last change was a roll back",
		snapshot,
	});
	const fresh = await createFakeHost();
	expect((await run(fresh, "rollback", "")).notes[0]?.text).toContain(
		"no change of the agent's is on record",
	);
});

test("a failed run leaves the change before it as the one to roll back", async () => {
	const { host, before } = await configured();
	host.assign("eth1", "10.0.1.70");
	host.operations.setFaults(
		failWhere(({ target }) => target.includes("10.0.1.70")),
	);
	expect((await run(host, "configure", "eth1")).exitCode).toBe(3);
	host.operations.setFaults(undefined);
	await run(host, "rollback", "");
	expect(host.snapshot()).toBe(before);
});

test("what somebody has added since stays: a floating address, a route, rules", async () => {
	const { host } = await configured();
	for (const line of [
		"ip addr add 10.0.1.99/32 dev eth1",
		"ip route add 10.7.0.0/16 via 10.0.1.1 dev eth1 table 77",
		"ip route add 10.6.0.0/16 via 10.0.1.1 dev eth1",
		"ip rule add from 10.9.9.9 lookup 77 priority 500",
		"ip rule add from 10.0.1.99 lookup 77 priority 1500",
	])
		await host.type(line);
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.99/32"]);
	expect(policyRules(host)).toEqual([
		"1500 from 10.0.1.99 lookup 77",
		"500 from 10.9.9.9 lookup 77",
	]);
	expect(host.snapshot()).toContain("10.7.0.0/16");
	expect(host.snapshot()).toContain("10.6.0.0/16");
});

test("a sysctl that somebody has set otherwise since stays as they set it", async () => {
	const { host } = await configured();
	host.kernel.sysctls.set("conf/all/rp_filter", "2");
	await run(host, "rollback", "");
	expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("2");
	expect(host.kernel.sysctls.get("conf/eth0/rp_filter")).toBe("1");
});

test("lines that somebody has added to sysctl.conf since stay, ours go", async () => {
	const { host } = await configured();
	const path = "/etc/sysctl.conf";
	host.write(path, `${host.read(path)?.content}vm.swappiness = 1\n`);
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(host.read(path)?.content).toBe(
		"# System default settings live in /usr/lib/sysctl.d/00-system.conf.\nnet.ipv4.conf.all.rp_filter = 1\nnet.ipv4.tcp_syncookies = 1\nvm.swappiness = 1\n",
	);
});

test("a file that somebody has edited since is refused, and nothing is touched", async () => {
	const { host } = await configured();
	const path = `${scripts}/ifcfg-eth1`;
	host.write(path, `${host.read(path)?.content}MTU="1400"\n`);
	const before = host.snapshot();
	const refused = await run(host, "rollback", "");
	expectUntouched(host, refused, before, 5);
	expect(refused.error).toContain(path);
});

test("a NIC that carries the default route by now is refused", async () => {
	const { host } = await configured();
	await host.type("ip route replace default via 10.0.1.1 dev eth1");
	const before = host.snapshot();
	const refused = await run(host, "rollback", "");
	expectUntouched(host, refused, before, 5);
	expect(refused.error).toContain("default route");
});

test("one that cannot be finished leaves the change as it holds", async () => {
	const { host } = await configured();
	const managed = host.snapshot();
	host.operations.setFaults(
		failWhere(({ kind, target }) => kind === "ip" && /^rule del/.test(target)),
	);
	const failed = await run(host, "rollback", "");
	host.operations.setFaults(undefined);
	expect({ exitCode: failed.exitCode, outcome: failed.outcome }).toEqual({
		exitCode: 3,
		outcome: "rolled-back",
	});
	expect(host.snapshot()).toBe(managed);
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
});

test("after a boot it still undoes the change, in the files and in what the boot made of them", async () => {
	const fresh = await createFakeHost({ enis: [eth1] });
	await fresh.reboot();
	const before = fresh.snapshot();
	const { host } = await configured();
	await host.reboot();
	expect(addressesOn(host, "eth1")).toHaveLength(2);
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(lineDifference(before, host.snapshot())).toBe(lineDifference("", ""));
});

test("while the network service is at work it is put off", async () => {
	const { host } = await configured();
	host.programs.service = { state: "active", job: 99 };
	const before = host.snapshot();
	expectUntouched(host, await run(host, "rollback", ""), before, 5);
});

test("a floating address with a subnet of its own, or in ours, keeps its route and stands, whatever promote_secondaries was", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	for (const name of ["all", "default", "eth1"])
		host.kernel.sysctls.set(`conf/${name}/promote_secondaries`, "0");
	await run(host, "configure", "eth1");
	await host.type("ip addr add 10.5.0.9/24 dev eth1");
	await host.type("ip addr add 10.0.1.99/24 dev eth1");
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.99/24", "10.5.0.9/24"]);
	expect(host.kernel.sysctls.get("conf/eth1/promote_secondaries")).toBe("0");
	const routes = host.kernel.routes
		.all()
		.filter(({ dev, table }) => dev === "eth1" && table === 254);
	expect(routes.map(({ dst }) => dst).sort()).toEqual([
		"10.0.1.0/24",
		"10.5.0.0/24",
	]);
});

test("a floating address that has moved away since is not missed", async () => {
	const { host } = await configured();
	await host.type("ip addr add 10.5.0.9/24 dev eth1");
	host.assign("eth1", "10.0.1.70");
	await run(host, "configure", "eth1");
	await host.type("ip addr del 10.5.0.9/24 dev eth1");
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.62/24", "10.0.1.63/32"]);
});

test("another NIC that has its name by now is not touched", async () => {
	const { host } = await configured();
	host.unplug("eth1");
	host.plug({
		name: "eth1",
		mac: "52:54:00:00:00:99",
		addresses: ["10.0.9.62"],
	});
	await host.type("ip link set dev eth1 up");
	await host.type("ip addr add 10.0.9.62/24 dev eth1");
	const before = linkText(host, "eth1");
	await run(host, "rollback", "");
	expect(linkText(host, "eth1")).toBe(before);
});

test("of a removal, with the NIC unbound since, it is refused: its files would make the network service fail", async () => {
	const { host } = await configured();
	await run(host, "remove", "eth1");
	host.unplug("eth1");
	const before = host.snapshot();
	const refused = await run(host, "rollback", "");
	expectUntouched(host, refused, before, 5);
	expect(refused.error).toContain("eth1");
});

test("it undoes what the change left standing, not the NIC that was rolled back in it", async () => {
	const host = await createFakeHost({
		enis: [
			{ name: "eth1", addresses: ["10.0.2.62"] },
			{ name: "eth2", addresses: ["10.0.3.62"] },
		],
	});
	host.silent.add("eth1");
	expect((await run(host, "configure", "", { all: true })).exitCode).toBe(3);
	// Meanwhile somebody sets eth1 up by hand.
	host.write(
		`${scripts}/ifcfg-eth1`,
		"DEVICE=eth1\nONBOOT=yes\nIPADDR=10.0.2.62\nPREFIX=24\n",
	);
	await host.type("ifup eth1");
	const before = linkText(host, "eth1");
	const back = await run(host, "rollback", "");
	expect(outcomes(back)).toEqual({ eth2: "applied" });
	expect(linkText(host, "eth1")).toBe(before);
	expect(addressesOn(host, "eth2")).toEqual([]);
	expect(host.read("/etc/sysctl.conf")?.content).not.toContain("eni-configure");
	expect(host.record()).not.toContain("52:54:00:bf:b3:51");
});

test("asked for after an interrupted run it undoes that run, and no more", async () => {
	const { host } = await configured();
	const managed = host.snapshot();
	host.assign("eth1", "10.0.1.70");
	host.operations.setFaults(({ target }) =>
		target.startsWith("addr add 10.0.1.70") ? { stop: true } : undefined,
	);
	await run(host, "configure", "eth1");
	host.endProcess();
	const back = await run(host, "rollback", "");
	expect({ recovered: back.recovered, exitCode: back.exitCode }).toEqual({
		recovered: true,
		exitCode: 0,
	});
	expect(back.notes[0]?.text).toContain("`eni-configure rollback` again");
	expect(lineDifference(managed, host.snapshot())).toBe(lineDifference("", ""));
});

test("of a takeover, after a boot, it brings the user's own file up again", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.write(
		`${scripts}/ifcfg-eth1`,
		"DEVICE=eth1\nONBOOT=yes\nIPADDR=10.0.1.62\nPREFIX=24\nIPADDR1=172.16.5.5\nPREFIX1=24\n",
	);
	await host.type("ifup eth1");
	await run(host, "configure", "eth1", { force: true });
	await host.reboot();
	expect((await run(host, "rollback", "")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.62/24", "172.16.5.5/24"]);
});

test("a guest without /etc/sysctl.conf has none again", async () => {
	const host = await createFakeHost({
		enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
	});
	host.disk.fs.unlinkSync("/etc/sysctl.conf");
	host.silent.add("eth1");
	await run(host, "configure", "", { all: true });
	expect(host.read("/etc/sysctl.conf")).toBeDefined();
	await run(host, "rollback", "");
	expect(host.read("/etc/sysctl.conf")).toBeUndefined();
});
