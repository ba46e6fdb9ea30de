export interface FakeClock {
	nowMs(): number;
	sleep(ms: number): Promise<void>;
	random(): number;
}

/**
 * Time that passes only while everybody sleeps: when nothing else is left to do, it jumps to the
 * next sleeper. Sleepers side by side overlap, as on a real clock.
 */
export function createClock(): FakeClock {
	let now = 1_000;
	let isScheduled = false;
	const sleepers: { at: number; wake: () => void }[] = [];
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
		sleep: (ms) =>
			new Promise((wake) => {
				sleepers.push({ at: now + Math.max(ms, 0), wake });
				schedule();
			}),
		random: () => 0.5,
	};
}
