import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Daemon, startDaemon, until } from "./daemon";
import { expectOneMonitor, quiet, startRareDaemon } from "./endurance";
import { randomFrom } from "./kill";
import { monitorsIn } from "./processes";
import type { EniOptions, Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	withoutLoss,
} from "./scenario";

const journal = "/var/lib/eni-configure/journal.json";
const stopLimitMs = 1000;
const eth2: EniOptions = {
	name: "eth2",
	subnet: "10.0.3.0/24",
	addresses: ["10.0.3.20"],
};

/** A daemon whose next ifup takes so long, in the middle of it. */
async function inIfup(sandbox: Sandbox, seconds: string): Promise<Daemon> {
	const daemon = await startRareDaemon(sandbox);
	await sandbox.clearCalls();
	await sandbox.fault("ifup-slow.once", seconds);
	await sandbox.plug(sameSubnet);
	await until(
		"ifup runs",
		async () => (await sandbox.calls("ifup")).length > 0,
	);
	return daemon;
}

describe("SIGTERM", () => {
	it.each(["SIGTERM", "SIGINT"] as const)(
		"at rest: %s ends it within a second with exit code 0, its monitor too, and takes nothing away",
		(signal) =>
			inSandbox({ enis: [otherSubnet] }, async (s) => {
				const daemon = await startRareDaemon(s);
				const before = await s.snapshot("/var/lib/eni-configure/state.json");
				const startMs = Date.now();
				expect(await daemon.stop(signal)).toBe(0);
				expect(Date.now() - startMs).toBeLessThan(stopLimitMs);
				await until(
					"no monitor is left",
					async () => (await monitorsIn(s)).length === 0,
				);
				expect(await s.snapshot("/var/lib/eni-configure/state.json")).toBe(
					before,
				);
				await expectReachable(s, otherSubnet.addresses);
			}),
	);

	it("while it waits for metadata that never come", () =>
		inSandbox({}, async (s) => {
			const daemon = await startDaemon(s);
			await s.metadata.hang();
			await s.plug(otherSubnet);
			await sleep(1500);
			const startMs = Date.now();
			expect(await daemon.stop()).toBe(0);
			expect(Date.now() - startMs).toBeLessThan(stopLimitMs);
			expect(await monitorsIn(s)).toEqual([]);
		}));

	it("during a pass: the running ifup ends, all is rolled back, and exit code 0", () =>
		inSandbox({ enis: [eth2] }, async (s) => {
			const daemon = await inIfup(s, "3");
			const configured = await s.calls("ifup");
			await withoutLoss(s, async () => {
				const startMs = Date.now();
				expect(await daemon.stop(), daemon.log().join("\n")).toBe(0);
				// It was let run to its end.
				expect(Date.now() - startMs).toBeGreaterThan(1000);
			});
			expect(configured).toHaveLength(1);
			expect(await monitorsIn(s)).toEqual([]);
			expect(await s.exists(journal)).toBe(false);
			expect(await s.ip("-4", "-o", "addr", "show", "eth1")).toBe("");
			expect(await s.ip("rule")).not.toContain("10.0.1.2");
			expect(await s.list("/etc/sysconfig/network-scripts")).not.toContain(
				"ifcfg-eth1",
			);
			await expectReachable(s, ["10.0.1.10", ...eth2.addresses]);
			// Nothing has to be recovered, and nobody backs off from what a person has ended.
			const next = await startRareDaemon(s);
			expect(next.log().join("\n")).not.toContain("recovered");
			await expectReachable(s, [...sameSubnet.addresses, ...eth2.addresses]);
			expect(await next.stop()).toBe(0);
		}));
});

/** What the cloud does to the machine between two kills: from one wanted list of ENIs to another. */
type Deed = (sandbox: Sandbox) => Promise<unknown>;
const deeds: Deed[] = [
	(s) => s.plug(sameSubnet),
	(s) => s.assign("eth1", "10.0.1.30"),
	(s) => s.plug(eth2),
	(s) => s.unplug("eth1"),
	(s) => s.plug({ ...sameSubnet, mac: "52:54:00:ca:00:01" }),
	(s) => s.assign("eth2", "10.0.3.30"),
	(s) => s.unplug("eth2"),
	(s) => s.unplug("eth1"),
];

