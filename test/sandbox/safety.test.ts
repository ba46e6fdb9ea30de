import { describe, expect, it } from "vitest";
import { agentBundle } from "./paths";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	shell,
} from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const eth2 = { name: "eth2", subnet: "10.0.3.0/24", addresses: ["10.0.3.20"] };

describe("the primary is never taken for a secondary", () => {
	it("not with flags, where no default route says which it is", () =>
		inSandbox({}, async (s) => {
			await shell(s, "ip route del default");
			const before = await s.snapshot();
			await run(
				s,
				[
					"eth0",
					"--address",
					"10.0.1.10/24",
					"--gateway",
					"10.0.1.1",
					"--force",
				],
				5,
			);
			expect(await s.snapshot()).toBe(before);
		}));

	it("not by --all, where metadata does not say which it is either", () =>
		inSandbox({}, async (s) => {
			await shell(s, "ip route del default");
			await s.metadata.override("mac", { status: 500 });
			const before = await s.snapshot();
			await run(s, ["--all", "--force"], 5);
			expect(await s.snapshot()).toBe(before);
		}));

	it("not where another NIC has a default route that is preferred", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(
				s,
				`ip link set eth1 up; ip addr add 10.0.2.20/24 dev eth1
				ip route add default via 10.0.2.1 dev eth1 metric 50
				ip route del default via 10.0.1.1; ip route add default via 10.0.1.1 dev eth0 metric 100`,
			);
			const before = await s.snapshot();
			await run(
				s,
				[
					"eth0",
					"--address",
					"10.0.1.10/24",
					"--gateway",
					"10.0.1.1",
					"--force",
				],
				5,
			);
			expect(await s.snapshot()).toBe(before);
		}));

	it("not under a name that a managed NIC had", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(
				s,
				`ip link set eth1 down; ip link set eth1 name eth7
				ip link set eth0 down; ip link set eth0 name eth1; ip link set eth1 up
				ip route replace default via 10.0.1.1 dev eth1`,
			);
			await s.clearCalls();
			await run(s, ["eth7"]);
			expect(
				(await s.calls("ifdown")).map(({ argv }) => argv.join(" ")),
			).toEqual([]);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toContain(
				"10.0.1.10/24",
			);
		}));
});

describe("a switch means what it says", () => {
	it.each(["--dry-run=1", "--dry-run=yes", "--force=no"])(
		"%s is refused",
		(flag) =>
			inSandbox({ enis: [otherSubnet] }, async (s) => {
				const before = await s.snapshot();
				const result = await s.agent(["eth1", flag]);
				expect(result.exitCode).toBe(2);
				expect(result.stderr).toContain("takes no value");
				expect(await s.snapshot()).toBe(before);
			}),
	);

	it("a usage error is JSON too with --json, and NICs may follow --", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			expect((await run(s, ["eth1", "--bogus"], 2)).error).toContain("bogus");
			expect((await run(s, ["plan", "--", "eth1"])).outcome).toBe("planned");
		}));
});

