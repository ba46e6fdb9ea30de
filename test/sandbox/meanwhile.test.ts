import { describe, expect, it } from "vitest";
import type { Sandbox } from "./sandbox";
import { inSandbox, otherSubnet, run, shell } from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const sysctlConf = "/etc/sysctl.conf";
const eth2 = { name: "eth2", subnet: "10.0.3.0/24", addresses: ["10.0.3.20"] };

/** An environment in which a command does something else first. */
async function wrap(
	sandbox: Sandbox,
	name: string,
	first: string,
): Promise<Record<string, string>> {
	const real = (await shell(sandbox, `readlink -f $(type -P ${name})`)).trim();
	const path = (await shell(sandbox, "echo $PATH")).trim();
	await sandbox.write(
		`/run/wrap/${name}`,
		`#!/bin/bash\n${first}\nexec ${real} "$@"\n`,
		0o755,
	);
	return { PATH: `/run/wrap:${path}` };
}

/** A run that waits ten seconds for a silent gateway and is rolled back; body happens in between. */
async function whileRollingBack(
	sandbox: Sandbox,
	body: () => Promise<unknown>,
): Promise<void> {
	await sandbox.gatewaySilent("eth1", true);
	await sandbox.clearCalls();
	const going = run(sandbox, ["eth1"], 3);
	await new Promise((resolve) => setTimeout(resolve, 4000));
	await body();
	await going;
}

describe("what somebody does during a run is not undone", () => {
	it("a line added to sysctl.conf while all is well: it stays, and the run is applied", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const env = await wrap(
				s,
				"ifup",
				`echo 'kernel.pid_max = 65535' >>${sysctlConf}`,
			);
			expect((await run(s, ["eth1"], 0, env)).outcome).toBe("applied");
			expect(await s.read(sysctlConf)).toContain("kernel.pid_max = 65535");
			await run(s, ["remove", "eth1"]);
			expect(await s.read(sysctlConf)).toContain("kernel.pid_max = 65535");
		}));

	it("a record that can no longer be written: the NICs that were fine are rolled back, too, and it says why", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (s) => {
			const before = await s.snapshot();
			const place = "/var/lib/eni-configure/.eni-configure-state.json";
			const env = await wrap(s, "ifup", `mkdir -p ${place}`);
			const report = await run(s, ["eth1", "eth2"], 3, env);
			expect(report.error).toContain("state.json");
			expect(await s.snapshot()).toBe(before);
			await shell(s, `rmdir ${place}`);
			expect((await run(s, ["eth1", "eth2"])).outcome).toBe("applied");
		}));

	it("a line added to sysctl.conf before a roll back: it stays, our lines go", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const before = await s.read(sysctlConf);
			await whileRollingBack(s, () =>
				shell(s, `echo 'kernel.pid_max = 65535' >>${sysctlConf}`),
			);
			expect(await s.read(sysctlConf)).toBe(
				`${before}kernel.pid_max = 65535\n`,
			);
		}));

	it("a file saved over ours before a roll back: it stays", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const mine = "DEVICE=eth1\nONBOOT=no\n# mine\n";
			await whileRollingBack(s, () => s.write(`${scripts}/ifcfg-eth1`, mine));
			expect(await s.read(`${scripts}/ifcfg-eth1`)).toBe(mine);
		}));

	it("a file changed between the look and the write: nothing is written over it", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			const before = await s.read(sysctlConf);
			const env = await wrap(
				s,
				"ifdown",
				`echo 'kernel.pid_max = 65535' >>${sysctlConf}`,
			);
			const report = await run(s, ["remove", "eth1"], 3, env);
			expect(report.error).toContain(
				"/etc/sysctl.conf was changed by somebody else meanwhile",
			);
			expect(await s.read(sysctlConf)).toBe(
				`${before}kernel.pid_max = 65535\n`,
			);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toContain(
				"10.0.2.20/24",
			);
		}));

	it("a VIP that failed over before a roll back: it stays away", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(
				s,
				"ip addr add 10.0.2.99/32 dev eth1; ip neigh flush dev eth1",
			);
			await s.assign("eth1", "10.0.2.30");
			await whileRollingBack(s, () =>
				shell(s, "ip addr del 10.0.2.99/32 dev eth1"),
			);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).not.toContain(
				"10.0.2.99",
			);
		}));

	it("a default route that a DHCP client renewed before a roll back: one is left, the new one", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(
				s,
				"ip route add default via 10.0.1.1 dev eth0 proto dhcp metric 100; ip route del default via 10.0.1.1 metric 0 || true",
			);
			const count = (await s.ip("route", "show", "default"))
				.trim()
				.split("\n").length;
			await whileRollingBack(s, () =>
				shell(
					s,
					"ip route add default via 10.0.1.1 dev eth0 proto dhcp metric 90; ip route del default metric 100",
				),
			);
			const after = (await s.ip("route", "show", "default")).trim().split("\n");
			expect(after).toHaveLength(count);
			expect(after.join()).toContain("metric 90");
		}));

	it("a VIP and a route that their owner took away while the NIC was managed: remove does not bring them back", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(
				s,
				"ip link set eth1 up; ip addr add 10.0.2.99/32 dev eth1; ip route add 10.60.0.0/16 via 10.0.2.1 dev eth1 onlink",
			);
			await run(s, ["eth1"]);
			await shell(
				s,
				"ip addr del 10.0.2.99/32 dev eth1; ip route del 10.60.0.0/16",
			);
			await run(s, ["remove", "eth1"]);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).not.toContain(
				"10.0.2.99",
			);
			expect(await s.ip("route")).not.toContain("10.60.");
		}));
});

