import { describe, expect, it } from "vitest";
import { type Daemon, sleep, until } from "./daemon";
import type { Sandbox } from "./sandbox";
import { expectReachable, sameSubnet, withoutLoss } from "./scenario";
import {
	eni,
	hangUp,
	linesSince,
	macOf,
	macs,
	scripts,
	statusOf,
	untilAddress,
	untilReachable,
	watched,
} from "./watched";

const eth1 = `${macs}${macOf(2)}`;

/** A configured eth1 and a settled daemon. */
function configured(
	body: (sandbox: Sandbox, daemon: Daemon) => Promise<void>,
): Promise<void> {
	return watched({ enis: [sameSubnet] }, async (s, daemon) => {
		await untilReachable(s, sameSubnet.addresses);
		await hangUp(s, daemon);
		await s.clearCalls();
		await body(s, daemon);
		// Whatever changed, no link was taken down or brought up for it.
		expect(await s.calls("ifup")).toEqual([]);
		expect(await s.calls("ifdown")).toEqual([]);
		expect(
			await s
				.calls("systemctl")
				.then((calls) => calls.filter(({ argv }) => argv[1] === "restart")),
		).toEqual([]);
	});
}

/** Flags that links got while body ran, as `ip monitor` tells. */
async function linkEvents(
	s: Sandbox,
	body: () => Promise<unknown>,
): Promise<string[]> {
	const monitor = s.spawn(["ip", "-o", "monitor", "link"]);
	let text = "";
	monitor.stdout?.on("data", (more: Buffer) => {
		text += more.toString();
	});
	await sleep(300);
	await body();
	monitor.kill("SIGKILL");
	await monitor;
	return text.split("\n").filter((line) => / eth\d/.test(line));
}

const rulesOf = async (s: Sandbox, address: string) =>
	(await s.ip("rule"))
		.split("\n")
		.filter((line) => line.includes(`from ${address} `)).length;

describe("an address that is assigned", () => {
	it("is there within a second of a SIGHUP, answers, and no link is touched", () =>
		configured(async (s, daemon) => {
			const from = daemon.log().length;
			const probe = await s.probe("10.0.1.20");
			const events = await withoutLoss(s, () =>
				linkEvents(s, async () => {
					await s.assign("eth1", "10.0.1.30");
					await s.assign("eth1", "10.0.1.31");
					const start = Date.now();
					daemon.child.kill("SIGHUP");
					await daemon.line(/eth1: added/, 10_000, from);
					expect(Date.now() - start).toBeLessThan(1000);
				}),
			);
			expect(events).toEqual([]);
			expect((await probe.stop()).lost).toBe(0);
			await expectReachable(s, [
				...sameSubnet.addresses,
				"10.0.1.30",
				"10.0.1.31",
			]);
			expect(linesSince(daemon, from)).toEqual([
				expect.stringMatching(
					/^eth1: added 10\.0\.1\.30, 10\.0\.1\.31: assigned \(\d+ ms\)$/,
				),
			]);
			expect(await s.read(`${scripts}/ifcfg-eth1`)).toContain('="10.0.1.31"');
			expect(await s.read(`${scripts}/rule-eth1`)).toContain(
				"from 10.0.1.31/32",
			);
			expect(await rulesOf(s, "10.0.1.30")).toBe(1);
		}));

	it("is there after the next resync, without anybody's doing", async () =>
		watched({ enis: [sameSubnet] }, async (s, daemon) => {
			await s.write("/etc/eni-configure/config.yaml", "resyncSeconds: 10\n");
			await hangUp(s, daemon);
			await s.assign("eth1", "10.0.1.30");
			await untilReachable(s, ["10.0.1.30"], 14_000);
			await until("the pass is in the status", async () =>
				/resync|metadata|eth1/.test(
					(await statusOf(s))?.lastPass.trigger ?? "",
				),
			);
		}));
});

