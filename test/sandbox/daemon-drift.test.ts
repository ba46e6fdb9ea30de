import { describe, expect, it } from "vitest";
import { sleep, until } from "./daemon";
import type { Sandbox } from "./sandbox";
import { expectReachable, shell, withoutLoss } from "./scenario";
import {
	twoAddresses as all,
	atOnce,
	hangUp,
	linesSince,
	scripts,
	settled,
	statusOf,
	untilReachable,
} from "./watched";

interface Drift {
	/** What somebody does. */
	script: string;
	/** The one line that says what had drifted. */
	line: RegExp;
	/** Nothing tells of it: the next look at any rate finds it. */
	isSilent?: boolean;
	/** The daemon is to see what is left by it, and not what was in between. */
	isAtOnce?: boolean;
	/** eth0 itself is not up all the time. */
	isLossy?: boolean;
}

const drifts: [string, Drift][] = [
	[
		"an address that was deleted",
		{
			script: "ip addr del 10.0.1.21/32 dev eth1",
			line: /^eth1: put right: 10\.0\.1\.21\/32 was missing \(/,
		},
	],
	[
		"the primary address of a NIC that was deleted",
		{
			script: "ip addr del 10.0.1.20/24 dev eth1",
			line: /^eth1: put right: .*10\.0\.1\.20\/24 was missing/,
		},
	],
	[
		"a rule that was deleted",
		{
			script: "ip rule del from 10.0.1.21/32 lookup 1001 priority 1001",
			line: /^eth1: put right: the rule from 10\.0\.1\.21\/32 lookup 1001 priority 1001 was missing \(/,
			isSilent: true,
		},
	],
	[
		"a table that was flushed",
		{
			script: "ip route flush table 1001",
			line: /^eth1: put right: (the route .* table 1001 was missing(, )?){3} \(/,
			isSilent: true,
		},
	],
	[
		"a link that was down for a moment",
		{
			script: "ip link set eth1 down; ip link set eth1 up",
			line: /^eth1: put right: .*route .*table 1001 was missing/,
			isAtOnce: true,
		},
	],
	[
		"a link that is down",
		{
			script: "ip link set eth1 down",
			line: /^eth1: put right: the link was down/,
		},
	],
	[
		"the primary that was bounced",
		{
			script: "ip link set eth0 down; ip link set eth0 up; ifup eth0",
			line: /^$/,
			isLossy: true,
		},
	],
	[
		"a connected route that is first again",
		{
			script:
				"ip route append 10.0.1.0/24 dev eth1 proto kernel scope link src 10.0.1.20",
			line: /^eth1: put right: the route 10\.0\.1\.0\/24 dev eth1 .*was there \(/,
			isSilent: true,
		},
	],
	[
		"rp_filter of all that another agent has set",
		{
			script: "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
			line: /^put right: net\.ipv4\.conf\.all\.rp_filter was 1 \(/,
			isSilent: true,
		},
	],
	[
		"rp_filter of one NIC that another agent has set",
		{
			script: "echo 1 >/proc/sys/net/ipv4/conf/eth1/rp_filter",
			line: /^eth1: put right: net\.ipv4\.conf\.eth1\.rp_filter was 1 \(/,
			isSilent: true,
		},
	],
	[
		"sysctl.conf without its block",
		{
			script: "sed -i '/^# eni-configure begin/,$d' /etc/sysctl.conf",
			line: /^put right: \/etc\/sysctl\.conf was different \(/,
			isSilent: true,
		},
	],
	[
		"a file that was deleted",
		{
			script: `rm ${scripts}/ifcfg-eth1`,
			line: /^eth1: put right: \/etc\/sysconfig\/network-scripts\/ifcfg-eth1 was missing \(/,
			isSilent: true,
		},
	],
];

/** The guest as it is to be again; routes and addresses in any order, and no link's number. */
async function state(s: Sandbox): Promise<string[]> {
	return (await s.snapshot()).split("\n").sort();
}

describe("what drifts is put right, with one line", () => {
	it.each(drifts)("%s", (_, { script, line, isSilent, isAtOnce, isLossy }) =>
		settled(async (s, daemon) => {
			const before = await state(s);
			const from = daemon.log().length;
			const body = async () => {
				await s.fault("arp-wait", "0");
				const deed = () => shell(s, script);
				await (isAtOnce ? atOnce(daemon, deed) : deed());
				if (isSilent) {
					await sleep(300);
					await hangUp(s, daemon);
				} else if (!isLossy) await daemon.line(/put right/, 15_000, from);
				await until("all is as before", async () => {
					return (await state(s)).join("\n") === before.join("\n");
				}).catch(async (error) => {
					expect(await state(s)).toEqual(before);
					throw error;
				});
			};
			await (isLossy ? body() : withoutLoss(s, body));
			await untilReachable(s, ["10.0.1.10", ...all]);
			if (isLossy) return;
			const status = await hangUp(s, daemon);
			const lines = linesSince(daemon, from);
			expect(
				lines.filter((one) => /put right/.test(one)),
				lines.join("\n"),
			).toHaveLength(1);
			expect(lines.join("\n")).toMatch(new RegExp(line.source, "m"));
			expect(lines).toHaveLength(1);
			expect(status.drift.length).toBeGreaterThan(0);
			expect(status.lastPass.outcome).toBe("unchanged");
		}),
	);

	it("a new container network is no drift: its throw routes come, and go with it", () =>
		settled(async (s, daemon) => {
			const from = daemon.log().length;
			const throws = async () =>
				(await state(s)).filter((line) => /throw 172\.30\.0\.0\/16/.test(line))
					.length;
			await withoutLoss(s, async () => {
				await shell(
					s,
					"ip link add br-xyz type bridge; ip addr add 172.30.0.1/16 dev br-xyz; ip link set br-xyz up",
				);
				await until(
					"a throw in both tables",
					async () => (await throws()) === 2,
				);
				await shell(s, "ip link del br-xyz");
				await hangUp(s, daemon);
				await until("no throw is left", async () => (await throws()) === 0);
			});
			expect(linesSince(daemon, from).join("\n")).not.toMatch(
				/put right|keeps changing/,
			);
			expect((await hangUp(s, daemon)).drift).toEqual([]);
		}));

	it("everything, after the network service was restarted", () =>
		settled(async (s, daemon) => {
			const before = await state(s);
			await s.fault("arp-wait", "0");
			const restart = await s.guest(["systemctl", "restart", "network"]);
			expect(restart.exitCode, await s.read("/run/sandbox/network.log")).toBe(
				0,
			);
			await s.sysctl("ip_forward", 1);
			await until(
				"all is as before",
				async () => (await state(s)).join("\n") === before.join("\n"),
			).catch(async (error) => {
				expect(await state(s)).toEqual(before);
				throw error;
			});
			await expectReachable(s, ["10.0.1.10", ...all]);
			expect(await s.reach("10.0.1.21", { from: "docker0" })).toBe(true);
			await hangUp(s, daemon);
			expect((await statusOf(s))?.lastPass.outcome).toBe("unchanged");
		}));
});
