import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { until } from "./daemon";
import { expectOneMonitor, startRareDaemon } from "./endurance";
import { childrenOf, isAlive, monitorsIn, usageOf } from "./processes";
import type { Sandbox } from "./sandbox";
import { expectReachable, inSandbox, otherSubnet } from "./scenario";

/** Ends the daemon's monitor; waits for one where there is none just now. */
async function killMonitor(sandbox: Sandbox): Promise<void> {
	await until(
		"a monitor runs",
		async () => (await monitorsIn(sandbox)).length > 0,
		60_000,
	);
	for (const { pid } of await monitorsIn(sandbox)) {
		process.kill(pid, "SIGKILL");
		await until("it is gone", async () => !(await isAlive(pid)));
	}
}

// The metadata service gives up a kept-alive connection after 5 s.
const connectionsGone = () => sleep(7000);

describe("a monitor that dies", () => {
	it("is started again, and what happened in between is put right or found", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const daemon = await startRareDaemon(s);
			await killMonitor(s);
			// Nobody is there to tell of it.
			await s.ip("addr", "del", "10.0.2.21/32", "dev", "eth1");
			await s.ip("rule", "del", "from", "10.0.2.22");
			const [first] = await Promise.all([
				daemon.line(/ip monitor/),
				s.plug({
					name: "eth2",
					subnet: "10.0.3.0/24",
					addresses: ["10.0.3.20"],
				}),
			]);
			expect(first).toContain("started again");
			await expectReachable(s, [...otherSubnet.addresses, "10.0.3.20"]);
			await expectOneMonitor(s, daemon);
			// And it hears again.
			await s.ip("addr", "del", "10.0.2.22/32", "dev", "eth1");
			expect(await s.reach("10.0.2.22", { timeoutMs: 10_000 })).toBe(true);
			expect(await daemon.stop()).toBe(0);
		}));

	it(
		"ten times in a row makes no busy loop and no heap of processes, and the daemon goes on meanwhile",
		() =>
			inSandbox({ enis: [otherSubnet] }, async (s) => {
				const daemon = await startRareDaemon(s);
				const pid = daemon.child.pid as number;
				const startMs = Date.now();
				const before = await usageOf(pid);
				let most = 0;
				for (let at = 0; at < 10; at += 1) {
					await killMonitor(s);
					most = Math.max(most, (await monitorsIn(s)).length);
				}
				// 0.25, 0.5, 1, 2, 5, 10 and three times 30 s, a quarter more or less.
				expect(Date.now() - startMs).toBeGreaterThan(0.75 * 108_000);
				expect(most).toBeLessThanOrEqual(1);
				await connectionsGone();
				const { cpuMs, descriptors } = await usageOf(pid);
				expect(cpuMs - before.cpuMs).toBeLessThan(3000);
				expect(descriptors).toBeLessThanOrEqual(before.descriptors);
				expect((await childrenOf(pid)).length).toBeLessThanOrEqual(1);
				expect(
					daemon.log().filter((line) => line.includes("ip monitor")),
				).toHaveLength(1);
				expect(await daemon.stop()).toBe(0);
			}),
		240_000,
	);
});
