import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { type Daemon, startDaemon, until } from "./daemon";
import { quiet, startRareDaemon } from "./endurance";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	sameSubnet,
} from "./scenario";

/** Makes the daemon look at everything, and waits until it has. */
async function hangUp({ child, status }: Daemon): Promise<void> {
	const before = (await status()).writtenAt;
	child.kill("SIGHUP");
	await until(
		"a pass after SIGHUP",
		async () => (await status()).writtenAt !== before,
	);
}

async function isThere(sandbox: Sandbox, address: string): Promise<boolean> {
	const addresses = await sandbox.ip("-4", "-o", "addr", "show", "eth1");
	return addresses.includes(` ${address}/`);
}

it.each([
	["the primary's subnet", sameSubnet],
	["a subnet of its own", otherSubnet],
])(
	"connections over an ENI in %s live through assign, release, resync and restarts of the agent",
	(_, eni) =>
		inSandbox({ enis: [eni] }, async (s) => {
			const [first = "", second = "", third = ""] = eni.addresses;
			const another = first.replace(/\d+$/, "40");
			let daemon = await startRareDaemon(s);
			await expectReachable(s, eni.addresses);
			const transfers = await Promise.all(
				[first, second].map((address) => s.transfer(address)),
			);
			await sleep(500);

			await s.release("eth1", third);
			await hangUp(daemon);
			const releasedMs = Date.now();
			expect(await isThere(s, third)).toBe(true);

			await s.assign("eth1", another);
			await hangUp(daemon);
			expect(await s.reach(another, { timeoutMs: 10_000 })).toBe(true);

			await until(
				`${third} is gone`,
				async () => !(await isThere(s, third)),
				60_000,
			);
			expect(Date.now() - releasedMs).toBeGreaterThan(25_000);
			await quiet(s, daemon);

			expect(await daemon.stop()).toBe(0);
			await sleep(300);
			daemon = await startDaemon(s);
			await hangUp(daemon);

			// Killed at rest, and in the middle of a change.
			await daemon.stop("SIGKILL");
			daemon = await startDaemon(s);
			await s.assign("eth1", third);
			daemon.child.kill("SIGHUP");
			await sleep(60);
			await daemon.stop("SIGKILL");
			daemon = await startDaemon(s);
			expect(await s.reach(third, { timeoutMs: 20_000 })).toBe(true);
			await quiet(s, daemon);

			const results = await Promise.all(transfers.map((one) => one.stop()));
			for (const { sent, received, problem } of results) {
				expect(problem).toBeUndefined();
				expect(received).toBe(sent);
				expect(sent).toBeGreaterThan(2_000_000);
			}
			expect(await daemon.stop()).toBe(0);
		}),
	150_000,
);
