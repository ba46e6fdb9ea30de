import { listDirectory, readFile, readValue } from "../files.js";
import type { FileSystem, System, Watcher } from "../system.js";

const argv = ["ip", "-o", "monitor", "link", "address"];
// In the environment of a monitor: when the daemon that it works for was started.
const variable = "ENI_CONFIGURE_MONITOR_OF";
const restartMs = [250, 500, 1000, 2000, 5000, 10_000, 30_000];
// One that ran for so long has not failed: it was ended.
const steadyMs = 60_000;

export interface Monitor {
	/** Starts it again where it has ended and the wait is over. */
	check(): void;
	/** Milliseconds until check() has something to do; undefined while it runs. */
	waitMs(): number | undefined;
	stop(): void;
}

/**
 * Runs `ip -o monitor link address` and hands its lines on. One that ends is started again, with
 * back-off; `lost` is called each time, because what happened meanwhile is not known.
 */
export function startMonitor(
	system: System,
	onLine: (line: string) => void,
	lost: (reason: string) => void,
): Monitor {
	const { clock } = system;
	let watcher: Watcher | undefined;
	let failures = 0;
	let nextMs = 0;
	function start(): void {
		const startedMs = clock.nowMs();
		const mark = { [variable]: String(startTicks(system.fs, "self")) };
		watcher = system.watch(argv, mark, {
			line: onLine,
			end: (reason) => {
				watcher = undefined;
				if (clock.nowMs() - startedMs >= steadyMs) failures = 0;
				const delayMs = restartMs[Math.min(failures, restartMs.length - 1)];
				nextMs = clock.nowMs() + (delayMs ?? 0) * (0.75 + clock.random() / 2);
				failures += 1;
				lost(reason);
			},
		});
	}
	start();
	return {
		check: () => {
			if (watcher === undefined && clock.nowMs() >= nextMs) {
				start();
				lost("started again");
			}
		},
		waitMs: () => (watcher ? undefined : Math.max(nextMs - clock.nowMs(), 0)),
		stop: () => watcher?.stop(),
	};
}

/**
 * Ends monitors whose daemon is gone (SIGKILL leaves them behind): those whose parent is not the
 * process, by start time, that they were started by. Start times are the same for everybody, pids
 * are not: another daemon's monitor in a container is left alone.
 */
export function endOrphans({ fs, kill, log }: System): void {
	for (const pid of listDirectory(fs, "/proc")) {
		if (!/^\d+$/.test(pid) || readValue(fs, `/proc/${pid}/comm`) !== "ip")
			continue;
		const owner = ownerOf(fs, pid);
		const parent = parseStat(readValue(fs, `/proc/${pid}/stat`))?.parent;
		if (owner === undefined || parent === undefined) continue;
		if (startTicks(fs, String(parent)) === owner) continue;
		log("debug", `process ${pid}: the monitor of a daemon that is gone: ended`);
		kill(Number(pid));
	}
}

function ownerOf(fs: FileSystem, pid: string): number | undefined {
	try {
		const environment = readFile(fs, `/proc/${pid}/environ`)?.content ?? "";
		const entry = environment
			.split("\0")
			.find((one) => one.startsWith(`${variable}=`));
		return entry ? Number(entry.slice(variable.length + 1)) : undefined;
	} catch {
		return undefined;
	}
}

/** When a process was started, in clock ticks since the boot; undefined where there is none. */
export function startTicks(fs: FileSystem, pid: string): number | undefined {
	return parseStat(readValue(fs, `/proc/${pid}/stat`))?.startTicks;
}

// Field 2, the command, may hold spaces and parentheses: what follows the last one counts.
function parseStat(
	text: string | undefined,
): { parent: number; startTicks: number } | undefined {
	const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
	const [parent, ticks] = [Number(fields?.[1]), Number(fields?.[19])];
	return Number.isInteger(parent) && Number.isInteger(ticks)
		? { parent, startTicks: ticks }
		: undefined;
}
