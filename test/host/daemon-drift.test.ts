import { describe, expect, test } from "vitest";
import { type Daemon, startDaemon } from "./daemon";
import { addressesOn, policyRules } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { respond } from "./metadata";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const trouble = { kind: "failed", reason: "ETIMEDOUT", reset: false } as const;
const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth1";

async function steady(): Promise<{ host: FakeHost; daemon: Daemon }> {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(45);
	daemon.forget();
	return { host, daemon };
}

describe("a private IP that is released", () => {
	test("goes when the answer has been the same for half a minute, not before", async () => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.release("eth1", "10.0.2.63");
		await daemon.until(() => daemon.passes().length > 0, 66);
		await daemon.sleep(28);
		expect(host.snapshot()).toBe(before);
		expect(daemon.status().releases).toEqual([
			{
				link: "eth1",
				addresses: ["10.0.2.63/32"],
				dueAt: expect.any(String),
			},
		]);
		await daemon.sleep(5);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
		expect(policyRules(host)).toHaveLength(1);
		expect(host.read(ifcfg)?.content).not.toContain("10.0.2.63");
		expect(host.kernel.link("eth1")?.up).toBe(true);
		await daemon.sleep(61);
		expect(daemon.status().releases).toEqual([]);
		expect(daemon.log()).toEqual([
			expect.stringMatching(/^warning: eth1: 10\.0\.2\.63 is no longer listed/),
			expect.stringMatching(/^info: eth1: removed 10\.0\.2\.63: released \(/),
		]);
	});

	test("stays when it is assigned again within half a minute", async () => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.release("eth1", "10.0.2.63");
		daemon.hangUp();
		await daemon.sleep(20);
		host.assign("eth1", "10.0.2.63");
		daemon.hangUp();
		await daemon.sleep(1);
		host.release("eth1", "10.0.2.63");
		daemon.hangUp();
		await daemon.sleep(28);
		expect(host.snapshot()).toBe(before);
		await daemon.sleep(4);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
	});

	test.each([
		["no answer", trouble],
		["a 404", respond(404, "no")],
		["a 500", respond(500, "oops")],
		["an empty list", respond(200, "")],
	])("is not taken away by %s in between", async (_, answer) => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.release("eth1", "10.0.2.63");
		daemon.hangUp();
		await daemon.sleep(2);
		host.metadata.trouble = answer;
		await daemon.sleep(600);
		expect(host.snapshot()).toBe(before);
		host.metadata.trouble = undefined;
		await daemon.sleep(100);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
	});

	test("is worth nothing to a NIC whose addresses the config gives", async () => {
		const host = await createFakeHost({
			enis: [eth1],
			files: {
				"/etc/eni-configure/config.yaml":
					"interfaces:\n  eth1:\n    addresses: [10.0.2.62/24, 10.0.2.63/32]\n    gateway: 10.0.2.1\n",
			},
		});
		const daemon = await startDaemon(host);
		host.release("eth1", "10.0.2.63");
		await daemon.sleep(300);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.63/32"]);
		expect(daemon.status().releases).toEqual([]);
	});

	test("another address in its place: the new one comes at once, the old one goes later", async () => {
		const { host, daemon } = await steady();
		host.release("eth1", "10.0.2.63");
		host.assign("eth1", "10.0.2.64");
		daemon.hangUp();
		await daemon.sleep(1);
		expect(addressesOn(host, "eth1")).toEqual([
			"10.0.2.62/24",
			"10.0.2.63/32",
			"10.0.2.64/32",
		]);
		await daemon.sleep(40);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.64/32"]);
	});

	test("moved to another ENI of the machine, it follows", async () => {
		const host = await createFakeHost({
			enis: [
				eth1,
				{ name: "eth2", addresses: ["10.0.2.90"], subnet: "10.0.2.0/24" },
			],
		});
		const daemon = await startDaemon(host);
		await daemon.sleep(5);
		host.release("eth1", "10.0.2.63");
		host.assign("eth2", "10.0.2.63");
		await daemon.sleep(240);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
		expect(addressesOn(host, "eth2")).toEqual(["10.0.2.63/32", "10.0.2.90/24"]);
	});
});

