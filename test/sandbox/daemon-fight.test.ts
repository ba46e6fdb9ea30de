import { describe, expect, it } from "vitest";
import { sleep, until } from "./daemon";
import { inSandbox, sameSubnet, shell, withoutLoss } from "./scenario";
import {
	twoAddresses as all,
	eni,
	hangUp,
	linesSince,
	scripts,
	settled,
	startWatching,
	statusOf,
	two,
	untilAddress,
	untilReachable,
	watched,
} from "./watched";

describe.concurrent("somebody who keeps undoing one thing", () => {
	it(
		"is named and left alone for a minute; the rest of the NIC is not, and new addresses come",
		async () =>
			settled(async (s, daemon) => {
				const from = daemon.log().length;
				const fighter = s.spawn([
					"bash",
					"-c",
					"while sleep 0.3; do ip addr del 10.0.1.21/32 dev eth1 2>/dev/null && echo x >>/run/deleted; done",
				]);
				try {
					const line = await daemon.line(
						/something else keeps changing it/,
						20_000,
						from,
					);
					expect(line).toMatch(
						/eth1: 10\.0\.1\.21\/32 was missing, 3 times by now: .*left as it is for 1 min/,
					);
					await sleep(3000);
					const deleted =
						(await s.read("/run/deleted")).match(/x/g)?.length ?? 0;
					// Each repair may have taken two attempts.
					expect(deleted).toBeLessThanOrEqual(6);
					expect(
						linesSince(daemon, from).filter((one) =>
							/put right: 10\.0\.1\.21/.test(one),
						).length,
					).toBe(3);
					const [record] = (await statusOf(s))?.drift ?? [];
					expect(record).toMatchObject({
						link: "eth1",
						what: "10.0.1.21/32 was missing",
						times: 3,
					});
					const leftMs = Date.parse(record?.leftUntil ?? "") - Date.now();
					expect(leftMs).toBeGreaterThan(30_000);
					expect(leftMs).toBeLessThan(60_000);
					// Everything else of the NIC goes on.
					await shell(s, "ip addr del 10.0.1.22/32 dev eth1");
					await untilAddress(s, "eth1", "10.0.1.22");
					await s.assign("eth1", "10.0.1.30");
					await hangUp(s, daemon);
					await untilReachable(s, [
						"10.0.1.20",
						"10.0.1.22",
						"10.0.1.30",
						...eni(2).addresses,
					]);
					expect(await s.read(`${scripts}/ifcfg-eth1`)).toContain("10.0.1.30");
					expect(await s.calls("ifdown")).toEqual([]);
					await shell(s, "ip link set eth2 down");
					await untilReachable(s, eni(2).addresses);
					await untilAddress(s, "eth1", "10.0.1.21", false);
				} finally {
					fighter.kill("SIGKILL");
					await fighter;
				}
				// Nobody deletes it any more: at the end of the minute it is back.
				await untilAddress(s, "eth1", "10.0.1.21", true, 70_000);
				await untilReachable(s, all);
			}),
		150_000,
	);

	it(
		"at once each time costs the NIC nothing else",
		async () =>
			settled(async (s, daemon) => {
				await s.clearCalls();
				const from = daemon.log().length;
				const probe = await s.probe("10.0.1.22");
				const fighter = s.spawn([
					"bash",
					"-c",
					"while sleep 0.02; do ip addr del 10.0.1.21/32 dev eth1 2>/dev/null; done",
				]);
				try {
					await sleep(12_000);
					expect(
						await s.calls("ifdown"),
						linesSince(daemon, from).join("\n"),
					).toEqual([]);
					expect((await probe.stop()).lost).toBe(0);
					expect(linesSince(daemon, from).join("\n")).toMatch(
						/something else keeps changing it/,
					);
				} finally {
					fighter.kill("SIGKILL");
					await fighter;
				}
			}),
		90_000,
	);
});

describe.concurrent("beside NICs that are not as they should be", () => {
	it("drift is named, too, and fights are noticed", async () =>
		inSandbox({ enis: [...two, eni(5)] }, async (s) => {
			await s.write(`${scripts}/ifcfg-eth5`, "DEVICE=eth5\nONBOOT=no\n");
			const daemon = await startWatching(s);
			await untilReachable(s, all);
			await hangUp(s, daemon);
			for (const times of [1, 2, 3]) {
				await shell(s, "ip addr del 10.0.1.21/32 dev eth1");
				await until(
					`put right ${times} times`,
					() =>
						daemon
							.log()
							.filter((line) =>
								/eth1: put right: 10\.0\.1\.21\/32 was missing/.test(line),
							).length === times,
				);
			}
			await daemon.line(/eth1: 10\.0\.1\.21\/32 was missing, 3 times/);
			await s.sysctl("conf/all/rp_filter", 1);
			await hangUp(s, daemon);
			await daemon.line(/: put right: net\.ipv4\.conf\.all\.rp_filter was 1/);
		}));
});

describe.concurrent("a NIC that does not verify", () => {
	it(
		"is rolled back with one error line, backs off, is named in the status; others go on, and it converges at the retry",
		async () =>
			watched({ enis: [eni(2)] }, async (s, daemon) => {
				await untilReachable(s, eni(2).addresses);
				const from = daemon.log().length;
				const before = await s.snapshot();
				await withoutLoss(s, async () => {
					daemon.child.kill("SIGSTOP");
					await s.plug(sameSubnet);
					await s.gatewaySilent("eth1", true);
					daemon.child.kill("SIGCONT");
					await daemon.line(
						/eth1: rolled back: neighbour: expected the gateway 10\.0\.1\.1 answers/,
						40_000,
						from,
					);
					await until(
						"it is named",
						async () =>
							(await statusOf(s))?.waiting.some(
								({ kind }) => kind === "backing-off",
							) ?? false,
					);
				});
				const [own] = (await statusOf(s))?.waiting ?? [];
				expect(own).toMatchObject({ link: "eth1", kind: "backing-off" });
				const retryMs = Date.parse(own?.retryAt ?? "") - Date.now();
				expect(retryMs).toBeGreaterThan(30_000);
				expect(retryMs).toBeLessThan(60_000);
				await s.plug(eni(4));
				await untilReachable(s, eni(4).addresses);
				await shell(s, "ip addr del 10.0.2.21/32 dev eth2");
				await untilReachable(s, eni(2).addresses);
				await hangUp(s, daemon);
				await hangUp(s, daemon);
				const lines = linesSince(daemon, from).filter((line) =>
					/^eth1: /.test(line),
				);
				expect(lines.filter((line) => /rolled back: /.test(line))).toHaveLength(
					1,
				);
				expect(await s.ip("-o", "-4", "addr", "show", "eth1")).toBe("");
				expect(await s.exists(`${scripts}/ifcfg-eth1`)).toBe(false);
				expect(before).not.toContain("ifcfg-eth1");
				await s.gatewaySilent("eth1", false);
				await untilReachable(s, sameSubnet.addresses, 70_000);
				await until(
					"nobody waits",
					async () => (await statusOf(s))?.waiting.length === 0,
				);
			}),
		150_000,
	);
});
