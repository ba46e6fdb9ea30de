import { describe, expect, it } from "vitest";
import { sleep, startDaemon, until } from "./daemon";
import { gatewayOf, netmaskOf } from "./eni";
import type { EniOptions, Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	run,
	sameSubnet,
	shell,
	withoutLoss,
} from "./scenario";
import {
	atOnce,
	eni,
	hangUp,
	linesSince,
	macOf,
	macs,
	scripts,
	startWatching,
	statusOf,
	traces,
	untilAddress,
	untilForgotten,
	untilReachable,
	watched,
} from "./watched";

/** Each leaf that the agent reads of an ENI, and what it says. */
const leavesOf = (mac: string, { addresses, subnet }: EniOptions) =>
	Object.entries({
		"primary-local-ipv4": `${addresses[0]}`,
		"local-ipv4s/": addresses.map((ip) => `${ip}/`).join("\n"),
		[`local-ipv4s/${addresses[0]}/gateway`]: gatewayOf(subnet),
		[`local-ipv4s/${addresses[0]}/subnet-mask`]: netmaskOf(subnet),
	}).map(([leaf, body]) => ({ leaf: `${macs}${mac}/${leaf}`, body }));

describe("a NIC that is plugged in", () => {
	it("is configured, whichever comes first: the NIC or its metadata", () =>
		watched({}, async (s, daemon) => {
			await withoutLoss(s, async () => {
				// Listed before it is there.
				await s.plug(sameSubnet);
				await untilReachable(s, sameSubnet.addresses);
				// There before it is listed.
				await s.plug(eni(2, { listed: false }));
				await daemon.line(/eth2: .*does not list its MAC/);
				expect(await s.exists(`${scripts}/ifcfg-eth2`)).toBe(false);
				await until(
					"the status names it",
					async () =>
						(await statusOf(s))?.waiting.some(
							({ link, kind }) => link === "eth2" && kind === "unlisted",
						) ?? false,
				);
				await s.metadata.list("eth2", true);
				await untilReachable(s, eni(2).addresses, 2500);
			});
			await daemon.line(/eth2: configured/);
			await until(
				"nobody waits",
				async () => (await statusOf(s))?.waiting.length === 0,
			);
			expect(
				linesSince(daemon, 0).filter((line) => /configured/.test(line)),
			).toEqual([
				expect.stringMatching(
					/^eth1: configured 10\.0\.1\.20\/24 and 2 more via 10\.0\.1\.1, table 1001: plugged in \(\d+ ms from link event to verified\)$/,
				),
				expect.stringMatching(/^eth2: configured 10\.0\.2\.20\/24 and 1 more/),
			]);
		}));

	it("before the daemon was started is configured at its start, and at the next start nothing is done", () =>
		inSandbox({ enis: [sameSubnet, eni(2)] }, async (s) => {
			const first = await startWatching(s);
			await expectReachable(s, [...sameSubnet.addresses, ...eni(2).addresses]);
			expect(await first.stop()).toBe(0);
			const before = await s.snapshot("/var/lib/eni-configure/state.json");
			const second = await startWatching(s);
			expect((await statusOf(s))?.lastPass.outcome).toBe("unchanged");
			expect(await s.snapshot("/var/lib/eni-configure/state.json")).toBe(
				before,
			);
			expect(linesSince(second, 0)).toHaveLength(1);
		}));

	it("with six others at once is configured in one pass with them", () =>
		watched(
			{},
			async (s, daemon) => {
				const all = [1, 2, 3, 4, 5, 6, 7].map((number) =>
					number === 1 ? sameSubnet : eni(number),
				);
				await atOnce(daemon, async () => {
					for (const one of all) await s.plug(one);
				});
				await untilReachable(
					s,
					all.flatMap(({ addresses }) => addresses),
				);
				await daemon.line(/eth7: configured/);
				const lines = daemon
					.log()
					.filter((line) => /: looking: |: configured /.test(line));
				const first = lines.findIndex((line) => /configured/.test(line));
				expect(lines[first - 1]).toMatch(
					/eth1, eth2, eth3, eth4, eth5, eth6, eth7/,
				);
				expect(
					lines
						.slice(first, first + 7)
						.filter((line) => /eth\d: configured/.test(line)),
					lines.join("\n"),
				).toHaveLength(7);
			},
			["--verbose"],
		));

	it.each([
		["answers slowly", { delayMs: 1500 }],
		["does not answer", { hang: true }],
	])(
		"and whose metadata %s holds none of six others up, and is configured, too",
		(_, answer) =>
			watched({}, async (s, daemon) => {
				const all = [1, 2, 3, 4, 5, 6, 7].map((number) => eni(number + 1));
				const slow = all[3] as EniOptions;
				const others = all.filter((one) => one !== slow);
				for (const { leaf, body } of leavesOf(macOf(5), slow))
					await s.metadata.override(leaf, { body, ...answer });
				await atOnce(daemon, async () => {
					for (const one of all) await s.plug(one);
				});
				const start = Date.now();
				await untilReachable(
					s,
					others.flatMap(({ addresses }) => addresses),
				);
				expect(await s.exists(`${scripts}/ifcfg-${slow.name}`)).toBe(false);
				await daemon.line(/eth5: the metadata service has not answered about/);
				if ("hang" in answer) {
					await until("long enough", () => Date.now() > start + 5000);
					await expectReachable(
						s,
						others.flatMap(({ addresses }) => addresses),
					);
					await s.metadata.clearOverrides();
					await untilReachable(s, slow.addresses, 2500);
				} else await untilReachable(s, slow.addresses, 8000);
			}),
	);
});

