import { readdirSync, readFileSync } from "node:fs";

/** What a process has used since its start. */
export interface Used {
	/** Processor time of all its threads in nanoseconds, as the scheduler counts it. */
	cpuNs: number;
	/** How often a thread of it went to sleep, each time to be woken again. */
	sleeps: number;
	/** Processor time of the children that it has waited for, in ms; whole ticks of 10 ms. */
	childrenMs: number;
	/** Page faults of the children that it has waited for: no program starts without one. */
	childFaults: number;
}

const tickMs = 10;

/** Reads /proc; the process may be in another namespace. */
export function usedBy(pid: number): Used {
	const threads = readdirSync(`/proc/${pid}/task`).map(
		(thread) => `/proc/${pid}/task/${thread}`,
	);
	const sum = (numberIn: (thread: string) => number) =>
		threads.map(numberIn).reduce((all, one) => all + one, 0);
	const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
	// From field 3 on: what is in front may hold spaces.
	const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
	const field = (number: number) => Number(fields[number - 3]);
	return {
		cpuNs: sum((thread) =>
			Number(readFileSync(`${thread}/schedstat`, "utf8").split(" ")[0]),
		),
		sleeps: sum((thread) =>
			statusNumber(`${thread}/status`, "voluntary_ctxt_switches"),
		),
		childrenMs: (field(16) + field(17)) * tickMs,
		childFaults: field(11) + field(13),
	};
}

/** Its resident memory in KiB. */
export function rssOf(pid: number): number {
	return statusNumber(`/proc/${pid}/status`, "VmRSS");
}

function statusNumber(file: string, name: string): number {
	const text = readFileSync(file, "utf8");
	const found = new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1];
	if (found === undefined) throw new Error(`${file}: no ${name}`);
	return Number(found);
}
