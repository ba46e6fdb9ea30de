import { describe, expect, it } from "vitest";
import { type Daemon, sleep, until } from "./daemon";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	shell,
	withoutLoss,
} from "./scenario";
import {
	eni,
	hangUp,
	linesSince,
	macOf,
	scripts,
	startWatching,
	statusOf,
	untilAddress,
	untilForgotten,
	untilReachable,
} from "./watched";

const config = "/etc/eni-configure/config.yaml";

describe("what is not ours", () => {
	it(
		"survives plug, assign, release, drift repair, restart and unplug",
		() =>
			inSandbox({ enis: [sameSubnet, eni(5)] }, async (s) => {
				const held = "DEVICE=eth5\nONBOOT=no\n# mine\n";
				await s.write(`${scripts}/ifcfg-eth5`, held);
				const container = await s.container("docker0");
				let daemon = await startWatching(s);
				await untilReachable(s, sameSubnet.addresses);
				await shell(
					s,
					`ip addr add 10.0.1.99/32 dev eth1
				ip rule add from 10.77.0.0/16 lookup 200 priority 500
				ip rule add to 10.78.0.0/16 lookup 200 priority 1500
				ip route add 10.79.0.0/16 via 10.0.1.1 dev eth0 table 200
				ip route add 10.80.0.0/16 via 10.0.1.1 dev eth1 onlink table 200
				echo 'kernel.pid_max = 65535 # mine' >>/etc/sysctl.conf`,
				);
				async function expectAllThere(hasEth1 = true): Promise<void> {
					const text = await shell(
						s,
						"ip -o addr; ip rule; ip route show table 200; cat /etc/sysctl.conf",
					);
					expect(text).toContain("500:\tfrom 10.77.0.0/16 lookup 200");
					expect(text).toContain("1500:\tfrom all to 10.78.0.0/16 lookup 200");
					expect(text).toContain("10.79.0.0/16 via 10.0.1.1 dev eth0");
					expect(text).toContain("kernel.pid_max = 65535 # mine");
					expect(await s.read(`${scripts}/ifcfg-eth5`)).toBe(held);
					if (hasEth1) {
						expect(text).toContain("10.0.1.99/32 ");
						expect(text).toContain("10.80.0.0/16 via 10.0.1.1 dev eth1");
						expect(await s.reach("10.0.1.20", { from: "docker0" })).toBe(true);
						expect(
							await s.reach(container, { from: "guest", source: "10.0.1.20" }),
						).toBe(true);
					}
					expect(await s.ip("-o", "-4", "addr", "show", "eth5")).toBe("");
				}
				await withoutLoss(s, async () => {
					await expectAllThere();
					await s.plug(eni(3));
					await untilReachable(s, eni(3).addresses);
					await expectAllThere();
					await s.assign("eth1", "10.0.1.30");
					await hangUp(s, daemon);
					await untilReachable(s, ["10.0.1.30"]);
					await expectAllThere();
					await shell(
						s,
						"ip addr del 10.0.1.20/24 dev eth1; ip rule del from 10.0.1.22 lookup 1001 priority 1001",
					);
					await untilReachable(s, sameSubnet.addresses);
					await expectAllThere();
					expect(await daemon.stop()).toBe(0);
					daemon = await startWatching(s);
					await expectAllThere();
					await s.release("eth1", "10.0.1.30");
					await hangUp(s, daemon);
					await s.unplug("eth3");
					await untilForgotten(s, ["eth3", "1003:"]);
					await expectAllThere();
					await untilAddress(s, "eth1", "10.0.1.30", false, 40_000);
					await expectAllThere();
					await s.unplug("eth1");
					await untilForgotten(s, ["ifcfg-eth1", "1001:", "table 1001"]);
					await expectAllThere(false);
				});
			}),
		120_000,
	);

	it(
		"a pod's address is left to the pod, whichever way the guest says so, and the rest of the ENI is configured",
		() =>
			inSandbox({}, async (s) => {
				const daemon = await startWatching(s);
				await shell(
					s,
					`ip link add cali123 type veth peer name cali124; ip link set cali123 up
				ip route add 10.0.2.21/32 dev cali123 scope link
				ip rule add from 10.0.2.22 lookup 2002 priority 1536
				ip rule add to 10.0.2.23 lookup main priority 1024`,
				);
				const addresses = [
					"10.0.2.20",
					"10.0.2.21",
					"10.0.2.22",
					"10.0.2.23",
					"10.0.2.24",
				];
				await s.plug({ ...otherSubnet, addresses });
				await untilReachable(s, ["10.0.2.20", "10.0.2.24"]);
				const expectLeft = async () => {
					const held = await s.ip("-o", "-4", "addr", "show", "eth1");
					expect(held.match(/inet \S+/g)).toEqual([
						"inet 10.0.2.20/24",
						"inet 10.0.2.24/32",
					]);
					expect(await s.ip("rule")).toContain(
						"1536:\tfrom 10.0.2.22 lookup 2002",
					);
					expect(await s.ip("rule")).toContain(
						"1024:\tfrom all to 10.0.2.23 lookup main",
					);
					expect(await s.ip("rule")).not.toContain("1001:\tfrom 10.0.2.22");
					expect(await s.ip("route")).toContain("10.0.2.21 dev cali123");
				};
				await expectLeft();
				await daemon.line(/eth1: 10\.0\.2\.21 is routed to cali123: held/);
				await daemon.line(
					/eth1: 10\.0\.2\.22 is named by the rule with priority 1536/,
				);
				const from = daemon.log().length;
				await shell(s, "ip addr del 10.0.2.24/32 dev eth1");
				await untilReachable(s, ["10.0.2.24"]);
				await hangUp(s, daemon);
				await expectLeft();
				expect(linesSince(daemon, from)).toHaveLength(1);
				// The pod is gone: its address is the ENI's again.
				await shell(s, "ip link del cali123");
				await hangUp(s, daemon);
				await untilReachable(s, ["10.0.2.21"]);
				await s.unplug("eth1");
				await untilForgotten(s, ["ifcfg-eth1", "1001:"]);
				expect(await s.ip("rule")).toContain(
					"1536:\tfrom 10.0.2.22 lookup 2002",
				);
			}),
		90_000,
	);
});