describe("what verify finds after commands that did more than they should", () => {
	it("rp_filter re-asserted once, by whatever ifup runs, is put right", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const env = await wrap(
				s,
				"ifup",
				"echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
			);
			const report = await run(s, ["eth1"], 0, env);
			expect(report.findings).toEqual([
				{
					link: null,
					kind: "rp_filter",
					want: "net.ipv4.conf.all.rp_filter = 0",
					got: "1",
					mended: true,
				},
			]);
			expect(await s.sysctl("conf/all/rp_filter")).toBe("0");
		}));

	it("a service restart that is rolled back leaves eth0 its VIP, its route and the rules of others", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.fault("arp-wait", "0");
			await shell(
				s,
				"ip addr add 10.0.1.99/32 dev eth0; ip route add 10.60.0.0/16 via 10.0.1.1 dev eth0; ip rule add from 10.7.0.0/16 lookup 77 priority 500",
			);
			await s.gatewaySilent("eth1", true);
			const before = await s.snapshot();
			await run(s, ["eth1", "--restart", "service"], 3);
			expect(await s.snapshot()).toBe(before);
		}));

	it("a NIC with somebody's VIP on it is not restarted by the ladder", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(s, "ip addr add 10.0.2.99/32 dev eth1");
			await s.assign("eth1", "10.0.2.30");
			const real = (await shell(s, "type -P ip")).trim();
			await s.write(
				"/etc/sandbox/bin/ip",
				`#!/bin/bash\nif [[ "$*" == *batch* ]]; then grep -v "add 10.0.2.30/32" | ${real} "$@"; exit; fi\nexec ${real} "$@"\n`,
				0o755,
			);
			await s.clearCalls();
			await run(s, ["eth1"], 3);
			expect((await s.calls()).map(({ argv }) => argv[0])).not.toContain(
				"ifdown",
			);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toContain(
				"10.0.2.99",
			);
		}));
});

