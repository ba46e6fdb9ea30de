import { listDirectory, readFile, readValue } from "../files.js";
import { observeProcess } from "../observe/process-start.js";
import type { FileSystem, System, Watcher } from "../system.js";

const argv = ["ip", "-o", "monitor", "link", "address"];
// In the environment of a monitor: when the daemon that it works for was started.
const variable = "ENI_CONFIGURE_MONITOR_OF";
const restartMs = [250, 500, 1000, 2000, 5000, 10_000, 30_000];
// One that ran for so long has not failed: it was ended.
const steadyMs = 60_000;

export interface Monitor {
	/** Starts it again. */
	start(): void;
	/** When that is to be done, in ms since the boot; undefined while it runs. */
	startAtMs(): number | undefined;
	stop(): void;
}

/**
 * Runs `ip -o monitor link address` and hands its lines on. `lost` is called when it has ended, and
 * when it was started again: what happened meanwhile is not known. `failed` counts how often in a row.
 */
export function startMonitor(
	system: System,
	onLine: (line: string) => void,
	lost: (reason: string, failed: number) => void,
): Monitor {
	const { clock } = system;
	let watcher: Watcher | undefined;
	let failed = 0;
	let nextMs = 0;
	function start(): void {
		if (watcher) return;
		const startedMs = clock.nowMs();
		const mark = {
			[variable]: String(observeProcess(system.fs, "self")?.startTicks),
		};
		watcher = system.watch(argv, mark, {
			line: onLine,
			end: (reason) => {
				watcher = undefined;
				const endedMs = clock.nowMs();
				if (endedMs - startedMs >= steadyMs) failed = 0;
				const delayMs = restartMs[Math.min(failed, restartMs.length - 1)] ?? 0;
				nextMs = endedMs + delayMs * (0.75 + clock.random() / 2);
				failed += 1;
				lost(reason, failed);
			},
		});
	}
	start();
	return {
		start: () => {
			start();
			lost("was started again", 0);
		},
		startAtMs: () => (watcher ? undefined : nextMs),
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
		const parent = observeProcess(fs, Number(pid))?.parent;
		if (owner === undefined || parent === undefined) continue;
		if (observeProcess(fs, parent)?.startTicks === owner) continue;
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
