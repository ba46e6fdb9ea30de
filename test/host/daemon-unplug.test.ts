import { describe, expect, test } from "vitest";
import { run } from "./agent";
import { startDaemon } from "./daemon";
import { addressesOn, policyRules, routesIn, scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };
const sysctlConf = "net.ipv4.conf.all.rp_filter = 1\nkernel.sysrq = 0\n";
const ours = (host: FakeHost) =>
	host.disk
		.list(scripts)
		.map((path) => path.split("/").at(-1) ?? "")
		.filter((name) => /-eth[1-9]/.test(name));
const entryOf = (host: FakeHost, mac: string) =>
	JSON.parse(host.record()).interfaces[mac];

describe("a NIC that is unbound", () => {
	test("leaves nothing behind: files, rules, table, lines of sysctl.conf, entry", async () => {
		const host = await createFakeHost({
			files: { "/etc/sysctl.conf": sysctlConf },
		});
		host.addLink({
			name: "docker0",
			mac: "02:42:ac:11:00:01",
			driver: undefined,
			devtype: "bridge",
		});
		await host.type("ip addr add 172.17.0.1/16 brd + dev docker0");
		const daemon = await startDaemon(host);
		const untouched = host.snapshot();
		host.plug(eth1);
		await daemon.until(() => addressesOn(host, "eth1").length === 2);
		await daemon.sleep(5);
		expect(routesIn(host, 1001)).toContain("throw 172.17.0.0/16");
		expect(host.read("/etc/sysctl.conf")?.content).toContain("eth1");
		daemon.forget();
		host.operations.reset();
		host.unplug("eth1");
		expect(await daemon.until(() => ours(host).length === 0)).toBeLessThan(
			1000,
		);
		await daemon.sleep(1);
		expect(policyRules(host)).toEqual([]);
		expect(routesIn(host, 1001)).toEqual([]);
		expect(host.read("/etc/sysctl.conf")?.content).toBe(sysctlConf);
		expect(JSON.parse(host.record()).interfaces).toEqual({});
		expect(daemon.log()).toEqual([
			expect.stringMatching(
				/^info: eth1: removed 10\.0\.1\.62, 10\.0\.1\.63: unplugged \(\d+ ms/,
			),
		]);
		// Running values of rp_filter are given back, too.
		expect(host.snapshot()).toBe(untouched);
		// Rules before files: with the files gone nobody could take them away later.
		const order = host.operations
			.list()
			.map(({ kind, target }) => `${kind} ${target}`)
			.filter((text) => /^ip rule del|^unlink .*-eth1$/.test(text));
		expect(order.map((text) => text.split(" ")[0])).toEqual([
			"ip",
			"ip",
			"unlink",
			"unlink",
			"unlink",
		]);
		expect(order[2]).toMatch(/ifcfg-eth1$/);
	});

	test("goes down before it goes, and that is no drift", async () => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		let isGoing = false;
		host.operations.setFaults(({ kind, target }) => {
			// The daemon has seen it down, and is about to put that right.
			if (isGoing && kind === "ip" && /^link set /.test(target)) {
				isGoing = false;
				host.unplug("eth1");
			}
			return undefined;
		});
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		daemon.forget();
		isGoing = true;
		await host.type("ip link set dev eth1 down");
		await daemon.until(() => !isGoing);
		await daemon.until(() => ours(host).length === 3);
		await daemon.sleep(5);
		expect(daemon.status().drift).toEqual([]);
		expect(daemon.log().join("\n")).not.toContain("put right");
		expect(daemon.log().join("\n")).toMatch(/eth1: removed .*: unplugged/);
	});

	test("does not cost another NIC anything", async () => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		host.unplug("eth1");
		await daemon.sleep(5);
		expect(ours(host)).toEqual(["ifcfg-eth2", "route-eth2", "rule-eth2"]);
		expect(policyRules(host)).toEqual(["1002 from 10.0.3.62 lookup 1002"]);
		expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("0");
		const fresh = await createFakeHost({ enis: [eth2] });
		const other = await startDaemon(fresh);
		await other.sleep(5);
		expect(host.read("/etc/sysctl.conf")?.content).toBe(
			fresh.read("/etc/sysctl.conf")?.content,
		);
	});

	test("is cleaned up while the metadata service is out, and while it still lists it", async () => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		host.kernel.unplug("eth1");
		await daemon.sleep(5);
		expect(ours(host)).toEqual(["ifcfg-eth2", "route-eth2", "rule-eth2"]);
		host.metadata.trouble = "hang";
		host.kernel.unplug("eth2");
		await daemon.sleep(5);
		expect(ours(host)).toEqual([]);
		expect(policyRules(host)).toEqual([]);
	});

	test("and bound again is configured as what it is then", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const daemon = await startDaemon(host);
		for (let time = 0; time < 5; time += 1) {
			await daemon.sleep(1);
			host.unplug("eth1");
			await daemon.sleep(1);
			host.plug({ ...eth1, addresses: [`10.0.1.${70 + time}`] });
			await daemon.until(() => addressesOn(host, "eth1").length > 0);
			expect(addressesOn(host, "eth1")).toEqual([`10.0.1.${70 + time}/24`]);
			await daemon.sleep(1);
			expect(policyRules(host)).toEqual([
				`1001 from 10.0.1.${70 + time} lookup 1001`,
			]);
		}
		expect(daemon.log().join("\n")).not.toMatch(/warning|error/);
	});

	test("replaced by another ENI under its name within a moment: nothing of the old one stays", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		const old = host.kernel.link("eth1")?.mac ?? "";
		host.unplug("eth1");
		const other = host.plug({
			name: "eth1",
			mac: "52:54:00:aa:bb:cc",
			addresses: ["10.0.4.9"],
		});
		await daemon.until(() => addressesOn(host, "eth1").length > 0);
		await daemon.sleep(5);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.4.9/24"]);
		expect(policyRules(host)).toEqual([
			expect.stringMatching(/^\d+ from 10\.0\.4\.9 lookup \d+$/),
		]);
		expect(entryOf(host, old)).toBeUndefined();
		expect(entryOf(host, other.mac).managed.addresses).toEqual(["10.0.4.9/24"]);
		expect(host.read(`${scripts}/ifcfg-eth1`)?.content).toContain(
			'HWADDR="52:54:00:AA:BB:CC"',
		);
		expect(daemon.log().filter((line) => !line.startsWith("info"))).toEqual([]);
	});

	test("renamed to another name: its configuration moves with it", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		daemon.forget();
		const { mac } = host.unplug("eth1") ?? { mac: "52:54:00:bf:b3:51" };
		host.plug({ name: "eth3", mac, addresses: eth1.addresses });
		await daemon.until(() => addressesOn(host, "eth3").length === 2);
		await daemon.sleep(5);
		expect(ours(host)).toEqual(["ifcfg-eth3", "route-eth3", "rule-eth3"]);
		expect(policyRules(host)).toHaveLength(2);
		expect(host.read("/etc/sysctl.conf")?.content).not.toContain("eth1");
		expect(daemon.log()).toEqual([
			expect.stringMatching(/^info: eth3: configured .*: was eth1/),
		]);
	});

	test("whose addresses were given by flags keeps them for its return", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		await run(host, "configure", "eth1", {
			address: "10.0.1.99/24",
			gateway: "10.0.1.1",
		});
		await daemon.sleep(65);
		host.unplug("eth1");
		await daemon.sleep(65);
		expect(ours(host)).toEqual([]);
		host.plug(eth1);
		await daemon.until(() => addressesOn(host, "eth1").length > 0);
		await daemon.sleep(65);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.1.99/24"]);
	});

	test("a user's file that --force replaced stays in backup/, is not put back for a NIC that is gone, and is given back by a later remove", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const theirs = "DEVICE=eth1\nONBOOT=yes\n# mine\n";
		host.write(`${scripts}/ifcfg-eth1`, theirs, { mode: 0o600 });
		await run(host, "configure", "eth1", { force: true });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		host.unplug("eth1");
		await daemon.sleep(65);
		expect(ours(host)).toEqual([]);
		expect(host.disk.list("/var/lib/eni-configure/backup")).toHaveLength(1);
		host.plug(eth1);
		await daemon.until(() => addressesOn(host, "eth1").length === 2);
		await daemon.stop();
		await run(host, "remove", "eth1");
		expect(host.read(`${scripts}/ifcfg-eth1`)).toMatchObject({
			content: theirs,
			mode: 0o600,
		});
	});

	test("a file that a user has edited since is left, and said", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		const edited = `${host.read(`${scripts}/ifcfg-eth1`)?.content}# mine\n`;
		host.write(`${scripts}/ifcfg-eth1`, edited);
		await daemon.sleep(65);
		expect(daemon.log().at(-1)).toMatch(
			/^warning: eth1: ifcfg-eth1 .*not ours/,
		);
		host.unplug("eth1");
		await daemon.sleep(65);
		expect(host.read(`${scripts}/ifcfg-eth1`)?.content).toBe(edited);
		expect(policyRules(host)).toEqual([]);
	});
});