describe("while the metadata service is out for an hour", () => {
	test("nothing is taken away, drift is put right from the record, and the rest comes when it is back", async () => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.metadata.trouble = trouble;
		host.assign("eth1", "10.0.2.64");
		await daemon.sleep(1800);
		expect(host.snapshot()).toBe(before);
		await host.type("ip addr del 10.0.2.63/32 dev eth1");
		await daemon.sleep(2);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.63/32"]);
		await host.type("ip rule del from 10.0.2.62 priority 1001");
		await daemon.sleep(66);
		expect(host.snapshot().split("\n").sort()).toEqual(
			before.split("\n").sort(),
		);
		await daemon.sleep(1800);
		expect(daemon.status().metadata.problem).toBeTruthy();
		host.metadata.trouble = undefined;
		await daemon.sleep(66);
		expect(addressesOn(host, "eth1")).toEqual([
			"10.0.2.62/24",
			"10.0.2.63/32",
			"10.0.2.64/32",
		]);
		expect(daemon.status().metadata.problem).toBeUndefined();
		expect(daemon.log().filter((line) => !line.startsWith("info"))).toEqual([]);
	});

	test("a daemon that starts in it puts drift right all the same", async () => {
		const { host, daemon } = await steady();
		await daemon.stop();
		host.metadata.trouble = trouble;
		const before = host.snapshot();
		await host.type("ip addr del 10.0.2.63/32 dev eth1");
		host.endProcess();
		const second = await startDaemon(host);
		await second.sleep(5);
		expect(host.snapshot().split("\n").sort()).toEqual(
			before.split("\n").sort(),
		);
		expect(second.log().join("\n")).toMatch(/put right: 10\.0\.2\.63/);
	});
});

describe("drift", () => {
	const drifts: [string, (host: FakeHost) => Promise<void> | void, RegExp][] = [
		[
			"an address that somebody deleted",
			(host) => host.type("ip addr del 10.0.2.63/32 dev eth1"),
			/10\.0\.2\.63\/32 was missing/,
		],
		[
			"a rule that somebody deleted",
			(host) => host.type("ip rule del from 10.0.2.62 priority 1001"),
			/the rule from 10\.0\.2\.62\/32 lookup 1001 priority 1001 was missing/,
		],
		[
			"a link that somebody took down",
			(host) => host.type("ip link set dev eth1 down"),
			/the link was down/,
		],
		[
			"a file that somebody removed",
			(host) => host.disk.fs.rmSync(ifcfg),
			/ifcfg-eth1 was missing/,
		],
		[
			"an rp_filter that another agent set",
			(host) => {
				host.kernel.sysctls.set("conf/eth1/rp_filter", "1");
			},
			/net\.ipv4\.conf\.eth1\.rp_filter was 1/,
		],
		[
			"the rp_filter of all links",
			(host) => {
				host.kernel.sysctls.set("conf/all/rp_filter", "1");
			},
			/net\.ipv4\.conf\.all\.rp_filter was 1/,
		],
	];
	test.each(drifts)("%s is put right with one line", async (_, act, what) => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.operations.reset();
		await act(host);
		await daemon.sleep(70);
		expect(host.snapshot().split("\n").sort()).toEqual(
			before.split("\n").sort(),
		);
		expect(daemon.log()).toEqual([
			expect.stringMatching(new RegExp(`^info: .*put right: .*${what.source}`)),
		]);
		// Its routes went with the link: what brings them back is ifup.
		expect(commands(host)).toEqual(
			what.source.includes("link was down") ? ["ifup eth1"] : [],
		);
		expect(daemon.status().drift[0]).toMatchObject({ times: 1 });
	});

	test("with `restart: service` in the config drift does not restart the service", async () => {
		const host = await createFakeHost({
			enis: [eth1],
			files: { "/etc/eni-configure/config.yaml": "restart: service\n" },
		});
		const daemon = await startDaemon(host);
		await daemon.sleep(30);
		expect(commands(host)).toContain("systemctl restart network");
		host.operations.reset();
		await host.type("ip addr del 10.0.2.63/32 dev eth1");
		await host.type("ip rule del from 10.0.2.62 priority 1001");
		await daemon.sleep(70);
		expect(policyRules(host)).toHaveLength(2);
		expect(addressesOn(host, "eth1")).toHaveLength(2);
		expect(commands(host)).toEqual([]);
	});

	test("with `restart: none` the kernel is nobody's business", async () => {
		const host = await createFakeHost({
			enis: [eth1],
			files: { "/etc/eni-configure/config.yaml": "restart: none\n" },
		});
		const daemon = await startDaemon(host);
		await daemon.sleep(200);
		expect(host.read(ifcfg)).toBeDefined();
		expect(addressesOn(host, "eth1")).toEqual([]);
		expect(daemon.log()).toHaveLength(2);
	});
});