describe("what is somebody else's", () => {
	it("a table that was taken after a removal is left to its new owner", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await run(s, ["remove", "eth1"]);
			await shell(
				s,
				"ip route add default via 10.0.1.1 dev eth0 table 1001; ip rule add to 203.0.113.0/24 lookup 1001 priority 900",
			);
			expect((await run(s, ["eth1"])).interfaces[0]?.table).toBe(1002);
			expect(await s.ip("route", "show", "table", "1001")).toContain(
				"default via 10.0.1.1 dev eth0",
			);
		}));

	it("a pod's rule that its owner takes away during the run stays away", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(s, "ip rule add from 10.66.0.5 lookup 2000 priority 1536");
			const real = (await shell(s, "readlink -f $(type -P ifup)")).trim();
			const path = (await shell(s, "echo $PATH")).trim();
			await s.write(
				"/run/wrap/ifup",
				`#!/bin/bash\nip rule del priority 1536\nexec ${real} "$@"\n`,
				0o755,
			);
			await run(s, ["eth1"], 0, { PATH: `/run/wrap:${path}` });
			expect(await s.ip("rule")).not.toContain("1536:");
		}));

	it("an address of ours that an admin's rule names stays configured", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(s, "ip rule add from 10.0.2.21 lookup 77 priority 700");
			expect((await run(s, ["eth1"])).outcome).toBe("unchanged");
			await expectReachable(s, otherSubnet.addresses);
		}));

	it("a static IPv6 address survives --restart interface", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await shell(s, "ip -6 addr add 2001:db8:1::5/64 dev eth1 nodad");
			await s.assign("eth1", "10.0.2.30");
			await run(s, ["eth1", "--restart", "interface"]);
			expect(await s.ip("-6", "-o", "addr", "show", "eth1")).toContain(
				"2001:db8:1::5/64",
			);
		}));

	it("an address in the ENI's own subnet survives remove, also where promote_secondaries was 0", () =>
		inSandbox({}, async (s) => {
			await s.sysctl("conf/all/promote_secondaries", 0);
			await s.sysctl("conf/default/promote_secondaries", 0);
			await s.plug(otherSubnet);
			await run(s, ["eth1"]);
			await shell(s, "ip addr add 10.0.2.99/24 dev eth1");
			await run(s, ["remove", "eth1"]);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toContain(
				"10.0.2.99/24",
			);
			expect(await s.sysctl("conf/eth1/promote_secondaries")).toBe("0");
		}));

	it("eth10's file is not given back with eth1's", () =>
		inSandbox(
			{ enis: [otherSubnet, { ...eth2, name: "eth10" }] },
			async (s) => {
				await s.write(
					`${scripts}/ifcfg-Ten`,
					"DEVICE=eth10\nBOOTPROTO=dhcp\nONBOOT=yes\n",
				);
				await run(s, ["eth1", "eth10", "--force"]);
				await run(s, ["remove", "eth1"]);
				expect(await s.exists(`${scripts}/ifcfg-Ten`)).toBe(false);
				expect((await run(s, ["eth10"])).outcome).toBe("unchanged");
			},
		));

	it("a NIC that the config excludes costs an ENI no replies to its subnet", () =>
		inSandbox(
			{
				enis: [
					otherSubnet,
					{ name: "eth9", subnet: "10.0.1.0/24", addresses: ["10.0.1.90"] },
				],
			},
			async (s) => {
				await shell(
					s,
					"ip link set eth9 up; ip addr add 10.0.1.90/24 dev eth9",
				);
				await s.client("near", { subnet: "10.0.1.0/24", address: "10.0.1.77" });
				await s.write(
					"/etc/eni-configure/config.yaml",
					"exclude: {names: [eth9]}\n",
				);
				await run(s, ["eth1"]);
				expect(
					await s.reach("10.0.2.20", { from: "near", timeoutMs: 3000 }),
				).toBe(true);
			},
		));

	it("files of other NICs that cannot be read stop nothing", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.write(`${scripts}/ifcfg-ppp0`, "DEVICE=ppp0\n", 0o600);
			await shell(s, `mkdir ${scripts}/ifcfg-saved`);
			for (const words of [["status"], ["plan", "eth1"]]) {
				const result = await s.asNobody([
					process.execPath,
					agentBundle,
					...words,
				]);
				expect(result.exitCode, result.stderr).toBe(0);
			}
			expect((await run(s, ["eth1"])).outcome).toBe("applied");
		}));
});

