import { describe, expect, it } from "vitest";
import {
	type AgentReport,
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

function kinds(report: AgentReport): string[] {
	return [...new Set(report.findings.map(({ kind }) => kind))].sort();
}

describe("what does not verify", () => {
	it("an ifup that adds no address is found and mended by the kernel's difference, once and for good", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.fault("ifup-adds-nothing");
			const report = await run(sandbox, ["eth1"]);
			expect(report.outcome).toBe("applied");
			expect(kinds(report)).toContain("address");
			expect(report.findings.every(({ mended }) => mended)).toBe(true);
			expect(await sandbox.calls("systemctl")).toEqual([
				expect.objectContaining({ argv: expect.arrayContaining(["show"]) }),
			]);
			await expectReachable(sandbox, sameSubnet.addresses);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
		}));

	it("an ifup that fails outright is named, and the difference mends it", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.fault("ifup-fails.once");
			const report = await run(sandbox, ["eth1"]);
			expect(report.outcome).toBe("applied");
			expect(report.findings.find(({ kind }) => kind === "command")?.want).toBe(
				"ifup eth1 succeeds",
			);
			await expectReachable(sandbox, otherSubnet.addresses);
		}));

	it("a stolen default route is found, named and put back", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const before = await sandbox.ip("route", "show", "default");
			await sandbox.fault("ifup-steals-default");
			const report = await run(sandbox, ["eth1"]);
			expect(kinds(report)).toContain("default-route");
			expect(report.findings.every(({ mended }) => mended)).toBe(true);
			expect(await sandbox.ip("route", "show", "default")).toBe(before);
			await expectReachable(sandbox, ["10.0.1.10", ...otherSubnet.addresses]);
		}));

	it("a gateway that answers no ARP on the ENI is named after 10 s and everything is rolled back to the byte", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.gatewaySilent("eth1", true);
			const before = await sandbox.snapshot();
			const report = await run(sandbox, ["eth1"], 3);
			expect(report.outcome).toBe("rolled-back");
			expect(report.findings).toEqual([
				{
					link: "eth1",
					kind: "neighbour",
					want: "the gateway 10.0.1.1 answers ARP on eth1",
					got: "no answer",
				},
			]);
			expect(await sandbox.snapshot()).toBe(before);
			expect(report.timings.verifyMs).toBeGreaterThan(9000);
		}));

	it("rp_filter that is re-asserted once is put right; re-asserted for ever it is named and everything is rolled back", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const before = await sandbox.snapshot();
			const stop = await fight(
				sandbox,
				"echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
			);
			const report = await run(sandbox, ["eth1"], 3);
			await stop();
			expect(report.outcome).toBe("rolled-back");
			expect(report.findings).toContainEqual({
				link: null,
				kind: "rp_filter",
				want: "net.ipv4.conf.all.rp_filter = 0",
				got: "1",
			});
			expect(await sandbox.calls("systemctl")).toHaveLength(1);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("a default route that is stolen for ever leads to a roll back, and the machine keeps its own", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const before = await sandbox.snapshot();
			const stop = await fight(
				sandbox,
				batchOf("route replace default via 10.0.2.1 dev eth1"),
			);
			const report = await run(sandbox, ["eth1"], 3);
			await stop();
			expect(kinds(report)).toContain("default-route");
			expect(await sandbox.snapshot()).toBe(before);
			await expectReachable(sandbox, ["10.0.1.10"]);
		}));

	it("an address that never comes to stand, though every command says so, leads to a roll back", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const before = await sandbox.snapshot();
			// An `ip` that swallows whatever adds this one address.
			const real = (
				await sandbox.guest(["bash", "-c", "type -P ip"])
			).stdout.trim();
			await sandbox.write(
				"/etc/sandbox/bin/ip",
				`#!/bin/bash
if [[ "$*" == *batch* ]]; then grep -v "add 10.0.2.21/32" | ${real} "$@"; exit; fi
[[ "$*" == *"addr add 10.0.2.21/32"* ]] || exec ${real} "$@"
`,
				0o755,
			);
			const report = await run(sandbox, ["eth1"], 3);
			await sandbox.remove("/etc/sandbox/bin/ip");
			expect(report.outcome).toBe("rolled-back");
			expect(report.findings).toEqual([
				{ link: "eth1", kind: "address", want: "10.0.2.21/32", got: "missing" },
			]);
			// The ladder: the difference, then one restart of this interface, never of the service.
			expect(
				(await sandbox.calls())
					.map(({ argv }) => argv.join(" "))
					.filter((call) => !call.includes("show")),
			).toEqual(["ifup eth1", "ifdown eth1", "ifup eth1"]);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("drift found by a later run is put right without a restart", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.container("docker0");
			await run(sandbox, ["eth1"]);
			const good = await sandbox.snapshot();
			await sandbox.clearCalls();
			const drift = [
				"ip addr del 10.0.1.21/32 dev eth1",
				"ip rule del from 10.0.1.22 priority 1001",
				"ip route del default table 1001",
				"ip route del throw 172.17.0.0/16 table 1001",
				"ip route append 10.0.1.0/24 dev eth1 proto kernel scope link src 10.0.1.20",
				"echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
				"echo 0 >/proc/sys/net/ipv4/conf/eth1/arp_ignore",
			];
			for (const command of drift) {
				const result = await sandbox.guest(["bash", "-c", command]);
				expect(result.exitCode, command + result.stderr).toBe(0);
				expect((await run(sandbox, ["eth1"])).outcome, command).toBe("applied");
				expect(await sandbox.snapshot(), command).toBe(good);
			}
			expect(await sandbox.calls("ifup")).toEqual([]);
			expect(await sandbox.calls("ifdown")).toEqual([]);
		}));

	it("a duplicate rule, as a second ifup makes it on CentOS 7.2, is cleared", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const good = await sandbox.snapshot();
			await sandbox.guest(["ifup", "eth1"]);
			expect(await sandbox.snapshot()).not.toBe(good);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			expect(await sandbox.snapshot()).toBe(good);
		}));
});

/** One `ip` for a thousand times the same line: faster than the agent can look. */
function batchOf(line: string): string {
	return `yes '${line}' | head -n 1000 | ip -force -batch - >/dev/null 2>&1`;
}

/** Runs a command again and again in the guest, as another agent would; returns what ends it. */
async function fight(
	sandbox: Parameters<Parameters<typeof inSandbox>[1]>[0],
	command: string,
): Promise<() => Promise<void>> {
	// Two of them, so that on a busy machine one is always at it.
	const script = `fight() { while [[ ! -e /run/sandbox/peace ]]; do ${command}; done; }
		fight & fight; wait; touch /run/sandbox/ended`;
	const loop = sandbox.guest(["bash", "-c", script], { timeoutMs: 50_000 });
	return async () => {
		await sandbox.write("/run/sandbox/peace", "");
		await loop;
		await sandbox.remove("/run/sandbox/peace");
	};
}
