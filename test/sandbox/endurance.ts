import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Daemon, startDaemon, until } from "./daemon";
import type { AgentOptions } from "./guest";
import {
	childrenOf,
	monitorsIn,
	processesIn,
	type Usage,
	usageOf,
} from "./processes";
import type { Sandbox } from "./sandbox";

/** So long between two looks that none comes while a test waits: the first one after 720 s at the earliest. */
const rarely = "resyncSeconds: 3600\n";

/** A daemon that looks only when something happens. */
export async function startRareDaemon(
	sandbox: Sandbox,
	args: string[] = [],
	options: AgentOptions = {},
): Promise<Daemon> {
	await sandbox.write("/etc/eni-configure/config.yaml", rarely, 0o644);
	const daemon = await startDaemon(sandbox, args, options);
	await quiet(sandbox, daemon);
	return daemon;
}

/** Waits until the daemon has had nothing to do for a second, and has nothing left to wait for. */
export async function quiet(
	sandbox: Sandbox,
	{ child, status, log }: Daemon,
	timeoutMs = 60_000,
): Promise<void> {
	const pid = child.pid as number;
	const limit = Date.now() + timeoutMs;
	let before: number | undefined;
	for (;;) {
		await sleep(1000);
		const { childFaults } = await usageOf(pid);
		const isSame = childFaults === before;
		before = childFaults;
		const path = "/run/eni-configure/status.json";
		const told = (await sandbox.exists(path)) ? await status() : undefined;
		if (
			isSame &&
			told?.releases.length === 0 &&
			told.waiting.every(({ retryAt }) => retryAt === undefined) &&
			(await childrenOf(pid)).length === 1
		)
			return;
		if (Date.now() > limit)
			throw new Error(
				`the daemon does not come to rest\n${log().join("\n")}\n${JSON.stringify(told)}`,
			);
	}
}

/** What the daemon uses over some time: the difference between its end and its beginning. */
export async function usageDuring(
	pid: number,
	body: () => Promise<unknown>,
): Promise<Usage> {
	const before = await usageOf(pid);
	await body();
	const after = await usageOf(pid);
	return {
		rssKib: after.rssKib - before.rssKib,
		cpuMs: after.cpuMs - before.cpuMs,
		childFaults: after.childFaults - before.childFaults,
		sleeps: after.sleeps - before.sleeps,
		descriptors: after.descriptors - before.descriptors,
	};
}

/**
 * The least memory that the daemon is seen with while it is at rest for so long that its garbage
 * collector comes to work: V8 does that some 8 s after the last activity.
 */
export async function leastRssKib(pid: number): Promise<number> {
	let least = Number.POSITIVE_INFINITY;
	for (let at = 0; at < 60; at += 1) {
		await sleep(250);
		least = Math.min(least, (await usageOf(pid)).rssKib);
	}
	return least;
}

/**
 * How often the daemon wakes in 5 s at rest: the least of three times, because the garbage collector
 * wakes it too. A timer that is left, or a poll, wakes it in each of them.
 */
export async function wakes(pid: number): Promise<number> {
	const counts: number[] = [];
	for (let at = 0; at < 3; at += 1)
		counts.push((await usageDuring(pid, () => sleep(5000))).sleeps);
	return Math.min(...counts);
}

/** All that changes may leave behind in the guest, as text: network, files with contents, processes. */
export async function remains(sandbox: Sandbox): Promise<string> {
	const { stdout } = await sandbox.guest([
		...["find", "/run", "/var/lib", "/etc", "-path", "/run/sandbox", "-prune"],
		...["-o", "-printf", "%p\n"],
	]);
	const processes = await processesIn(sandbox);
	const running = processes.map(({ words }) => words.join(" "));
	return [
		await sandbox.snapshot("/var/lib/eni-configure/state.json"),
		...stdout.split("\n").sort(),
		...running.sort(),
	].join("\n");
}

/** The daemon's one monitor runs, and no other daemon's. */
export async function expectOneMonitor(
	sandbox: Sandbox,
	daemon: Daemon,
): Promise<void> {
	const parents = async () =>
		(await monitorsIn(sandbox)).map(({ parent }) => parent);
	await until("one monitor, the daemon's own", async () =>
		(await parents()).every((pid) => pid === daemon.child.pid),
	);
	expect(await parents()).toEqual([daemon.child.pid]);
}