describe("nothing is forgotten", () => {
	it("lines of the user's own behind a block that lost its end survive", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const file = "/etc/sysctl.conf";
			await s.write(file, "vm.swappiness = 0\n");
			await run(s, ["eth1"]);
			const damaged = (await s.read(file)).replace("# eni-configure end\n", "");
			await s.write(file, `${damaged}kernel.pid_max = 65535\n`);
			await run(s, ["eth1"]);
			await run(s, ["remove", "eth1"]);
			expect(await s.read(file)).toBe(
				"vm.swappiness = 0\nkernel.pid_max = 65535\n",
			);
		}));

	it("--rp-filter 2 is undone by remove, and stays for the ENI that stays", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (s) => {
			const before = await s.snapshot();
			await run(s, ["eth1", "eth2", "--rp-filter", "2"]);
			await run(s, ["remove", "eth2"]);
			expect(await s.sysctl("conf/eth1/rp_filter")).toBe("2");
			expect(await s.read("/etc/sysctl.conf")).toContain("eth1.rp_filter = 2");
			await run(s, ["remove", "eth1"]);
			expect(await s.snapshot()).toBe(before);
		}));

	it("a change that was rolled back costs nothing that remove needs", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const before = await s.snapshot();
			await run(s, ["eth1"]);
			await s.assign("eth1", "10.0.2.30");
			await s.gatewaySilent("eth1", true);
			await shell(s, "ip neigh flush dev eth1");
			await run(s, ["eth1"], 3);
			await s.gatewaySilent("eth1", false);
			await run(s, ["remove", "eth1"]);
			expect(await s.snapshot()).toBe(before);
		}));

	it("the file that --force replaced comes back after another ENI had the name", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const hand =
				"DEVICE=eth1\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=10.0.2.20\nNETMASK=255.255.255.0\n";
			await s.write(`${scripts}/ifcfg-eth1`, hand);
			await run(s, ["eth1", "--force"]);
			await s.unplug("eth1");
			await s.plug({
				...otherSubnet,
				addresses: ["10.0.2.40"],
				mac: "52:54:00:be:ef:77",
			});
			await run(s, ["eth1"]);
			await run(s, ["remove", "eth1"]);
			expect(await s.read(`${scripts}/ifcfg-eth1`)).toBe(hand);
		}));

	it("the survivor of a run that another NIC failed is recorded, renamed or not", () =>
		inSandbox({ enis: [sameSubnet, eth2] }, async (s) => {
			await run(s, ["eth1"]);
			const mac = (await shell(s, "cat /sys/class/net/eth1/address")).trim();
			await s.unplug("eth1");
			await s.plug({ ...sameSubnet, name: "eth4", mac });
			const hand = "DEVICE=eth4\nONBOOT=no\n";
			await s.write(`${scripts}/ifcfg-eth4`, hand);
			await s.gatewaySilent("eth2", true);
			const report = await run(s, ["eth4", "eth2", "--force"], 3);
			expect(
				report.interfaces.map(({ name, outcome }) => `${name} ${outcome}`),
			).toEqual(["eth4 applied", "eth2 rolled-back"]);
			await run(s, ["remove", "eth4"]);
			expect(await s.read(`${scripts}/ifcfg-eth4`)).toBe(hand);
		}));

	it("--prune --restart none leaves the kernel to the next run, which takes the address away", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await s.release("eth1", "10.0.2.22");
			await run(s, ["eth1", "--prune", "--restart", "none"]);
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toContain(
				"10.0.2.22",
			);
			expect((await run(s, ["eth1"])).outcome).toBe("applied");
			expect(await s.ip("-o", "-4", "addr", "show", "eth1")).not.toContain(
				"10.0.2.22",
			);
		}));

	it("with its state lost, remove still takes rules, table and throw routes, and names kept copies", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.container("docker0");
			await s.write(`${scripts}/ifcfg-eth1`, "DEVICE=eth1\nONBOOT=no\n");
			await run(s, ["eth1", "--force"]);
			await s.remove("/var/lib/eni-configure/state.json");
			const report = await run(s, ["remove", "eth1"]);
			expect(report.notes.map(({ text }) => text).join()).toContain(
				"ifcfg-eth1",
			);
			expect(await s.ip("rule")).not.toContain("1001");
			expect(await s.ip("route", "show", "table", "all")).not.toContain(
				"table 1001",
			);
		}));

	it("a run with --force that fails leaves no copy behind", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.write(`${scripts}/ifcfg-eth1`, "DEVICE=eth1\nONBOOT=no\n");
			await s.gatewaySilent("eth1", true);
			await run(s, ["eth1", "--force"], 3);
			expect(await s.list("/var/lib/eni-configure/backup")).toEqual([]);
		}));

	it("released ends with unbinding", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const mac = (await shell(s, "cat /sys/class/net/eth1/address")).trim();
			await run(s, ["--all"]);
			await run(s, ["remove", "eth1"]);
			await s.unplug("eth1");
			await run(s, ["--all"]);
			await s.plug({ ...otherSubnet, mac });
			expect((await run(s, ["--all"])).outcome).toBe("applied");
		}));
});

describe("a signal in the middle of a run", () => {
	it.each(["SIGINT", "SIGTERM"] as const)(
		"%s: no new step starts, and what was done is rolled back, exit 3",
		(signal) =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				const before = await s.snapshot();
				await s.fault("ifup-slow", "1");
				const child = s.spawnAgent(["eth1"]);
				while ((await s.calls("ifup")).length === 0)
					await new Promise((resolve) => setTimeout(resolve, 20));
				process.kill(child.pid as number, signal);
				const { exitCode, stderr } = await child;
				expect(stderr).toContain(`${signal}: interrupted before the end`);
				expect(exitCode).toBe(3);
				expect(await s.snapshot()).toBe(before);
			}),
	);

	it("while a silent gateway is being asked: rolled back at once, not after ten seconds", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			const before = await s.snapshot();
			await s.gatewaySilent("eth1", true);
			const child = s.spawnAgent(["eth1"]);
			while ((await s.calls("ifup")).length === 0)
				await new Promise((resolve) => setTimeout(resolve, 20));
			await new Promise((resolve) => setTimeout(resolve, 1000));
			const start = Date.now();
			process.kill(child.pid as number, "SIGTERM");
			expect((await child).exitCode).toBe(3);
			expect(Date.now() - start).toBeLessThan(3000);
			expect(await s.snapshot()).toBe(before);
		}));

	it("while waiting for metadata: ends at once, nothing changed", () =>
		inSandbox({ enis: [{ ...sameSubnet, listed: false }] }, async (s) => {
			const before = await s.snapshot();
			const child = s.spawnAgent(["eth1", "--wait"]);
			await new Promise((resolve) => setTimeout(resolve, 3000));
			const start = Date.now();
			process.kill(child.pid as number, "SIGTERM");
			expect((await child).exitCode).toBe(4);
			expect(Date.now() - start).toBeLessThan(1500);
			expect(await s.snapshot()).toBe(before);
		}));
});

