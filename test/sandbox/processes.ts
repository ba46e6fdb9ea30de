import { readdir, readFile, readlink } from "node:fs/promises";
import type { Sandbox } from "./sandbox";

/** A process of the guest, as /proc shows it. */
export interface Process {
	pid: number;
	parent: number;
	/** Its command line; empty when it has ended and nobody has asked about it yet. */
	words: string[];
}

/** What a process has used so far. */
export interface Usage {
	rssKib: number;
	/** Its own processor time, all threads'. */
	cpuMs: number;
	/**
	 * Page faults of all the children that it has waited for. There is no program that starts without
	 * one: as long as this stands still, and no child is there, nothing has been spawned.
	 */
	childFaults: number;
	/**
	 * How often its main thread has gone to sleep, each time to be woken again. The others work for the
	 * garbage collector, some seconds after everything else has come to rest.
	 */
	sleeps: number;
	descriptors: number;
}

const ticksPerSecond = 100;

export async function usageOf(pid: number): Promise<Usage> {
	const [stat, status, descriptors] = await Promise.all([
		readFile(`/proc/${pid}/stat`, "utf8"),
		readFile(`/proc/${pid}/status`, "utf8"),
		readdir(`/proc/${pid}/fd`),
	]);
	// From field 3 on: what is in front may hold spaces.
	const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
	const field = (number: number) => Number(fields[number - 3]);
	return {
		rssKib: numberIn(status, "VmRSS"),
		cpuMs: ((field(14) + field(15)) * 1000) / ticksPerSecond,
		childFaults: field(11) + field(13),
		sleeps: numberIn(status, "voluntary_ctxt_switches"),
		descriptors: descriptors.length,
	};
}

/** Whether it runs; one that has ended and that nobody has asked about yet has no command line. */
export async function isAlive(pid: number | undefined): Promise<boolean> {
	const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
	return words !== "";
}

/** What runs in the guest, the namespace's own keeper left out. */
export async function processesIn(sandbox: Sandbox): Promise<Process[]> {
	const place = await readlink(`/proc/${sandbox.pid}/ns/mnt`);
	const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
	const found = await Promise.all(
		pids.map(async (pid): Promise<Process[]> => {
			try {
				if ((await readlink(`/proc/${pid}/ns/mnt`)) !== place) return [];
				const stat = await readFile(`/proc/${pid}/stat`, "utf8");
				const words = await readFile(`/proc/${pid}/cmdline`, "utf8");
				return [
					{
						pid: Number(pid),
						parent: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]),
						words: words.split("\0").slice(0, -1),
					},
				];
			} catch {
				// It has ended meanwhile.
				return [];
			}
		}),
	);
	return found.flat().filter(({ pid }) => pid !== sandbox.pid);
}

/** The `ip monitor`s in the guest, whoever started them. */
export async function monitorsIn(sandbox: Sandbox): Promise<Process[]> {
	const all = await processesIn(sandbox);
	return all.filter(({ words }) => words.includes("monitor"));
}

/** Children of a process, those included that have ended and were not waited for. */
export async function childrenOf(parent: number): Promise<number[]> {
	const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
	const found = await Promise.all(
		pids.map(async (pid) => {
			const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
			const above = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
			return Number(above) === parent ? [Number(pid)] : [];
		}),
	);
	return found.flat();
}

function numberIn(text: string, name: string): number {
	return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
}