/** The network service's stand-in comes up, and would not with what was there before. */
async function expectServiceStarts(s: Sandbox): Promise<void> {
	await s.fault("arp-wait", "0");
	const result = await s.guest(["systemctl", "restart", "network"]);
	expect(result.exitCode, await s.read("/run/sandbox/network.log")).toBe(0);
}

describe("a NIC that is unplugged", () => {
	it("leaves nothing behind, and the network service starts, which it would not with the old file", () =>
		watched({}, async (s, daemon) => {
			const untouched = (await s.snapshot()).split("== files")[1];
			await s.container("docker0");
			await s.plug(sameSubnet);
			await untilReachable(s, sameSubnet.addresses);
			await until("a throw", async () =>
				(await s.ip("route", "show", "table", "1001")).includes(
					"throw 172.17.0.0/16",
				),
			);
			await hangUp(s, daemon);
			const file = await s.read(`${scripts}/ifcfg-eth1`);
			const from = daemon.log().length;
			await withoutLoss(s, async () => {
				await s.unplug("eth1");
				await untilForgotten(s, [
					"eth1",
					"1001:",
					"table 1001",
					...sameSubnet.addresses,
				]);
			});
			await daemon.line(
				/eth1: removed 10\.0\.1\.20, 10\.0\.1\.21, 10\.0\.1\.22: unplugged/,
				5000,
				from,
			);
			expect((await s.snapshot()).split("== files")[1]).toBe(untouched);
			expect((await statusOf(s))?.waiting).toEqual([]);
			await expectServiceStarts(s);
			await s.write(`${scripts}/ifcfg-eth1`, file);
			const stale = await s.guest(["systemctl", "restart", "network"]);
			expect(stale.exitCode).not.toBe(0);
		}));

	it("while metadata cannot be had leaves nothing behind either; several at once, and the others do not notice", () =>
		watched(
			{ enis: [1, 2, 3, 4].map((number) => eni(number + 1)) },
			async (s, daemon) => {
				await untilReachable(
					s,
					[2, 3, 4, 5].flatMap((number) => eni(number).addresses),
				);
				await hangUp(s, daemon);
				const kept = eni(3).addresses;
				const probe = await s.probe(kept[1] as string);
				await s.metadata.hang();
				await Promise.all([
					s.unplug("eth2"),
					s.unplug("eth4"),
					s.unplug("eth5"),
				]);
				await untilForgotten(s, [
					...[
						"eth2",
						"eth4",
						"eth5",
						"1002:",
						"1004:",
						"1005:",
						"table 1002",
						"table 1004",
						"table 1005",
					],
					...[2, 4, 5].flatMap((number) => eni(number).addresses),
				]);
				expect((await probe.stop()).lost).toBe(0);
				await expectReachable(s, kept);
				expect(await traces(s)).toContain("ifcfg-eth3");
				expect(await s.read("/etc/sysctl.conf")).toContain("eth3");
				await expectServiceStarts(s);
			},
		));

	it("while it is being configured is configured at once when it comes back", () =>
		watched({}, async (s, daemon) => {
			await atOnce(daemon, async () => {
				await s.plug(sameSubnet);
				await s.gatewaySilent("eth1", true);
			});
			await untilAddress(s, "eth1", "10.0.1.22");
			// By now it is its gateway that it waits for.
			await sleep(1500);
			await s.unplug("eth1");
			await daemon.line(/eth1: not configured: unplugged meanwhile/, 5000);
			await s.plug({ ...sameSubnet, mac: macOf(2).toLowerCase() });
			await untilReachable(s, sameSubnet.addresses);
		}));

	it("and comes back with the same MAC and other addresses before anybody has looked has the new ones", () =>
		watched({ enis: [eni(2)] }, async (s, daemon) => {
			await untilReachable(s, eni(2).addresses);
			const mac = macOf(2).toLowerCase();
			const next = { ...eni(2), mac, addresses: ["10.0.2.20", "10.0.2.40"] };
			await atOnce(daemon, async () => {
				await s.unplug("eth2");
				await s.plug(next);
			});
			await untilReachable(s, next.addresses);
		}));
});