describe("what is said is what is done", () => {
	it("plan and run agree on shared settings, and on what is refused", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.sysctl("ip_forward", 1);
			expect(
				(await run(s, ["plan", "eth1", "--restart", "service"], 5)).outcome,
			).toBe("refused");
			await run(s, ["eth1"]);
			for (const name of ["all", "eth0"]) {
				await s.sysctl(`conf/${name}/rp_filter`, 1);
				const plan = await run(s, ["plan", "eth1"]);
				expect([plan.outcome, plan.steps.length]).toEqual(["planned", 1]);
				expect((await run(s, ["eth1"])).outcome).toBe("applied");
			}
		}));

	it("a symbolic link in the place of sysctl.conf is refused before anything is done", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await shell(
				s,
				"mv /etc/sysctl.conf /etc/real.conf; ln -s real.conf /etc/sysctl.conf",
			);
			const before = await s.snapshot();
			expect((await run(s, ["eth1"], 5)).error).toContain(
				"/etc/sysctl.conf is a symbolic link",
			);
			expect(await s.snapshot()).toBe(before);
			expect(await s.calls()).toEqual([]);
		}));

	it("--restart service after a release has nothing left to put right", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.fault("arp-wait", "0");
			await run(s, ["eth1"]);
			await s.release("eth1", "10.0.2.22");
			expect(
				(await run(s, ["eth1", "--prune", "--restart", "service"])).findings,
			).toEqual([]);
		}));

	it("two NICs that swapped names are put right by one run, without a finding", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (s) => {
			await run(s, ["--all"]);
			await shell(
				s,
				"ip link set eth1 down; ip link set eth2 down; ip link set eth1 name tmp1; ip link set eth2 name eth1; ip link set tmp1 name eth2",
			);
			expect((await run(s, ["--all"])).findings).toEqual([]);
			await expectReachable(s, [...otherSubnet.addresses, "10.0.3.20"]);
			expect((await run(s, ["--all"])).outcome).toBe("unchanged");
		}));

	it("an IP that moved from one ENI to another follows with --all --prune", () =>
		inSandbox(
			{
				enis: [
					otherSubnet,
					{ name: "eth2", subnet: "10.0.2.0/24", addresses: ["10.0.2.40"] },
				],
			},
			async (s) => {
				await run(s, ["--all"]);
				await s.release("eth1", "10.0.2.22");
				await s.assign("eth2", "10.0.2.22");
				await run(s, ["--all", "--prune"]);
				await expectReachable(s, [
					"10.0.2.20",
					"10.0.2.21",
					"10.0.2.22",
					"10.0.2.40",
				]);
			},
		));

	it("--routing none in the primary's subnet is configured", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			expect((await run(s, ["eth1", "--routing", "none"])).outcome).toBe(
				"applied",
			);
		}));

	it("--wait does not try a NIC again that was rolled back", () =>
		inSandbox(
			{ enis: [eth2, { ...otherSubnet, listed: false }] },
			async (s) => {
				await s.gatewaySilent("eth2", true);
				await run(s, ["eth1", "eth2", "--wait", "--wait-timeout", "13"], 3);
				expect(await s.calls("ifup")).toHaveLength(1);
			},
		));

	it("documented JSON keys are there for a NIC that is not configured", () =>
		inSandbox({ enis: [{ ...otherSubnet, listed: false }] }, async (s) => {
			const [nic] = (await run(s, ["plan", "eth1"], 4)).interfaces;
			expect(nic).toMatchObject({
				name: "eth1",
				primary: false,
				addresses: [],
				gateway: null,
				table: null,
				source: null,
			});
		}));

	it("a DNS that hangs does not hold the process up", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.write("/etc/resolv.conf", "nameserver 10.0.1.77\n");
			await shell(s, "ip route add unreachable 169.254.0.23/32");
			const start = Date.now();
			await run(s, ["eth1"], 4);
			// Twelve seconds where the resolver may take its own time.
			expect(Date.now() - start).toBeLessThan(8000);
		}));
});
