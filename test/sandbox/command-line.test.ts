import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { agentBundle } from "./paths";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

describe("plan", () => {
	it("shows files as a unified diff, the commands and what stays untouched; needs no root and changes nothing", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const before = await sandbox.snapshot("/var/lib/eni-configure");
			const result = await sandbox.asNobody([
				process.execPath,
				agentBundle,
				"plan",
				"eth1",
			]);
			expect(result.exitCode, result.stderr).toBe(0);
			expect(result.stdout).toContain(
				"+++ /etc/sysconfig/network-scripts/ifcfg-eth1\n",
			);
			expect(result.stdout).toContain('+IPADDR="10.0.1.20"');
			expect(result.stdout).toContain("-net.ipv4.conf.default.rp_filter = 1");
			expect(result.stdout).toMatch(
				/Commands, in this order:[\s\S]*\n {2}ifup eth1\n/,
			);
			expect(result.stdout).toContain(
				"eth0: the primary: only its rp_filter is set",
			);
			expect(await sandbox.snapshot("/var/lib/eni-configure")).toBe(before);
			expect((await run(sandbox, ["eth1", "--dry-run"])).outcome).toBe(
				"planned",
			);
			expect(await sandbox.snapshot("/var/lib/eni-configure")).toBe(before);
		}));

	it("says that a service restart has no inverse, and `Nothing to do` where there is nothing", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			expect(
				(await sandbox.agent(["plan", "eth1", "--restart", "service"])).stdout,
			).toContain("has no inverse");
			await run(sandbox, ["eth1"]);
			expect((await sandbox.agent(["plan", "eth1"])).stdout).toContain(
				"Nothing to do.",
			);
		}));
});