/** eth1 stays as it is through all that makes a daemon look. */
async function expectInForce(
	s: Sandbox,
	daemon: Daemon,
	other: number,
): Promise<Daemon> {
	const own = async () =>
		[
			await s.ip("-o", "-4", "addr", "show", "eth1"),
			(await s.ip("rule")).includes("1001:"),
			await s.exists(`${scripts}/ifcfg-eth1`),
		].join();
	const before = await own();
	await hangUp(s, daemon);
	await hangUp(s, daemon);
	await s.plug(eni(other));
	await untilReachable(s, eni(other).addresses);
	await shell(s, "ip link set eth1 down; ip link set eth1 up");
	await hangUp(s, daemon);
	expect(await own()).toBe(before);
	expect(await daemon.stop()).toBe(0);
	const next = await startWatching(s);
	await hangUp(s, next);
	expect(await own()).toBe(before);
	expect((await statusOf(s))?.waiting).toContainEqual(
		expect.objectContaining({ link: "eth1", kind: "released" }),
	);
	return next;
}

describe("beside the daemon", () => {
	it.each(["remove", "rollback"])(
		"%s stays in force until the NIC is named again, or unbound",
		(command) =>
			inSandbox({}, async (s) => {
				let daemon = await startWatching(s);
				await s.plug(sameSubnet);
				await untilReachable(s, sameSubnet.addresses);
				const undo = async () => {
					await run(
						s,
						command === "remove" ? ["remove", "eth1"] : ["rollback"],
					);
					await untilAddress(s, "eth1", "10.0.1.20", false);
				};
				await undo();
				daemon = await expectInForce(s, daemon, 3);
				const lines = daemon
					.log()
					.filter((line) => /eth1: was (removed|rolled back)/.test(line));
				expect(lines).toHaveLength(1);
				await run(s, ["eth1"]);
				await hangUp(s, daemon);
				await expectReachable(s, sameSubnet.addresses);
				// It is kept again, too.
				await shell(s, "ip addr del 10.0.1.21/32 dev eth1");
				await untilReachable(s, sameSubnet.addresses);

				await hangUp(s, daemon);
				if (command === "remove") await undo();
				else {
					await run(s, ["remove", "eth1"]);
					await run(s, ["eth1"]);
					await undo();
				}
				daemon = await expectInForce(s, daemon, 4);
				await s.unplug("eth1");
				await until(
					"it is forgotten",
					async () =>
						!(await s.read("/var/lib/eni-configure/state.json")).includes(
							"52:54:00:be:ef:02",
						),
				);
				await s.plug({ ...sameSubnet, mac: macOf(2).toLowerCase() });
				await untilReachable(s, sameSubnet.addresses);
			}),
		120_000,
	);

	it(
		"SIGHUP reads the config: excluded NICs, addresses, and how often to look; a broken one keeps the old",
		() =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				await s.write(
					config,
					"resyncSeconds: 3600\nexclude:\n  names: [eth1, eth3]\n",
				);
				const daemon = await startWatching(s);
				await s.plug(eni(3));
				await s.plug(eni(4));
				await untilReachable(s, eni(4).addresses);
				expect(await s.ip("-o", "-4", "addr")).not.toMatch(/10\.0\.[13]\.20/);
				await s.write(
					config,
					"resyncSeconds: 3600\nexclude:\n  names: [eth3]\n",
				);
				await hangUp(s, daemon);
				await untilReachable(s, sameSubnet.addresses);

				for (const broken of [
					"resyncSeconds: soon\n",
					"exclude: [\n",
					"resyncSeconds: 3600\nunknown: 1\n",
				]) {
					const from = daemon.log().length;
					await s.write(config, broken);
					await hangUp(s, daemon);
					expect(linesSince(daemon, from)).toEqual([
						expect.stringMatching(
							/^SIGHUP: .*config\.yaml.*; going on with the old settings$/,
						),
					]);
					expect(await s.ip("-o", "-4", "addr", "show", "eth3")).toBe("");
				}

				await s.write(
					config,
					`resyncSeconds: 10
interfaces:
  eth3: { addresses: [10.0.3.21/24], gateway: 10.0.3.1 }
`,
				);
				const status = await hangUp(s, daemon);
				await untilReachable(s, ["10.0.3.21"]);
				expect(await s.ip("-o", "-4", "addr", "show", "eth3")).not.toContain(
					"10.0.3.20",
				);
				// From now on it looks every 10 s.
				expect(Date.parse(status.nextResyncAt) - Date.now()).toBeLessThan(
					11_500,
				);
				await s.sysctl("conf/all/rp_filter", 1);
				await until(
					"it looks by itself",
					async () => (await s.sysctl("conf/all/rp_filter")) === "0",
					15_000,
				);
			}),
		90_000,
	);

	it("`restart: service` in the config restarts the service for no drift", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.fault("arp-wait", "0");
			const daemon = await startWatching(s);
			await untilReachable(s, otherSubnet.addresses);
			await s.write(config, "restart: service\n");
			await hangUp(s, daemon);
			await s.clearCalls();
			await shell(s, "ip addr del 10.0.2.21/32 dev eth1");
			await untilReachable(s, otherSubnet.addresses);
			await shell(s, `rm ${scripts}/ifcfg-eth1`);
			await hangUp(s, daemon);
			await shell(s, "ip link set eth1 down");
			await untilReachable(s, otherSubnet.addresses);
			expect(await s.exists(`${scripts}/ifcfg-eth1`)).toBe(true);
			const restarts = (await s.calls("systemctl")).filter(({ argv }) =>
				argv.includes("restart"),
			);
			expect(restarts).toEqual([]);
			await sleep(500);
			expect((await hangUp(s, daemon)).lastPass.outcome).toBe("unchanged");
		}));
});