describe("a fight with another agent", () => {
	test("ends with a warning after three rounds; hours of it cost a handful of repairs", async () => {
		const { host, daemon } = await steady();
		let repairs = 0;
		const hours = 3;
		// The other one looks every 20 seconds.
		for (let time = 0; time < (hours * 3600) / 20; time += 1) {
			if (addressesOn(host, "eth1").includes("10.0.2.63/32")) {
				repairs += 1;
				await host.type("ip addr del 10.0.2.63/32 dev eth1");
			}
			await daemon.sleep(20);
		}
		// Three, then after 1, 2 and 5 minutes, then every ten.
		expect(repairs).toBeGreaterThan(10);
		expect(repairs).toBeLessThan(3 + 3 + hours * 6 + 2);
		const warnings = daemon.log().filter((line) => line.startsWith("warning"));
		expect(warnings.length).toBeLessThanOrEqual(repairs);
		expect(warnings[0]).toMatch(
			/^warning: eth1: 10\.0\.2\.63\/32 was missing.* 3 times.* 1 min/,
		);
		expect(warnings.at(-1)).toMatch(/10 min/);
		expect(daemon.status().drift).toEqual([
			expect.objectContaining({ what: "10.0.2.63/32 was missing" }),
		]);
		// The rest of the NIC was kept up all the while.
		expect(addressesOn(host, "eth1")).toContain("10.0.2.62/24");
		expect(policyRules(host)).toHaveLength(2);
		// When the other one is gone, it is put right by itself and stays.
		await daemon.sleep(700);
		expect(addressesOn(host, "eth1")).toContain("10.0.2.63/32");
		await daemon.sleep(2400);
		expect(daemon.status().drift).toEqual([]);
	});

	test("is noticed while another NIC is held, or waits, and each repair is said", async () => {
		const host = await createFakeHost({
			enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
			files: { "/etc/sysconfig/network-scripts/ifcfg-eth2": "DEVICE=eth2\n" },
		});
		const daemon = await startDaemon(host);
		await daemon.sleep(45);
		expect(daemon.status().waiting[0]?.kind).toBe("held");
		daemon.forget();
		host.kernel.sysctls.set("conf/all/rp_filter", "1");
		await daemon.sleep(66);
		expect(daemon.log()).toEqual([
			expect.stringMatching(
				/^info: put right: net\.ipv4\.conf\.all\.rp_filter/,
			),
		]);
		let repairs = 0;
		for (let time = 0; time < 180; time += 1) {
			if (addressesOn(host, "eth1").includes("10.0.2.63/32")) {
				repairs += 1;
				await host.type("ip addr del 10.0.2.63/32 dev eth1");
			}
			await daemon.sleep(20);
		}
		expect(repairs).toBeLessThan(15);
		expect(daemon.log().join("\n")).toMatch(/10\.0\.2\.63.* 3 times/);
	});

	test("over rp_filter, on a schedule, is noticed too", async () => {
		const { host, daemon } = await steady();
		let repairs = 0;
		for (let minute = 0; minute < 120; minute += 1) {
			if (host.kernel.sysctls.get("conf/all/rp_filter") === "0") repairs += 1;
			host.kernel.sysctls.set("conf/all/rp_filter", "1");
			await daemon.sleep(60);
		}
		expect(repairs).toBeLessThan(30);
		expect(daemon.log().filter((line) => /warning/.test(line))[0]).toMatch(
			/net\.ipv4\.conf\.all\.rp_filter.*3 times/,
		);
	});

	test("does not keep an address assigned in the cloud from being added", async () => {
		const { host, daemon } = await steady();
		for (let time = 0; time < 5; time += 1) {
			if (addressesOn(host, "eth1").includes("10.0.2.63/32"))
				await host.type("ip addr del 10.0.2.63/32 dev eth1");
			await daemon.sleep(5);
		}
		expect(daemon.status().drift[0]?.leftUntil).toBeDefined();
		host.assign("eth1", "10.0.2.64");
		daemon.hangUp();
		await daemon.sleep(2);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.64/32"]);
	});
});

function commands(host: FakeHost): string[] {
	return host.operations
		.list()
		.filter(({ kind }) => kind === "command")
		.map(({ target }) => target);
}
