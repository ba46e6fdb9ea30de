import { join } from "node:path";
import { expect } from "vitest";
import { type Daemon, until } from "./daemon";
import { startRareDaemon } from "./endurance";
import type { AgentOptions } from "./guest";
import { root } from "./paths";
import type { Sandbox } from "./sandbox";

/** What a process has cost beside time, as bench/count.cjs writes it down. */
export interface Counts {
	/** Programs with their arguments, in order. */
	spawns: string[][];
	fsyncs: number;
	renames: number;
	removals: number;
	/** Of all files. */
	bytes: number;
	/** Bytes and how often, by path. */
	files: Record<string, { bytes: number; times: number }>;
	/** The same below /proc and /sys. */
	kernel: Record<string, { bytes: number; times: number }>;
	/** Chunks of dist/ that were loaded, with their bytes. */
	loaded: Record<string, number>;
}

const file = "/run/counts.json";

/** What makes a process of the agent count. */
export const counting: AgentOptions = {
	nodeFlags: ["-r", join(root, "bench/count.cjs")],
	env: { BENCH_COUNTS: file },
};

/** Runs the agent to its end and returns its counts; expects exit code 0. */
export async function countedRun(
	sandbox: Sandbox,
	args: string[],
): Promise<Counts> {
	await sandbox.remove(file);
	const result = await sandbox.agent(args, counting);
	expect(result.exitCode, result.stdout + result.stderr).toBe(0);
	return JSON.parse(await sandbox.read(file));
}

/** Starts a daemon that counts, waits until it is at rest. */
export function startCountedDaemon(sandbox: Sandbox): Promise<Daemon> {
	return startRareDaemon(sandbox, [], counting);
}

/** The counts of a daemon since its start. */
export async function countsOf(
	sandbox: Sandbox,
	daemon: Daemon,
): Promise<Counts> {
	await sandbox.remove(file);
	daemon.child.kill("SIGUSR2");
	await until("the daemon's counts", () => sandbox.exists(file));
	return JSON.parse(await sandbox.read(file));
}