describe("a NIC that is not what it was", () => {
	it("under another name keeps its addresses and its table, and nothing of the old name is left", () =>
		watched({ enis: [sameSubnet, eni(2)] }, async (s, daemon) => {
			await untilReachable(s, sameSubnet.addresses);
			const from = daemon.log().length;
			await withoutLoss(s, async () => {
				await shell(
					s,
					"ip link set eth1 down; ip link set eth1 name eth7; ip link set eth7 up",
				);
				await untilReachable(s, sameSubnet.addresses);
				await untilForgotten(s, ["eth1"]);
			});
			expect(await s.read(`${scripts}/rule-eth7`)).toContain("table 1001");
			await daemon.line(/eth7: configured .* was eth1/, 5000, from);
			await expectReachable(s, eni(2).addresses);
			await expectServiceStarts(s);
			// And back again.
			await shell(
				s,
				"ip link set eth7 down; ip link set eth7 name eth1; ip link set eth1 up",
			);
			await untilForgotten(s, ["eth7"]);
			await untilReachable(s, sameSubnet.addresses);
		}));

	it("two that change names with each other have their own addresses again", () =>
		watched({ enis: [sameSubnet, eni(2)] }, async (s, daemon) => {
			await untilReachable(s, [...sameSubnet.addresses, ...eni(2).addresses]);
			await atOnce(daemon, () =>
				shell(
					s,
					`ip link set eth1 down; ip link set eth2 down; ip link set eth1 name tmp1
					ip link set eth2 name eth1; ip link set tmp1 name eth2
					ip link set eth1 up; ip link set eth2 up`,
				),
			);
			await untilReachable(s, [...sameSubnet.addresses, ...eni(2).addresses]);
			expect(await s.read(`${scripts}/ifcfg-eth1`)).toContain("10.0.2.20");
			expect(await s.read(`${scripts}/ifcfg-eth2`)).toContain("10.0.1.20");
		}));

	it("plugged in again as another ethN is configured there, and nothing of the old name is left", () =>
		watched({ enis: [sameSubnet] }, async (s) => {
			await untilReachable(s, sameSubnet.addresses);
			await withoutLoss(s, async () => {
				await s.unplug("eth1");
				await s.plug({
					...sameSubnet,
					name: "eth4",
					mac: macOf(2).toLowerCase(),
				});
				await untilReachable(s, sameSubnet.addresses);
				await untilForgotten(s, ["eth1"]);
			});
			expect((await s.ip("rule")).match(/from 10\.0\.1\.20 /g)).toHaveLength(1);
		}));

	it("another ENI under its name gets its own addresses, also where its metadata are late", () =>
		watched({ enis: [sameSubnet] }, async (s, daemon) => {
			await untilReachable(s, sameSubnet.addresses);
			const other = eni(2, { name: "eth1", mac: "52:54:00:be:ef:77" });
			await atOnce(daemon, async () => {
				await s.unplug("eth1");
				await s.plug(other);
			});
			await untilReachable(s, other.addresses);
			await untilForgotten(s, sameSubnet.addresses);
			const late = eni(3, {
				name: "eth1",
				mac: "52:54:00:be:ef:78",
				listed: false,
			});
			await atOnce(daemon, async () => {
				await s.unplug("eth1");
				await s.plug(late);
			});
			await untilForgotten(s, [
				...other.addresses,
				"ifcfg-eth1",
				"1001:",
				"table 1001",
			]);
			await s.metadata.list("eth1", true);
			await untilReachable(s, late.addresses, 3000);
			await untilForgotten(s, [...sameSubnet.addresses, ...other.addresses]);
		}));

	it("a held file of the user's stays as it is, whatever is plugged in or unplugged, its own NIC included", () =>
		inSandbox({ enis: [eni(5)] }, async (s) => {
			const mine = "DEVICE=eth5\nONBOOT=no\nBOOTPROTO=dhcp\n# mine\n";
			await s.write(`${scripts}/ifcfg-eth5`, mine, 0o640);
			const daemon = await startWatching(s);
			await daemon.line(/eth5: ifcfg-eth5 is not ours/);
			const held = async () => {
				expect(await s.read(`${scripts}/ifcfg-eth5`)).toBe(mine);
				expect((await s.stat(`${scripts}/ifcfg-eth5`)).mode & 0o777).toBe(
					0o640,
				);
			};
			await s.plug(sameSubnet);
			await untilReachable(s, sameSubnet.addresses);
			await held();
			expect(await s.ip("-o", "-4", "addr", "show", "eth5")).toBe("");
			await s.unplug("eth1");
			await untilForgotten(s, ["eth1"]);
			await held();
			await s.unplug("eth5");
			await until(
				"eth5 is gone from the status",
				async () =>
					!JSON.stringify((await statusOf(s))?.waiting).includes("eth5"),
			);
			await hangUp(s, daemon);
			await held();
			await s.plug(eni(5, { mac: "52:54:00:be:ef:55" }));
			await until("eth5 is held again", async () =>
				JSON.stringify((await statusOf(s))?.waiting).includes("eth5"),
			);
			await held();
			expect(await s.ip("-o", "-4", "addr", "show", "eth5")).toBe("");
		}));

	it("with addresses from flags keeps them, and has them again when it is plugged in again", () =>
		watched({ enis: [sameSubnet] }, async (s, daemon) => {
			await run(s, [
				"eth1",
				"--address",
				"10.0.1.20/24",
				"--gateway",
				"10.0.1.1",
			]);
			await run(s, ["remove", "eth1"]);
			await run(s, [
				"eth1",
				"--address",
				"10.0.1.20/24,10.0.1.22/32",
				"--gateway",
				"10.0.1.1",
			]);
			const isAsGiven = async () => {
				await hangUp(s, daemon);
				const addresses = await s.ip("-o", "-4", "addr", "show", "eth1");
				expect(addresses.match(/inet \S+/g)).toEqual([
					"inet 10.0.1.20/24",
					"inet 10.0.1.22/32",
				]);
				await expectReachable(s, ["10.0.1.20", "10.0.1.22"]);
			};
			await isAsGiven();
			await s.assign("eth1", "10.0.1.30");
			await isAsGiven();
			await s.unplug("eth1");
			await untilForgotten(s, ["ifcfg-eth1", "1001:"]);
			await s.plug({ ...sameSubnet, mac: macOf(2).toLowerCase() });
			await untilAddress(s, "eth1", "10.0.1.22");
			await isAsGiven();
		}));
});

describe("the daemon", () => {
	it("is one: a second is refused", () =>
		watched({}, async (s) => {
			const second = await startDaemon(s);
			expect((await second.child).exitCode).toBe(7);
		}));
});
