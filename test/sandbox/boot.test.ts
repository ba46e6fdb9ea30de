import { describe, expect, it } from "vitest";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	shell,
} from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const state = "/var/lib/eni-configure";
const eth2 = { ...otherSubnet, name: "eth2" };

/** What the machine does when it boots, as far as the network service goes. */
async function startNetwork(sandbox: Sandbox): Promise<number> {
	await sandbox.fault("arp-wait", "0");
	const { exitCode } = await sandbox.guest(["/etc/init.d/network", "start"]);
	return exitCode;
}

/** The links down and empty, the rules gone: as the kernel is before the network service has started. */
async function powerOff(sandbox: Sandbox, links: string[]): Promise<void> {
	for (const link of links)
		await shell(
			sandbox,
			`ip addr flush dev ${link} scope global; ip link set ${link} down`,
		);
	await shell(
		sandbox,
		"while ip rule del table 1001 2>/dev/null || ip rule del table 1002 2>/dev/null; do :; done",
	);
}

async function boot(sandbox: Sandbox) {
	const result = await sandbox.agent(["boot"]);
	expect(result.exitCode, result.stderr).toBe(0);
	expect(result.stdout).toBe("");
	return result.stderr;
}

describe("boot", () => {
	it("parks the files of a NIC that was unbound while the machine was off, over which the network service fails", () =>
		inSandbox({ enis: [sameSubnet, eth2] }, async (sandbox) => {
			await run(sandbox, ["eth1", "eth2"]);
			const file = await sandbox.read(`${scripts}/ifcfg-eth1`);
			await powerOff(sandbox, ["eth0", "eth2"]);
			await sandbox.unplug("eth1");
			expect(await startNetwork(sandbox)).not.toBe(0);

			await powerOff(sandbox, ["eth0", "eth2"]);
			await sandbox.clearCalls();
			expect(await boot(sandbox)).toContain("eth1: no NIC has the MAC");
			// Files only: no ip, no systemctl.
			expect(await sandbox.calls()).toEqual([]);
			expect(
				(await sandbox.list(scripts)).filter((name) => name.endsWith("-eth1")),
			).toEqual([]);
			expect((await sandbox.list(`${state}/parked`)).sort()).toEqual([
				"ifcfg-eth1",
				"route-eth1",
				"rule-eth1",
			]);
			expect(await sandbox.read(`${state}/parked/ifcfg-eth1`)).toBe(file);
			expect((await sandbox.stat(`${state}/parked`)).mode & 0o777).toBe(0o700);
			expect(await startNetwork(sandbox)).toBe(0);
			await expectReachable(sandbox, ["10.0.1.10", ...eth2.addresses]);

			// And the next ordinary run sees that the NIC is gone, then that it is back.
			await run(sandbox, ["--all"]);
			expect(await sandbox.read("/etc/sysctl.conf")).not.toContain("eth1");
			await sandbox.plug(sameSubnet);
			await run(sandbox, ["--all", "--wait"]);
			await expectReachable(sandbox, [
				...sameSubnet.addresses,
				...eth2.addresses,
			]);
		}));

	it("undoes a run that an earlier boot has interrupted, and the machine comes up as it was before it", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const files = async () => (await sandbox.snapshot()).split("== files")[1];
			const before = await files();
			await sandbox.fault("ifup-slow", "6");
			const agent = sandbox.spawnAgent(["eth1"]);
			while ((await sandbox.calls("ifup")).length === 0)
				await new Promise((resolve) => setTimeout(resolve, 10));
			agent.kill("SIGKILL");
			await agent;
			// ifup runs on, and has the lock.
			expect(await boot(sandbox)).toMatch(/ifup eth1[\s\S]*left to that/);
			await shell(sandbox, `flock -w 20 ${state}/lock true`);
			expect(await boot(sandbox)).toContain("left to the next start");
			// As if the machine had booted since.
			await shell(
				sandbox,
				`sed -i 's/"bootId":"[^"]*"/"bootId":"00000000-0000-4000-8000-000000000000"/' ${state}/journal.json`,
			);
			await sandbox.clearFaults();
			await powerOff(sandbox, ["eth0", "eth1"]);
			expect(await files()).not.toBe(before);
			expect(await boot(sandbox)).toContain("recovered: ");
			expect(await files()).toBe(before);
			expect(await sandbox.exists(`${state}/journal.json`)).toBe(false);
			expect(await startNetwork(sandbox)).toBe(0);
			expect((await run(sandbox, ["eth1"])).recovered).toBe(false);
			await expectReachable(sandbox, sameSubnet.addresses);
		}));

	it("is in no help and no completion, and goes by no config", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			expect((await sandbox.agent(["--help"])).stdout).not.toMatch(/\bboot\b/);
			expect(
				(await sandbox.agent(["--get-yargs-completions", "bo"])).stdout,
			).not.toContain("boot");
			await sandbox.write("/etc/eni-configure/config.yaml", "nonsense: [");
			await run(sandbox, ["plan", "eth1"], 2);
			const result = await sandbox.agent(["boot"], {
				env: { ENI_CONFIGURE_LOG_LEVEL: "nonsense" },
			});
			expect(result).toMatchObject({ exitCode: 0, stderr: "" });
			expect((await sandbox.agent(["boot", "--all"])).exitCode).toBe(2);
		}));
});