/** Addresses that metadata gives the guest after so many deeds. */
function wantedAfter(count: number): Record<string, string[]> {
	const eth1 = [...sameSubnet.addresses];
	const wanted: Record<string, string[]>[] = [
		{},
		{ eth1 },
		{ eth1: [...eth1, "10.0.1.30"] },
		{ eth1: [...eth1, "10.0.1.30"], eth2: ["10.0.3.20"] },
		{ eth2: ["10.0.3.20"] },
		{ eth1, eth2: ["10.0.3.20"] },
		{ eth1, eth2: ["10.0.3.20", "10.0.3.30"] },
		{ eth1 },
	];
	return wanted[count % deeds.length] as Record<string, string[]>;
}

/** What the kernel has of the secondaries, and whether the rules say the same, each once. */
async function configured(sandbox: Sandbox): Promise<Record<string, string[]>> {
	const [addresses, rules] = await Promise.all([
		sandbox.ip("-4", "-o", "addr"),
		sandbox.ip("rule"),
	]);
	const found: Record<string, string[]> = {};
	for (const [, name = "", ip = ""] of addresses.matchAll(
		/^\d+: (eth[1-9])\s+inet ([\d.]+)/gm,
	))
		found[name] = [...(found[name] ?? []), ip].sort();
	const sources = [...rules.matchAll(/from (10\.[\d.]+)/g)].map(([, ip]) => ip);
	expect(sources.sort()).toEqual(Object.values(found).flat().sort());
	return found;
}

/** Waits until a change is under way, or none has begun for two seconds. */
async function untilJournal(sandbox: Sandbox): Promise<void> {
	const limit = Date.now() + 2000;
	while (!(await sandbox.exists(journal)) && Date.now() < limit) await sleep(2);
}

describe("SIGKILL at random moments", () => {
	it(
		"each next start leads to what metadata says, and the primary loses nothing",
		() =>
			inSandbox({}, async (s) => {
				const seed = Date.now() % 2 ** 31;
				console.log(`seed ${seed}`);
				const random = randomFrom(seed);
				let [hits, recoveries] = [0, 0];
				await withoutLoss(s, async () => {
					let daemon = await startRareDaemon(s);
					for (let at = 0; at < deeds.length * 2; at += 1) {
						const where = () =>
							`seed ${seed}, deed ${at}\n${daemon.log().join("\n")}`;
						await (deeds[at % deeds.length] as Deed)(s);
						for (let kill = 0; kill < 2; kill += 1) {
							// Anywhere, or in the part in which there is something to be lost.
							if (random() < 0.4) await sleep(random() * 700);
							else {
								await untilJournal(s);
								// A change takes tens of milliseconds, or some hundred, as the machine is.
								await sleep(random() * (random() < 0.7 ? 15 : 250));
							}
							await daemon.stop("SIGKILL");
							hits += 1;
							const isCut = await s.exists(journal);
							daemon = await startDaemon(s);
							if (isCut) recoveries += 1;
							if (isCut) await daemon.line(/recovered: /, 30_000);
							await expectOneMonitor(s, daemon);
						}
						await quiet(s, daemon);
						expect(await configured(s), where()).toEqual(wantedAfter(at + 1));
						expect(await s.exists(journal), where()).toBe(false);
					}
					// What has converged gives no further pass anything to do.
					const before = await s.snapshot("/var/lib/eni-configure/state.json");
					const from = (await daemon.status()).writtenAt;
					daemon.child.kill("SIGHUP");
					await until(
						"another pass",
						async () => (await daemon.status()).writtenAt !== from,
					);
					expect((await daemon.status()).lastPass.outcome).toBe("unchanged");
					expect(await s.snapshot("/var/lib/eni-configure/state.json")).toBe(
						before,
					);
					expect((await run(s, ["plan", "--all"])).steps).toEqual([]);
					expect(await daemon.stop()).toBe(0);
				});
				console.log(`${hits} kills, ${recoveries} of them had to be recovered`);
				expect(recoveries).toBeGreaterThan(0);
				expect(await monitorsIn(s)).toEqual([]);
			}),
		240_000,
	);
});