describe("what the agent cannot be sure of it leaves alone", () => {
	it("a file too large to keep a copy of is not replaced, not even with --force", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const big = "10.100.0.0/24 via 10.0.2.1 dev eth1\n".repeat(2500);
			await s.write(`${scripts}/route-eth1`, big);
			expect(
				(await run(s, ["eth1", "--force"], 5)).interfaces[0]?.reason,
			).toContain("move it away");
			expect(await s.read(`${scripts}/route-eth1`)).toBe(big);
		}));

	it("a NIC that carries the default route is not removed", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(s, "ip route replace default via 10.0.2.1 dev eth1");
			const before = await s.snapshot();
			await s.clearCalls();
			await run(s, ["remove", "eth1"], 5);
			expect(await s.snapshot()).toBe(before);
			expect(await s.calls()).toEqual([]);
		}));

	it("with the default route on a tunnel and no word from metadata no NIC is taken for a secondary", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(
				s,
				"ip link add tap0 type veth peer name tap1; ip link set tap0 up; ip addr add 10.99.0.1/24 dev tap0; ip route replace default via 10.99.0.2 dev tap0",
			);
			await s.metadata.override("mac", { status: 500 });
			const before = await s.snapshot();
			await run(s, ["--all", "--force", "--metadata-url", s.metadata.url], 5);
			expect(await s.snapshot()).toBe(before);
		}));

	it("a NIC whose file was edited gets no sysctls from another NIC's run, and remove says what it leaves", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (s) => {
			await run(s, ["eth1", "eth2"]);
			await shell(s, `echo 'MTU="1400"' >>${scripts}/ifcfg-eth2`);
			await s.sysctl("conf/eth2/arp_ignore", 0);
			await run(s, ["eth1"]);
			expect(await s.sysctl("conf/eth2/arp_ignore")).toBe("0");
			const report = await run(s, ["remove", "eth2"]);
			expect(report.notes.map(({ text }) => text).join()).toContain(
				"ifcfg-eth2 is not ours",
			);
		}));

	it("lines of the user's own kind behind a block that lost its end stay", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.write(sysctlConf, "vm.swappiness = 0\n");
			await run(s, ["eth1"]);
			const damaged = (await s.read(sysctlConf)).replace(
				"# eni-configure end\n",
				"",
			);
			await s.write(
				sysctlConf,
				`${damaged}# my own\nnet.ipv4.conf.tun0.rp_filter = 2\n`,
			);
			await run(s, ["remove", "eth1"]);
			expect(await s.read(sysctlConf)).toBe(
				"vm.swappiness = 0\n# my own\nnet.ipv4.conf.tun0.rp_filter = 2\n",
			);
		}));

	it("a NIC of somebody else's in the ENI's subnet still answers after its own bounce", () =>
		inSandbox(
			{
				enis: [
					{ name: "eth9", subnet: "10.0.2.0/24", addresses: ["10.0.2.90"] },
					otherSubnet,
				],
			},
			async (s) => {
				await s.write(
					"/etc/eni-configure/config.yaml",
					"exclude: {names: [eth9]}\n",
				);
				await shell(
					s,
					"ip link set eth9 up; ip addr add 10.0.2.90/24 dev eth9",
				);
				await s.client("near", { subnet: "10.0.2.0/24", address: "10.0.2.77" });
				await run(s, ["eth1"]);
				await shell(
					s,
					"ip addr del 10.0.2.90/24 dev eth9; ip addr add 10.0.2.90/24 dev eth9",
				);
				expect(
					await s.reach("10.0.2.90", { from: "near", timeoutMs: 3000 }),
				).toBe(true);
			},
		));
});

describe("copies that --force keeps", () => {
	it("stay for the NIC that was taken over, and go for the one that was rolled back beside it", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (s) => {
			const hand = (name: string) => `DEVICE=${name}\nONBOOT=no\n`;
			await s.write(`${scripts}/ifcfg-eth1`, hand("eth1"));
			await s.write(`${scripts}/ifcfg-eth2`, hand("eth2"));
			await s.gatewaySilent("eth2", true);
			await run(s, ["eth1", "eth2", "--force"], 3);
			expect(await s.list("/var/lib/eni-configure/backup")).toEqual([
				"ifcfg-eth1",
			]);
			await run(s, ["remove", "eth1"]);
			expect(await s.read(`${scripts}/ifcfg-eth1`)).toBe(hand("eth1"));
		}));
});

describe("the lock", () => {
	it("outlives an agent that was killed, until the ifup it left behind has ended", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.fault("ifup-slow.once", "3");
			const child = s.spawnAgent(["eth1"]);
			while ((await s.calls("ifup")).length === 0)
				await new Promise((resolve) => setTimeout(resolve, 20));
			process.kill(child.pid as number, "SIGKILL");
			await child;
			const refused = await s.agent(["eth1", "--lock-timeout", "0"]);
			expect(refused.exitCode, refused.stderr).toBe(7);
			expect((await run(s, ["eth1"])).exitCode).toBe(0);
		}));
});