describe("status", () => {
	it("shows NICs, roles, addresses and EIPs, without root and without a lock", () =>
		inSandbox(
			{ enis: [{ ...otherSubnet, publicIps: { "10.0.2.20": "203.0.113.7" } }] },
			async (sandbox) => {
				await run(sandbox, ["eth1"]);
				await sandbox.container("docker0");
				const result = await sandbox.asNobody([
					process.execPath,
					agentBundle,
					"status",
				]);
				expect(result.exitCode, result.stderr).toBe(0);
				expect(result.stdout).toMatch(/eth0 +\S+ {2}up, primary/);
				expect(result.stdout).toMatch(/eth1 +\S+ {2}up, managed, table 1001/);
				expect(result.stdout).toContain("10.0.2.20/24 (EIP 203.0.113.7)");
				expect(result.stdout).not.toContain("veth");
				expect(result.stdout).toMatch(
					/^machine: {2}\S.*, \d+ cores, [\d.]+ GiB$/m,
				);
				expect(result.stdout).toMatch(/\nbackend: {2}initscripts \(CentOS/);
				expect(result.stdout).toContain("metadata: 2 ENIs");
				const json = (await sandbox.agent(["status", "--json"])).json<{
					interfaces: { name: string; role: string }[];
				}>();
				expect(json.interfaces.map(({ name, role }) => [name, role])).toEqual([
					["eth0", "primary"],
					["eth1", "managed"],
				]);
			},
		));
});

describe("the command", () => {
	it("says in --help what it does, every flag and the exit codes", () =>
		inSandbox({}, async (sandbox) => {
			const { stdout, exitCode } = await sandbox.agent(["--help"]);
			expect(exitCode).toBe(0);
			for (const word of [
				"plan",
				"remove",
				"status",
				"--restart",
				"--address",
				"--wait",
				"Exit codes",
				"never touched",
			])
				expect(stdout).toContain(word);
			expect((await sandbox.agent(["--version"])).stdout).toMatch(
				/^\d+\.\d+\.\d+\n$/,
			);
			const completion = await sandbox.agent(["completion"]);
			expect(completion.stdout).toContain("complete ");
			// And nothing else: the script alone, no run of the default command after it.
			expect(completion).toMatchObject({ exitCode: 0, stderr: "" });
			const flags = await sandbox.agent([
				...["--get-yargs-completions", "eni-configure", "plan", "--"],
			]);
			expect(flags.stdout.split("\n")).toContain("--routing");
		}));

	it("works from a copy of dist/ anywhere", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const folder = await mkdtemp(join(tmpdir(), "eni-configure-"));
			try {
				await cp(dirname(agentBundle), folder, { recursive: true });
				const bundle = join(folder, "eni-configure.cjs");
				const result = await sandbox.agent(["eth1"], { bundle });
				expect(result.exitCode, result.stderr).toBe(0);
				expect((await sandbox.agent(["status"], { bundle })).exitCode).toBe(0);
				await expectReachable(sandbox, sameSubnet.addresses);
			} finally {
				await rm(folder, { recursive: true });
			}
		}));

	it("a run without work starts flock and ip, and nothing else", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.guest([
				"bash",
				"-ec",
				`for name in ip flock systemctl nmcli ifup; do
					real=$(type -P "$name" || true); [[ $real == /etc/sandbox/bin/* ]] && rm -f "$real"
					printf '#!/bin/bash\\necho "%s $*" >>/run/sandbox/spawns\\nexec %s "$@"\\n' "$name" "\${real:-false}" >/etc/sandbox/bin/$name
					chmod 755 /etc/sandbox/bin/$name
				done`,
			]);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
			expect(
				(await sandbox.read("/run/sandbox/spawns")).trim().split("\n").sort(),
			).toEqual(["flock -n 3", "ip -o -4 -batch -"]);
		}));

	it("says which NIC, what and how long; --quiet says nothing when all is well; a second run says unchanged", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const first = await sandbox.agent(["eth1"]);
			expect(first.stderr).toMatch(
				/eth1: applied in \d+ ms: 10\.0\.1\.20\/24 and 2 more via 10\.0\.1\.1, table 1001 \(from metadata\)/,
			);
			expect((await sandbox.agent(["eth1"])).stderr).toContain(
				"eth1: unchanged",
			);
			const quiet = await sandbox.agent(["eth1", "--quiet"]);
			expect(quiet.stdout + quiet.stderr).toBe("");
		}));

	it("one run at a time: the other waits, and with --lock-timeout 0 says who holds the lock and exits 7", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.fault("ifup-slow", "1.5");
			const first = run(sandbox, ["eth1"]);
			await new Promise((resolve) => setTimeout(resolve, 700));
			const refused = await sandbox.agent(["eth1", "--lock-timeout", "0"]);
			expect(refused.exitCode).toBe(7);
			expect(refused.stderr).toMatch(
				/process \d+ \(.*(eni-configure|ifup|sleep).*\)/,
			);
			const second = run(sandbox, ["eth1"]);
			expect((await first).outcome).toBe("applied");
			expect((await second).outcome).toBe("unchanged");
		}));

	it("routing: none writes no rules and no table, and a change to it takes them away", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			expect((await run(sandbox, ["eth1", "--routing", "none"])).outcome).toBe(
				"applied",
			);
			expect(await sandbox.ip("rule")).not.toContain("1001");
			expect(
				await sandbox.exists("/etc/sysconfig/network-scripts/rule-eth1"),
			).toBe(false);
			expect(
				await sandbox.exists("/etc/sysconfig/network-scripts/route-eth1"),
			).toBe(false);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			await expectReachable(sandbox, otherSubnet.addresses);
		}));

	it("a user's own template is used where it renders something fit", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const template = await sandbox.guest([
				"cat",
				join(dirname(agentBundle), "templates/ifcfg.hbs"),
			]);
			await sandbox.write(
				"/etc/eni-configure/templates/ifcfg.hbs",
				`${template.stdout}MTU="1400"\n`,
			);
			await run(sandbox, ["eth1"]);
			expect(await sandbox.ip("link", "show", "eth1")).toContain("mtu 1400");
		}));
});
