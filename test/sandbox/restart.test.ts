import { describe, expect, it } from "vitest";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	withoutLoss,
} from "./scenario";

describe("--restart", () => {
	it("auto never restarts the service and never takes a live link down", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await withoutLoss(sandbox, () => run(sandbox, ["eth1"]));
			await sandbox.assign("eth1", "10.0.1.50");
			await run(sandbox, ["eth1"]);
			const calls = (await sandbox.calls()).map(({ argv }) => argv.join(" "));
			expect(calls.filter((call) => call.includes("restart"))).toEqual([]);
			expect(calls.filter((call) => call.startsWith("ifdown"))).toEqual([]);
			expect(calls.filter((call) => call.startsWith("ifup"))).toEqual([
				"ifup eth1",
			]);
		}));

	it("interface always bounces the NIC, with the old files for ifdown, so that no rule is left behind", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.release("eth1", "10.0.1.22");
			await sandbox.clearCalls();
			await withoutLoss(sandbox, () =>
				run(sandbox, ["eth1", "--restart", "interface", "--prune"]),
			);
			const calls = (await sandbox.calls()).map(({ argv }) => argv.join(" "));
			expect(calls.filter((call) => call.startsWith("if"))).toEqual([
				"ifdown eth1",
				"ifup eth1",
			]);
			expect(await sandbox.ip("rule")).not.toContain("10.0.1.22");
			await expectReachable(sandbox, ["10.0.1.20", "10.0.1.21"]);
			await sandbox.clearCalls();
			expect(
				(await run(sandbox, ["eth1", "--restart", "interface"])).outcome,
			).toBe("unchanged");
			expect(await sandbox.calls()).toEqual([]);
		}));

	it("service is the guide's literal Step 7, once for a changed spec", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.fault("arp-wait", "0");
			const report = await run(sandbox, ["eth1", "--restart", "service"]);
			expect(report.outcome).toBe("applied");
			const restarts = async () =>
				(await sandbox.calls("systemctl")).filter(({ argv }) =>
					argv.includes("restart"),
				);
			expect(await restarts()).toHaveLength(1);
			await expectReachable(sandbox, ["10.0.1.10", ...otherSubnet.addresses]);
			expect(
				(await run(sandbox, ["eth1", "--restart", "service"])).outcome,
			).toBe("unchanged");
			expect(await restarts()).toHaveLength(1);
		}));

	it("service is refused while ip_forward is 1 at run time only; --force does it and puts ip_forward back", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.fault("arp-wait", "0");
			await sandbox.sysctl("ip_forward", 1);
			const before = await sandbox.snapshot();
			const refused = await run(sandbox, ["eth1", "--restart", "service"], 5);
			expect(refused.error).toContain("net.ipv4.ip_forward is 1 in the kernel");
			expect(await sandbox.snapshot()).toBe(before);
			await run(sandbox, ["eth1", "--restart", "service", "--force"]);
			expect(await sandbox.sysctl("ip_forward")).toBe("1");
		}));

	it("service is refused while a link is on DHCP", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.ip(
				"addr",
				"change",
				"10.0.1.10/24",
				"dev",
				"eth0",
				"valid_lft",
				"3600",
				"preferred_lft",
				"3600",
			);
			const refused = await run(sandbox, ["eth1", "--restart", "service"], 5);
			expect(refused.error).toContain("eth0 holds a DHCP lease");
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
		}));

	it("service puts back a static route and a VIP that the restart drops", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.fault("arp-wait", "0");
			await sandbox.ip("addr", "add", "10.0.1.99/32", "dev", "eth0");
			await sandbox.ip(
				"route",
				"add",
				"10.60.0.0/16",
				"via",
				"10.0.1.1",
				"dev",
				"eth0",
			);
			await run(sandbox, ["eth1", "--restart", "service"]);
			expect(await sandbox.ip("-o", "addr", "show", "eth0")).toContain(
				"10.0.1.99/32",
			);
			expect(await sandbox.ip("route")).toContain(
				"10.60.0.0/16 via 10.0.1.1 dev eth0",
			);
		}));

	it("none writes the files and leaves the kernel alone", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const kernel = async () =>
				(await sandbox.snapshot()).split("== files")[0];
			const before = await kernel();
			const report = await run(sandbox, ["eth1", "--restart", "none"]);
			expect(report.steps.every(({ kind }) => kind === "write")).toBe(true);
			expect(await kernel()).toBe(before);
			expect(await sandbox.calls()).toEqual([]);
			expect((await run(sandbox, ["eth1", "--restart", "none"])).outcome).toBe(
				"unchanged",
			);
			await sandbox.fault("arp-wait", "0");
			await sandbox.guest(["/etc/init.d/network", "start"]);
			await expectReachable(sandbox, sameSubnet.addresses);
		}));

	it("waits while network.service has a job: pending, nothing changed", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.fault("job-pending", "4711");
			const before = await sandbox.snapshot();
			const report = await run(sandbox, ["eth1"], 5);
			expect(report.outcome).toBe("pending");
			expect(await sandbox.snapshot()).toBe(before);
			const waiting = run(sandbox, ["eth1", "--wait"]);
			await new Promise((resolve) => setTimeout(resolve, 700));
			await sandbox.clearFaults("job-pending");
			expect((await waiting).outcome).toBe("applied");
		}));
});

describe("beside NetworkManager", () => {
	it("takes the link out of its hands before ifup, so that rules survive", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.guest([
				"bash",
				"-ec",
				"mkdir -p /run/NetworkManager /etc/rc3.d; touch /etc/rc3.d/S10network",
			]);
			await sandbox.fault("nm-slow", "0.3");
			const stopManager = await startManager(sandbox);
			const report = await run(sandbox, ["eth1"]);
			expect(report.findings).toEqual([]);
			expect(
				await sandbox.read("/etc/sysconfig/network-scripts/ifcfg-eth1"),
			).toContain('NM_CONTROLLED="no"');
			expect(
				report.steps
					.filter(({ kind }) => kind === "run")
					.map(({ summary }) => summary),
			).toEqual([
				"nmcli connection load /etc/sysconfig/network-scripts/ifcfg-eth1",
				"wait until nmcli -t -f DEVICE,STATE device shows eth1:unmanaged",
				"ifup eth1",
			]);
			await expectReachable(sandbox, otherSubnet.addresses);
			await stopManager();
		}));

	it("where NetworkManager alone is in charge, is refused with the facts", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.guest([
				"bash",
				"-ec",
				"mkdir -p /run/NetworkManager; rm -rf /etc/rc3.d /etc/rc.d/rc3.d",
			]);
			const stopManager = await startManager(sandbox);
			const report = await run(sandbox, ["eth1"], 5);
			expect(report.error).toContain("NetworkManager is in charge here");
			await stopManager();
		}));
});

/** A process that is called NetworkManager; returns what ends it. */
async function startManager(sandbox: Sandbox): Promise<() => Promise<void>> {
	const script = `cp "$(type -P sleep)" /run/NetworkManager/NetworkManager
		/run/NetworkManager/NetworkManager 40 & pid=$!
		touch /run/NetworkManager/started
		while [[ ! -e /run/NetworkManager/end ]]; do sleep 0.05; done
		kill $pid`;
	const manager = sandbox.guest(["bash", "-c", script], { timeoutMs: 30_000 });
	while (!(await sandbox.exists("/run/NetworkManager/started")))
		await new Promise((resolve) => setTimeout(resolve, 20));
	return async () => {
		await sandbox.write("/run/NetworkManager/end", "");
		await manager;
	};
}