describe("an address that is released", () => {
	it.concurrent(
		"is kept until the answer has been the same for 30 s, with a line; then it is gone, and no link is touched",
		async () =>
			configured(async (s, daemon) => {
				const from = daemon.log().length;
				await s.release("eth1", "10.0.1.21");
				const start = Date.now();
				const status = await hangUp(s, daemon);
				expect(status.releases).toEqual([
					expect.objectContaining({
						link: "eth1",
						addresses: ["10.0.1.21/32"],
					}),
				]);
				expect(
					Math.abs(
						Date.parse(status.releases[0]?.dueAt ?? "") - start - 30_000,
					),
				).toBeLessThan(3000);
				expect(linesSince(daemon, from)).toEqual([
					"eth1: 10.0.1.21 is no longer listed by the metadata service: kept until that has stayed the answer",
				]);
				await sleep(start + 15_000 - Date.now());
				await hangUp(s, daemon);
				await sleep(start + 27_000 - Date.now());
				await hangUp(s, daemon);
				await untilAddress(s, "eth1", "10.0.1.21", true, 0);
				const events = await linkEvents(s, () =>
					untilAddress(s, "eth1", "10.0.1.21", false, 10_000),
				);
				expect(Date.now() - start).toBeGreaterThan(29_500);
				expect(Date.now() - start).toBeLessThan(36_000);
				expect(events).toEqual([]);
				await daemon.line(/eth1: removed 10\.0\.1\.21: released/, 5000, from);
				expect(await rulesOf(s, "10.0.1.21")).toBe(0);
				expect(await s.read(`${scripts}/ifcfg-eth1`)).not.toContain(
					"10.0.1.21",
				);
				await expectReachable(s, ["10.0.1.20", "10.0.1.22"]);
				expect((await hangUp(s, daemon)).releases).toEqual([]);
			}),
		90_000,
	);

	it.concurrent(
		"is kept for 30 s more after another answer in between",
		async () =>
			configured(async (s, daemon) => {
				await s.release("eth1", "10.0.1.21");
				const start = Date.now();
				await hangUp(s, daemon);
				await sleep(20_000);
				// The answer with it, once; then the one without it again.
				await s.metadata.override(`${eth1}/local-ipv4s/`, {
					body: sameSubnet.addresses.map((ip) => `${ip}/`).join("\n"),
				});
				expect((await hangUp(s, daemon)).releases).toEqual([]);
				await s.metadata.clearOverrides();
				const anew = Date.now();
				await hangUp(s, daemon);
				await sleep(start + 33_000 - Date.now());
				await hangUp(s, daemon);
				await untilAddress(s, "eth1", "10.0.1.21", true, 0);
				await untilAddress(
					s,
					"eth1",
					"10.0.1.21",
					false,
					anew + 38_000 - Date.now(),
				);
				expect(Date.now() - anew).toBeGreaterThan(29_500);
			}),
		120_000,
	);

	it.concurrent(
		"is kept while errors follow its release, without a storm of questions, and goes when they have ended",
		async () =>
			configured(async (s, daemon) => {
				await s.release("eth1", "10.0.1.21");
				await hangUp(s, daemon);
				await s.metadata.override(`${eth1}/local-ipv4s/`, {
					status: 500,
					body: "",
				});
				for (const _ of [1, 2, 3]) {
					await sleep(9000);
					await hangUp(s, daemon);
				}
				await s.metadata.clearRequests();
				await sleep(9000);
				expect((await s.metadata.requests()).length).toBeLessThan(30);
				await untilAddress(s, "eth1", "10.0.1.21", true, 0);
				await s.metadata.clearOverrides();
				await hangUp(s, daemon);
				await untilAddress(s, "eth1", "10.0.1.21", false, 5000);
				await expectReachable(s, ["10.0.1.20", "10.0.1.22"]);
			}),
		120_000,
	);

	it.concurrent(
		"and assigned to another ENI of the guest moves there",
		async () =>
			watched(
				{
					enis: [
						sameSubnet,
						{ ...eni(2), subnet: "10.0.1.0/24", addresses: ["10.0.1.40"] },
					],
				},
				async (s, daemon) => {
					await untilReachable(s, [...sameSubnet.addresses, "10.0.1.40"]);
					await s.release("eth1", "10.0.1.21");
					await s.assign("eth2", "10.0.1.21");
					await hangUp(s, daemon);
					await daemon.line(/eth2: 10\.0\.1\.21 stands on eth1: held/);
					await untilAddress(s, "eth1", "10.0.1.21", false, 40_000);
					await untilAddress(s, "eth2", "10.0.1.21", true, 10_000);
					await untilReachable(s, [
						"10.0.1.20",
						"10.0.1.21",
						"10.0.1.22",
						"10.0.1.40",
					]);
					expect(await rulesOf(s, "10.0.1.21")).toBe(1);
				},
			),
		120_000,
	);

	it.concurrent(
		"a changed gateway and a changed primary address are taken over when they have stayed the answer",
		async () =>
			watched({ enis: [eni(2)] }, async (s, daemon) => {
				await untilReachable(s, eni(2).addresses);
				await hangUp(s, daemon);
				const from = daemon.log().length;
				// The same ENI in another part of its subnet, with another address in front.
				await s.assign("eth2", "10.0.2.200");
				const leaves = {
					"primary-local-ipv4": "10.0.2.200",
					"local-ipv4s/": "10.0.2.200/\n10.0.2.21/",
					"local-ipv4s/10.0.2.200/gateway": "10.0.2.1",
					"local-ipv4s/10.0.2.200/subnet-mask": "255.255.255.0",
				};
				for (const [leaf, body] of Object.entries(leaves))
					await s.metadata.override(`${eth1}/${leaf}`, { body });
				const start = Date.now();
				await hangUp(s, daemon);
				await daemon.line(
					/eth2: the metadata service now says 10\.0\.2\.200\/24 via .*: kept until/,
					5000,
					from,
				);
				await sleep(start + 26_000 - Date.now());
				await hangUp(s, daemon);
				await expectReachable(s, eni(2).addresses);
				await until(
					"the new address is in front",
					async () =>
						(await s.ip("-o", "-4", "addr", "show", "eth2")).includes(
							"10.0.2.200/24",
						),
					20_000,
				);
				expect(Date.now() - start).toBeGreaterThan(29_500);
				await untilReachable(s, ["10.0.2.200", "10.0.2.21"]);
				await untilAddress(s, "eth2", "10.0.2.20", false, 5000);
				await daemon.line(/eth2: changed to 10\.0\.2\.200\/24/, 5000, from);
			}),
		120_000,
	);
});
