import type { System } from "../system.js";

/** A NIC that appears says so in several lines: a pass waits until they have come, but not for long. */
export const calmMs = 10;
const maxCalmMs = 50;

/** Why the next pass is to be made; any number of reasons make one pass. */
export interface Triggers {
	add(reason: string): void;
	/** The same for a hint, of which more are likely to follow at once. */
	hint(reason: string): void;
	isEmpty(): boolean;
	/** Waits until there is a reason, the agent is asked to stop, or `ms` are over. */
	wait(ms: number): Promise<void>;
	/** Waits until hints have stopped coming. */
	calm(): Promise<void>;
	/** Hands out the reasons so far. */
	take(): string[];
}

/** An empty set of reasons. */
export function createTriggers({ clock, stopSignal }: System): Triggers {
	const reasons = new Set<string>();
	let lastHintMs = 0;
	let wake = new AbortController();
	function add(reason: string): void {
		reasons.add(reason);
		wake.abort();
	}
	return {
		add,
		hint: (reason) => {
			lastHintMs = clock.nowMs();
			add(reason);
		},
		isEmpty: () => reasons.size === 0,
		wait: async (ms) => {
			wake = new AbortController();
			if (reasons.size === 0) await clock.sleep(ms, wake.signal);
		},
		calm: async () => {
			const limitMs = clock.nowMs() + maxCalmMs;
			for (;;) {
				const leftMs = Math.min(lastHintMs + calmMs, limitMs) - clock.nowMs();
				if (leftMs <= 0 || stopSignal() !== undefined) return;
				await clock.sleep(leftMs);
			}
		},
		take: () => {
			const taken = [...reasons];
			reasons.clear();
			return taken;
		},
	};
}
