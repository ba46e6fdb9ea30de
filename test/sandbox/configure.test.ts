import { describe, expect, it } from "vitest";
import {
	expectReachable,
	fileTimes,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	withoutLoss,
} from "./scenario";

describe.each([
	["the primary's subnet", sameSubnet],
	["a subnet of its own", otherSubnet],
])("an ENI in %s", (_, eni) => {
	it.each(["0", "1", "2"])(
		"answers on every private IP with --rp-filter %s, and eth0 loses no probe",
		(rpFilter) =>
			inSandbox({}, async (sandbox) => {
				await sandbox.plug(eni);
				const defaultRoute = await sandbox.ip("route", "show", "default");
				const primary = await sandbox.ip("-o", "-4", "addr", "show", "eth0");
				const report = await withoutLoss(sandbox, () =>
					run(sandbox, ["eth1", "--rp-filter", rpFilter]),
				);
				expect(report.outcome).toBe("applied");
				expect(report.findings).toEqual([]);
				await expectReachable(sandbox, eni.addresses);
				expect(await sandbox.ip("route", "show", "default")).toBe(defaultRoute);
				expect(await sandbox.ip("-o", "-4", "addr", "show", "eth0")).toBe(
					primary,
				);
				for (const name of ["all", "default", "eth0", "eth1"]) {
					expect(await sandbox.sysctl(`conf/${name}/rp_filter`)).toBe(rpFilter);
				}
			}),
	);

	it("is left as it is by a second run: no file touched, nothing but reads, exit 0", () =>
		inSandbox({ enis: [eni] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const before = await fileTimes(sandbox);
			const state = await sandbox.snapshot();
			await sandbox.clearCalls();
			const report = await run(sandbox, ["eth1"]);
			expect(report.outcome).toBe("unchanged");
			expect(report.steps).toEqual([]);
			expect(await fileTimes(sandbox)).toBe(before);
			expect(await sandbox.snapshot()).toBe(state);
			expect(await sandbox.calls()).toEqual([]);
		}));

	it("comes up from its files alone at `network start`, without the agent", () =>
		inSandbox({ enis: [eni] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.guest(["/etc/init.d/network", "stop"]);
			await sandbox.guest([
				"bash",
				"-c",
				"ip rule flush; ip rule add from all lookup main priority 32766; ip route flush table 1001; ip addr flush dev eth1",
			]);
			expect(await sandbox.ip("-4", "addr", "show", "eth1")).not.toContain(
				eni.addresses[0],
			);
			await sandbox.fault("arp-wait", "0");
			const start = await sandbox.guest(["/etc/init.d/network", "start"]);
			expect(start.exitCode, start.stdout + start.stderr).toBe(0);
			await expectReachable(sandbox, ["10.0.1.10", ...eni.addresses]);
		}));

	it("does not cost the primary its route when eth0 is bounced afterwards", () =>
		inSandbox({ enis: [eni] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.fault("arp-wait", "0");
			await sandbox.guest(["bash", "-c", "ifdown eth0; ifup eth0"]);
			expect(await sandbox.ip("route", "show", "default")).toContain(
				"dev eth0",
			);
			expect(await sandbox.ip("route", "get", "10.0.1.1")).toContain(
				"dev eth0",
			);
			await expectReachable(sandbox, ["10.0.1.10", ...eni.addresses]);
		}));

	it("is reached from a container, and a process bound to its address reaches the container", () =>
		inSandbox({ enis: [eni] }, async (sandbox) => {
			const container = await sandbox.container("docker0");
			await run(sandbox, ["eth1"]);
			const address = eni.addresses[0] as string;
			expect(
				await sandbox.reach(address, { from: "docker0", timeoutMs: 3000 }),
			).toBe(true);
			expect(
				await sandbox.reach(container, {
					from: "guest",
					source: address,
					timeoutMs: 3000,
				}),
			).toBe(true);
			expect(await sandbox.ip("route", "show", "table", "1001")).toContain(
				"throw 172.17.0.0/16",
			);
			await expectReachable(sandbox, eni.addresses);
		}));

	it("is taken away by `remove` until nothing differs from before", () =>
		inSandbox({ enis: [eni] }, async (sandbox) => {
			await sandbox.container("docker0");
			const before = await sandbox.snapshot();
			await run(sandbox, ["eth1"]);
			expect(await sandbox.snapshot()).not.toBe(before);
			const report = await withoutLoss(sandbox, () =>
				run(sandbox, ["remove", "eth1"]),
			);
			expect(report.outcome).toBe("applied");
			expect(await sandbox.snapshot()).toBe(before);
			expect((await run(sandbox, ["remove", "eth1"])).outcome).toBe(
				"unchanged",
			);
		}));
});

