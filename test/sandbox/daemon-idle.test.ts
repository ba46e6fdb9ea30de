import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { expectOneMonitor, startRareDaemon, usageDuring } from "./endurance";
import { usageOf } from "./processes";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	fileTimes,
	inSandbox,
	otherSubnet,
	sameSubnet,
} from "./scenario";

const idleMs = 60_000;
const programs = ["ip", "flock", "systemctl", "ifup", "ifdown", "sysctl"];

/** An environment in which every program that the agent starts leaves a line; returns it with a look at them. */
async function counting(sandbox: Sandbox) {
	for (const name of programs) {
		const script = `#!/bin/bash
echo "${name} $*" >>/run/spawned
PATH=\${PATH#/run/count:} exec ${name} "$@"
`;
		await sandbox.write(`/run/count/${name}`, script, 0o755);
	}
	await sandbox.write("/run/spawned", "");
	const path = await sandbox.guest(["bash", "-c", "echo $PATH"]);
	return {
		env: { PATH: `/run/count:${path.stdout.trim()}` },
		spawned: async () => (await sandbox.read("/run/spawned")).split("\n"),
	};
}

it(
	"between two looks the daemon spawns nothing, asks nothing, touches nothing and hardly wakes",
	() =>
		inSandbox(
			{ enis: [sameSubnet, { ...otherSubnet, name: "eth2" }] },
			async (s) => {
				const { env, spawned } = await counting(s);
				const daemon = await startRareDaemon(s, ["--verbose"], { env });
				const pid = daemon.child.pid as number;
				await expectReachable(s, [
					...sameSubnet.addresses,
					...otherSubnet.addresses,
				]);
				const { nextResyncAt } = await daemon.status();
				expect(Date.parse(nextResyncAt) - Date.now()).toBeGreaterThan(
					idleMs * 2,
				);
				// Both ways of seeing a process see those of a look.
				const before = (await spawned()).length;
				const look = await usageDuring(pid, async () => {
					const from = daemon.log().length;
					daemon.child.kill("SIGHUP");
					await daemon.line(/looking: SIGHUP/, 15_000, from);
					await sleep(3000);
				});
				expect(look.childFaults).toBeGreaterThan(0);
				expect((await spawned()).length).toBeGreaterThan(before);

				await s.metadata.clearRequests();
				const programsBefore = await spawned();
				const files = await fileTimes(s);
				const status = await s.stat("/run/eni-configure/status.json");
				const lines = daemon.log();
				const used = await usageDuring(pid, () => sleep(idleMs));
				expect(await spawned()).toEqual(programsBefore);
				expect(used.childFaults).toBe(0);
				// Kept-alive connections may have been given up.
				expect(used.descriptors).toBeLessThanOrEqual(0);
				expect(await s.metadata.requests()).toEqual([]);
				expect(await fileTimes(s)).toBe(files);
				expect(await s.stat("/run/eni-configure/status.json")).toMatchObject({
					ino: status.ino,
					mtimeMs: status.mtimeMs,
				});
				expect(daemon.log()).toEqual(lines);
				// One a second would be a poll.
				expect(used.sleeps).toBeLessThan(30);
				expect(used.cpuMs).toBeLessThan(200);
				await expectOneMonitor(s, daemon);
				console.log(
					`idle for ${idleMs / 1000} s with two ENIs: ${used.sleeps} times asleep, ${used.cpuMs} ms of processor time, ${(await usageOf(pid)).rssKib} KiB resident`,
				);
				expect(await daemon.stop()).toBe(0);
			},
		),
	180_000,
);
