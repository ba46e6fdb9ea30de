import { AgentError } from "../errors.js";
import { listDirectory, readFile, readFlags, readValue } from "../files.js";
import { paths } from "../paths.js";
import {
	type FileSystem,
	limitVariable,
	type RunResult,
	type System,
} from "../system.js";
import { explain } from "./atomic.js";
import { openStateDirectory } from "./state-directory.js";

// How often a waiter looks whether a child of somebody's outlived its time, and how much it gets on top.
const orphanCheckMs = 5000;
const graceMs = 5000;
// How long a waiter may take to notice a signal.
const signalCheckMs = 1000;

export interface Lock {
	fd: number;
	release(): void;
}

/**
 * One reconcile at a time on the machine. `flock` from util-linux locks a descriptor that the agent
 * keeps; the kernel releases it when the last holder is gone, be it the agent or a child that
 * inherited it. Waits up to timeoutMs, and says for whom once that has taken quietMs; then an
 * AgentError of kind `locked`.
 */
export async function acquireLock(
	system: System,
	timeoutMs: number,
	quietMs = 0,
): Promise<Lock> {
	return acquireFile(system, paths.lock, timeoutMs, quietMs);
}

/**
 * The lock that a daemon holds for as long as it lives, so that there is one; at once, or an
 * AgentError of kind `locked` that names the other.
 */
export async function acquireDaemonLock(system: System): Promise<Lock> {
	return acquireFile(system, paths.daemonLock, undefined, 0);
}

// No exit code of flock's or ip's.
const busyCode = 75;
// `ip` writes each line by itself, and each would wake Node: the shell gathers them. exec: a bash of an older age may fork once more.
const lockThenRun = `flock -n 3 || exit ${busyCode}; echo; said=$(exec "$@"); code=$?; [ -z "$said" ] || printf '%s\\n' "$said"; exit $code`;

/**
 * Takes the lock where it is free, and runs a program once it is there, both by one child: for who has nothing else to
 * start, each child of Node's costs more than the program. Calls `onLocked` as soon as the lock is held.
 * Whoever goes on with the lock is to look at the state's directory first (openStateDirectory()).
 * @returns what became of the program, without what it said of its trouble; no lock where it could not be had, as a rule
 * because somebody has it: acquireLock() says why, or waits.
 * @throws AgentError where the lock's file is not there, or cannot be opened.
 */
export async function lockAndRun(
	system: System,
	{ argv, input }: { argv: string[]; input?: string | undefined },
	onLocked: () => void,
): Promise<{ lock: Lock | undefined; result: RunResult }> {
	const { fd, release } = openLockFile(system.fs, paths.lock, 0);
	let isLocked = false;
	const result = await system.run(
		["/bin/sh", "-c", lockThenRun, "sh", ...argv],
		{
			...(input === undefined ? {} : { input }),
			inherit: [fd],
			isMute: true,
			onOutput: () => {
				isLocked = true;
				onLocked();
			},
		},
	);
	if (!isLocked) release();
	return {
		lock: isLocked ? { fd, release } : undefined,
		result: { ...result, stdout: result.stdout.replace(/^\n/, "") },
	};
}

async function acquireFile(
	system: System,
	path: string,
	// Without one it does not wait at all, and does not speak of --lock-timeout.
	timeoutMs: number | undefined,
	quietMs: number,
): Promise<Lock> {
	const { clock } = system;
	openStateDirectory(system.fs);
	const { fd, release } = openLockFile(system.fs, path, create);
	try {
		const isAtOnce = timeoutMs === undefined;
		if (await flock(system, fd, ["-n"], 5000, isAtOnce)) return { fd, release };
		let holder = describeHolder(system, path);
		if (isAtOnce) throw new AgentError("locked", `${holder} holds ${path}`);
		let isSaid = false;
		const startMs = clock.nowMs();
		const seconds = Math.max(timeoutMs, 0) / 1000;
		const deadline = clock.nowMs() + timeoutMs;
		let checkedMs = clock.nowMs();
		for (;;) {
			const leftMs = deadline - clock.nowMs();
			const signal = system.stopSignal();
			if (signal !== undefined) {
				throw new AgentError(
					"locked",
					`${signal}: interrupted while waiting for ${holder}, which holds ${path}`,
				);
			}
			if (leftMs <= 0) break;
			if (!isSaid && clock.nowMs() - startMs >= quietMs) {
				system.log("info", `waiting for ${holder}, which holds ${path}`);
				isSaid = true;
			}
			const sliceMs = Math.min(leftMs, signalCheckMs);
			const wait = ["-w", String(Math.ceil(sliceMs) / 1000)];
			if (await flock(system, fd, wait, sliceMs + 5000)) return { fd, release };
			const isLast = deadline <= clock.nowMs();
			if (clock.nowMs() - checkedMs < orphanCheckMs && !isLast) continue;
			checkedMs = clock.nowMs();
			endOverdue(system, path);
			holder = describeHolder(system, path);
		}
		throw new AgentError(
			"locked",
			`${holder} held ${path} for all of the ${seconds} s of --lock-timeout`,
		);
	} catch (error) {
		release();
		throw error;
	}
}