describe("addresses", () => {
	it("configures 30 addresses on one ENI", () =>
		inSandbox({}, async (sandbox) => {
			const addresses = Array.from(
				{ length: 30 },
				(_, at) => `10.0.1.${40 + at}`,
			);
			await sandbox.plug({ name: "eth1", subnet: "10.0.1.0/24", addresses });
			await withoutLoss(sandbox, () => run(sandbox, ["eth1"]));
			await expectReachable(sandbox, addresses);
			expect(
				(await sandbox.read("/etc/sysconfig/network-scripts/ifcfg-eth1")).match(
					/^IPADDR/gm,
				),
			).toHaveLength(30);
		}));

	it("takes 10.x addresses with a /20 mask for what they are", () =>
		inSandbox(
			{
				enis: [
					{
						name: "eth1",
						subnet: "10.8.16.0/20",
						addresses: ["10.8.17.5", "10.8.30.9"],
					},
				],
			},
			async (sandbox) => {
				await run(sandbox, ["eth1"]);
				expect(await sandbox.ip("-o", "addr", "show", "eth1")).toContain(
					"10.8.17.5/20",
				);
				expect(await sandbox.ip("route")).not.toContain("10.0.0.0/8");
				await sandbox.guest(["/etc/init.d/network", "stop"]);
				await sandbox.fault("arp-wait", "0");
				await sandbox.guest(["/etc/init.d/network", "start"]);
				expect(await sandbox.ip("route")).not.toContain("10.0.0.0/8");
				await expectReachable(sandbox, ["10.8.17.5", "10.8.30.9"]);
			},
		));

	it("configures an ENI in a /31", () =>
		inSandbox(
			{
				enis: [
					{
						name: "eth1",
						subnet: "10.0.9.0/31",
						gateway: "10.0.9.0",
						addresses: ["10.0.9.1"],
					},
				],
			},
			async (sandbox) => {
				expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
				await expectReachable(sandbox, ["10.0.9.1"]);
			},
		));

	it.each([1, 2, 3])(
		"removes released address number %i with --prune, and the others go on answering",
		(at) =>
			inSandbox({}, async (sandbox) => {
				const addresses = ["10.0.1.20", "10.0.1.21", "10.0.1.22", "10.0.1.23"];
				await sandbox.plug({ ...sameSubnet, addresses });
				await run(sandbox, ["eth1"]);
				const released = addresses[at] as string;
				const rest = addresses.filter((address) => address !== released);
				await sandbox.release("eth1", released);
				const kept = await run(sandbox, ["eth1"]);
				expect(kept.outcome).toBe("unchanged");
				expect(kept.notes.map((note) => note.text).join()).toContain(released);
				await sandbox.clearCalls();
				const report = await run(sandbox, ["eth1", "--prune"]);
				expect(report.outcome).toBe("applied");
				expect(await sandbox.calls("ifup")).toEqual([]);
				expect(await sandbox.ip("-o", "addr", "show", "eth1")).not.toContain(
					`${released}/`,
				);
				expect(await sandbox.ip("rule")).not.toContain(`${released} `);
				await expectReachable(sandbox, rest);
				expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
			}),
	);

	it("adds an assigned address without taking the link down", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.assign("eth1", "10.0.1.9");
			await sandbox.clearCalls();
			const probe = await sandbox.probe("10.0.1.21");
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			expect((await probe.stop()).lost).toBe(0);
			expect(await sandbox.calls("ifdown")).toEqual([]);
			await expectReachable(sandbox, [...sameSubnet.addresses, "10.0.1.9"]);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
		}));
});

describe("several ENIs", () => {
	it("configures seven in one run of --all, in shared and separate subnets", () =>
		inSandbox({}, async (sandbox) => {
			const all: string[] = [];
			for (let number = 1; number <= 7; number += 1) {
				const net = number % 2 === 0 ? 1 : number + 1;
				const addresses = [
					`10.0.${net}.${100 + number}`,
					`10.0.${net}.${110 + number}`,
				];
				await sandbox.plug({
					name: `eth${number}`,
					subnet: `10.0.${net}.0/24`,
					addresses,
				});
				all.push(...addresses);
			}
			const report = await withoutLoss(sandbox, () => run(sandbox, ["--all"]));
			expect(
				report.interfaces
					.filter(({ outcome }) => outcome === "applied")
					.map(({ name, table }) => [name, table]),
			).toEqual(
				[1, 2, 3, 4, 5, 6, 7].map((number) => [`eth${number}`, 1000 + number]),
			);
			await expectReachable(sandbox, ["10.0.1.10", ...all]);
			expect((await run(sandbox, ["--all"])).outcome).toBe("unchanged");
		}));

	it("keeps eth10 apart from eth1", () =>
		inSandbox(
			{
				enis: [
					sameSubnet,
					{ name: "eth10", subnet: "10.0.3.0/24", addresses: ["10.0.3.10"] },
				],
			},
			async (sandbox) => {
				await run(sandbox, ["eth10"]);
				expect(await sandbox.ip("-o", "-4", "addr", "show", "eth1")).toBe("");
				await run(sandbox, ["eth1"]);
				await expectReachable(sandbox, [...sameSubnet.addresses, "10.0.3.10"]);
				await run(sandbox, ["remove", "eth1"]);
				expect((await run(sandbox, ["eth10"])).outcome).toBe("unchanged");
				await expectReachable(sandbox, ["10.0.3.10"]);
			},
		));

	it("skips a table and a priority that somebody else uses", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.ip(
				"rule",
				"add",
				"from",
				"10.50.0.0/16",
				"lookup",
				"main",
				"priority",
				"1001",
			);
			const report = await run(sandbox, ["eth1"]);
			expect(report.interfaces[0]?.table).toBe(1002);
			await expectReachable(sandbox, sameSubnet.addresses);
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.ip("rule")).toContain("1001:\tfrom 10.50.0.0/16");
		}));

	it("configures the fine ones when another one's gateway is silent", () =>
		inSandbox(
			{
				enis: [
					otherSubnet,
					{ name: "eth2", subnet: "10.0.3.0/24", addresses: ["10.0.3.9"] },
				],
			},
			async (sandbox) => {
				await sandbox.gatewaySilent("eth2", true);
				const report = await run(sandbox, ["eth1", "eth2"], 3);
				expect(
					report.interfaces.map(({ name, outcome }) => [name, outcome]),
				).toEqual([
					["eth1", "applied"],
					["eth2", "rolled-back"],
				]);
				await expectReachable(sandbox, otherSubnet.addresses);
				expect(
					await sandbox.exists("/etc/sysconfig/network-scripts/ifcfg-eth2"),
				).toBe(false);
				expect(await sandbox.read("/etc/sysctl.conf")).not.toContain("eth2");
				expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
			},
		));
});