test("a NIC that was made a port of a bond has not gone", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	const before = ours(host);
	const link = host.kernel.link("eth1");
	if (!link) throw new Error("no eth1");
	const { mac } = link;
	// A port takes its master's MAC, which is that of the first port: none of ours here.
	host.addLink({ name: "bond0", mac: "52:54:00:77:77:77" });
	Object.assign(link, { master: "bond0", mac: "52:54:00:77:77:77" });
	daemon.hear(`3: eth1: <BROADCAST,MULTICAST,SLAVE,UP,LOWER_UP> mtu 1500`);
	await daemon.sleep(200);
	expect(ours(host)).toEqual(before);
	expect(JSON.parse(host.record()).interfaces[mac]).toBeDefined();
	Object.assign(link, { master: undefined, mac });
	host.kernel.unplug("bond0");
	await daemon.sleep(70);
	expect(ours(host)).toEqual(before);
	expect(policyRules(host)).toHaveLength(2);
});

test("what went while no daemon ran is cleaned up at the start", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	const first = await startDaemon(host);
	await first.sleep(5);
	await first.stop();
	host.endProcess();
	host.unplug("eth1");
	const second = await startDaemon(host);
	await second.sleep(5);
	expect(ours(host)).toEqual(["ifcfg-eth2", "route-eth2", "rule-eth2"]);
	expect(policyRules(host)).toEqual(["1002 from 10.0.3.62 lookup 1002"]);
});

test("thirty rounds of binding and unbinding leave nothing", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	const before = host.snapshot() + host.record();
	for (let time = 0; time < 30; time += 1) {
		const number = 1 + (time % 3);
		host.plug({
			name: `eth${number}`,
			mac: `52:54:00:00:01:${(time + 16).toString(16)}`,
			addresses: [`10.0.2.${time + 20}`],
		});
		await daemon.until(() => addressesOn(host, `eth${number}`).length > 0);
		host.unplug(`eth${number}`);
		await daemon.until(() => ours(host).length === 0);
	}
	await daemon.sleep(2);
	expect(host.snapshot() + host.record()).toBe(before);
	expect([...host.programs.open.values()]).toEqual([
		"/var/lib/eni-configure/daemon.lock",
	]);
	expect(host.signals.watchers.size).toBe(1);
	expect(daemon.log().join("\n")).not.toMatch(/warning|error/);
});
