/** What the daemon does at a certain time. */
export type TimerName =
	| "resync"
	/** Ask about NICs whose metadata are not there yet. */
	| "ask"
	/** Try again what failed or is backing off. */
	| "retry"
	/** An answer without some addresses has been the same for long enough, if it still is. */
	| "release"
	/** What somebody kept changing was left alone for long enough. */
	| "truce"
	/** Start the monitor again. */
	| "monitor";

/** Times at which something is due, in milliseconds since the boot; infinity for never. */
export interface Timers {
	set(name: TimerName, atMs: number): void;
	at(name: TimerName): number;
	/** Names of those that are due by now; each is off until it is set again. */
	take(nowMs: number): TimerName[];
	/** When the next one is due. */
	nextMs(): number;
}

/** No timer is set. */
export function createTimers(): Timers {
	const times = new Map<TimerName, number>();
	return {
		set: (name, atMs) => {
			times.set(name, atMs);
		},
		at: (name) => times.get(name) ?? Number.POSITIVE_INFINITY,
		take: (nowMs) => {
			const due = [...times].filter(([, atMs]) => atMs <= nowMs);
			for (const [name] of due) times.delete(name);
			return due.map(([name]) => name);
		},
		nextMs: () => Math.min(...times.values()),
	};
}
