import { acquireLock, lockAndRun } from "../apply/lock.js";
import { openStateDirectory } from "../apply/state-directory.js";
import { isAgentError } from "../errors.js";
import { refuseEndlessTables } from "../observe/kernel.js";
import { parseRouteGet } from "../observe/parse-ip.js";
import { divideWay, showKernel } from "../observe/show-kernel.js";
import type { Held } from "../reconcile.js";
import type { RunResult, System } from "../system.js";

// For so long it waits for the lock without a word: a child that the last pass left behind (CentOS 7.2's late ARP update)
// is not worth a line.
const quietMs = 5000;
// For so long what the kernel has shown is as good as new, where nothing is heard of. Rules and routes tell of no change.
const shownForMs = 100;

/** The lock as it was taken for a pass, with what the kernel showed then. */
export interface Taken extends Held {
	/** When it was shown, by System.clock. */
	atMs: number;
	/** How many lines of the monitor had come before. */
	heard: number;
}

/** What has happened since. */
export interface Since {
	nowMs: number;
	heard: number;
	/** Without a monitor silence says nothing. */
	isDeaf: boolean;
	/** A question to the metadata service has not been answered yet. */
	isAsking: boolean;
}

/**
 * Takes the lock and shows the kernel by one child where the lock is free, else waits for the lock alone. `gateway` is the
 * primary's at the last pass, to which the way is asked for.
 * @throws AgentError as acquireLock() does.
 */
export async function takeLock(
	system: System,
	lockTimeoutMs: number,
	gateway: string | undefined,
	heard: () => number,
): Promise<Taken> {
	const before = heard();
	try {
		openStateDirectory(system.fs);
		// What `ip` would wait for is refused.
		refuseEndlessTables(system.fs);
		const showing = showKernel(gateway);
		const { lock, result } = await lockAndRun(system, showing, () => {});
		const atMs = system.clock.nowMs();
		if (lock)
			return { lock, ...readShown(result, gateway), atMs, heard: before };
	} catch (error) {
		// Whatever it was, it is said by who takes it alone.
		if (!isAgentError(error)) throw error;
	}
	const lock = await acquireLock(system, lockTimeoutMs, quietMs);
	return { lock, atMs: 0, heard: before };
}

// Nothing where something went wrong, be it that there is no way to the gateway of before, and no way where this ip does
// not show it: the pass finds out.
function readShown(
	{ exitCode, stdout }: RunResult,
	to: string | undefined,
): Pick<Held, "shown" | "way"> {
	if (exitCode !== 0) return {};
	if (to === undefined) return { shown: stdout };
	const { shown, way } = divideWay(stdout);
	return way === undefined
		? { shown }
		: { shown, way: { to, link: parseRouteGet(way) } };
}

/**
 * What a pass may go by: what has been shown while something was going on is out of date. While an answer is still to
 * come, the pass is to wait for a child of its own, for that is when the answer is read: on a slow machine a pass without
 * one takes as long as a question may.
 */
export function heldNow(
	{ lock, shown, way, atMs, heard }: Taken,
	since: Since,
): Held {
	const isQuiet = since.heard === heard && !since.isDeaf && !since.isAsking;
	const isNew = since.nowMs - atMs < shownForMs;
	return isQuiet && isNew ? { lock, shown, way } : { lock };
}