// O_CREAT
const create = 0o100;

function openLockFile(fs: FileSystem, path: string, flags: number): Lock {
	try {
		// O_RDWR | O_NOFOLLOW; the file is never written and never removed.
		const fd = fs.openSync(path, 0o2 | 0o400000 | flags, 0o644);
		return { fd, release: () => fs.closeSync(fd) };
	} catch (error) {
		throw new AgentError(
			"internal",
			`the lock ${path} cannot be opened: ${explain(error)}`,
			error,
		);
	}
}

async function flock(
	system: System,
	fd: number,
	options: string[],
	timeoutMs = 5000,
	isAtOnce = false,
): Promise<boolean> {
	const result = await system.run(["flock", ...options, "3"], {
		inherit: [fd],
		timeoutMs,
	});
	if (result.exitCode === 127)
		throw new AgentError(
			"refused",
			"`flock` was not found: install util-linux",
		);
	if (result.exitCode === 0) return true;
	// 1: somebody else has it. 124, 128: ended before it had it, by its time or by Ctrl-C, which the terminal sends to all.
	// Who does not ask again has to know.
	const isLater = !isAtOnce && [124, 128].includes(result.exitCode);
	if (result.exitCode === 1 || isLater) return false;
	throw new AgentError("internal", `flock failed: ${result.stderr.trim()}`);
}

// A child of an agent that was killed has nobody left to end it when its time is up: whoever waits does.
function endOverdue(system: System, path: string): void {
	for (const { pid, command } of holders(system.fs, path)) {
		const overMs = system.clock.nowMs() - limitOf(system.fs, pid);
		if (!(overMs > graceMs)) continue;
		system.log(
			"warning",
			`process ${pid} (${command}) of an interrupted run should have ended ${Math.round(overMs / 1000)} s ago: ended now`,
		);
		system.kill(pid);
	}
}

// NaN for a process that is no child of an agent.
function limitOf(fs: FileSystem, pid: number): number {
	try {
		const environment = readFile(fs, `/proc/${pid}/environ`)?.content ?? "";
		const name = `${limitVariable}=`;
		const entry = environment.split("\0").find((one) => one.startsWith(name));
		return entry ? Number(entry.slice(name.length)) : Number.NaN;
	} catch {
		return Number.NaN;
	}
}

interface Holder {
	pid: number;
	command: string;
	/** The kernel says that this descriptor has the lock; CentOS 7's does not say. */
	isLocking: boolean;
	/** A command of an agent's, which has the lock from it. */
	isChild: boolean;
}

function describeHolder({ fs }: System, path: string): string {
	const all = holders(fs, path);
	const locking = all.filter(({ isLocking }) => isLocking);
	const [holder] = [
		...locking.filter(({ isChild }) => !isChild),
		...locking,
		...all,
	];
	return holder
		? `process ${holder.pid} (${holder.command})`
		: "another process";
}

// Whoever has the lock file open, waiting or not; read from /proc so that holding the lock costs no write.
function holders(fs: FileSystem, lock: string): Holder[] {
	const own = selfPid(fs);
	return listDirectory(fs, "/proc")
		.filter((name) => /^\d+$/.test(name) && name !== own)
		.flatMap((pid): Holder[] => {
			const open = listDirectory(fs, `/proc/${pid}/fd`).filter((fd) => {
				try {
					const path = `/proc/${pid}/fd/${fd}`;
					const isNamed = String(fs.readlinkSync(path)) === lock;
					return isNamed && isSameFile(fs, path, lock);
				} catch {
					return false;
				}
			});
			if (open.length === 0) return [];
			const command = (readValue(fs, `/proc/${pid}/cmdline`) ?? "")
				.split("\0")
				.join(" ")
				.trim()
				.slice(0, 200);
			const isLocking = open.some((fd) =>
				/^lock:.*FLOCK/m.test(readValue(fs, `/proc/${pid}/fdinfo/${fd}`) ?? ""),
			);
			return [
				{
					pid: Number(pid),
					command: command || "unknown",
					isLocking,
					isChild: !Number.isNaN(limitOf(fs, Number(pid))),
				},
			];
		});
}

// A container's lock has the same name: only who has this very file open is in the way.
function isSameFile(fs: FileSystem, path: string, lock: string): boolean {
	const fd = fs.openSync(path, readFlags);
	try {
		const [one, other] = [fs.fstatSync(fd), fs.lstatSync(lock)];
		return one.ino === other?.ino && one.dev === other?.dev;
	} finally {
		fs.closeSync(fd);
	}
}

function selfPid(fs: FileSystem): string {
	try {
		return String(fs.readlinkSync("/proc/self"));
	} catch {
		return "";
	}
}
