import { readValue } from "../files.js";
import type { FileSystem } from "../system.js";

/** State, parent and start time of a process, from the text of its /proc/PID/stat; undefined for any other text. */
export function parseStat(
	stat: string,
): { state: string; parent: number; startTicks: number } | undefined {
	// The command's name stands in parentheses and may hold spaces and parentheses itself: the last
	// one ends it (proc(5): state is field 3, ppid 4, starttime 22).
	const end = stat.lastIndexOf(")");
	if (end === -1) return undefined;
	const [state = "", ...rest] = stat
		.slice(end + 1)
		.trim()
		.split(/\s+/);
	const [parent = "", ticks = ""] = [rest[0], rest[18]];
	const isSound =
		/^[A-Za-z]$/.test(state) &&
		/^\d{1,16}$/.test(ticks) &&
		/^\d{1,10}$/.test(parent);
	if (!isSound) return undefined;
	const startTicks = Number(ticks);
	return Number.isSafeInteger(startTicks)
		? { state, parent: Number(parent), startTicks }
		: undefined;
}

/** The process with this pid, or `self`; undefined where there is none. */
export function observeProcess(
	fs: FileSystem,
	pid: number | "self",
): ReturnType<typeof parseStat> {
	return parseStat(readValue(fs, `/proc/${pid}/stat`) ?? "");
}

/** Whether the process that had this pid when it started so many clock ticks after the boot still runs: pids are used again. */
export function isSameProcess(
	fs: FileSystem,
	pid: number,
	startTicks: number,
): boolean {
	const found = observeProcess(fs, pid);
	// A zombie has a stat, too.
	return found?.startTicks === startTicks && !["Z", "X"].includes(found.state);
}
