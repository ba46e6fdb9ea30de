export interface FakeClock {
	nowMs(): number;
	sleep(ms: number, wake?: AbortSignal): Promise<void>;
	/** Ends every sleep now, as a signal to the agent does. */
	wakeAll(): void;
	/** 0.5 until a test says otherwise. */
	random(): number;
	setRandom(next: () => number): void;
}

/**
 * Time that passes only while everybody sleeps: when nothing else is left to do, it jumps to the
 * next sleeper. Sleepers side by side overlap, as on a real clock.
 */
export function createClock(): FakeClock {
	let now = 1_000;
	let isScheduled = false;
	let sleepers: { at: number; wake: () => void }[] = [];
	let random = () => 0.5;
	function schedule(): void {
		if (isScheduled) return;
		isScheduled = true;
		// All other work of the fake host is microtasks: a macrotask comes when that is done.
		setImmediate(() => {
			isScheduled = false;
			sleepers.sort((a, b) => a.at - b.at);
			const next = sleepers.shift();
			if (!next) return;
			now = Math.max(now, next.at);
			next.wake();
			if (sleepers.length > 0) schedule();
		});
	}
	return {
		nowMs: () => now,
		sleep: (ms, signal) =>
			new Promise((wake) => {
				if (signal?.aborted) return wake();
				const sleeper = { at: now + Math.max(ms, 0), wake };
				sleepers.push(sleeper);
				signal?.addEventListener("abort", () => {
					sleepers = sleepers.filter((one) => one !== sleeper);
					wake();
				});
				schedule();
			}),
		wakeAll: () => {
			for (const { wake } of sleepers) wake();
			sleepers = [];
		},
		random: () => random(),
		setRandom: (next) => {
			random = next;
		},
	};
}
