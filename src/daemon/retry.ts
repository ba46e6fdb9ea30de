const firstMs = [250, 500];
// What a new NIC may wait once its metadata are there: short, for somebody is waiting for it.
const eagerMs = 1000;
const eagerForMs = 10 * 60_000;
// One that has no metadata by then is nobody's, or the resync's to find.
const waitForMs = 60 * 60_000;
const laterMs = [2000, 5000, 10_000, 30_000];
// A service that says nothing for minutes is asked the less, the longer that lasts: else all those of a zone who have
// begun to wait meanwhile come down on it when it is back.
const silentPart = 60;
const silentMaxMs = 5000;

/**
 * The wait before the next question about NICs whose metadata are not there yet: 0.25, 0.5, then 1 s
 * for ten minutes, then 2, 5, 10 and 30 s, after an hour never; a quarter more or less, so that a fleet does not ask in
 * step. `attempt` counts from 0, `waitedMs` is how long the newest of them has been waiting. Where the service itself
 * has been silent for `silentMs`, no sooner than after a sixtieth of that, or 5 s.
 */
export function askAgainMs(
	attempt: number,
	waitedMs: number,
	silentMs: number,
	random: number,
): number {
	if (waitedMs >= waitForMs) return Number.POSITIVE_INFINITY;
	const late = Math.floor((waitedMs - eagerForMs) / 30_000);
	const base =
		waitedMs < eagerForMs
			? (firstMs[attempt] ?? eagerMs)
			: (laterMs[Math.min(late, laterMs.length - 1)] ?? 30_000);
	const leastMs = Math.min(Math.round(silentMs / silentPart), silentMaxMs);
	return Math.max(base, leastMs) * (0.75 + random / 2);
}

const stuckMs = [60_000, 120_000, 300_000, 600_000];

/** The wait after a run that could be neither finished nor undone: 1, 2, 5, then 10 minutes. */
export function stuckAgainMs(failures: number, random: number): number {
	const base = stuckMs[Math.min(failures, stuckMs.length) - 1] ?? 60_000;
	return base * (0.75 + random / 2);
}

/** The time between two looks that nothing else is the reason for: a tenth more or less than the setting. */
export function resyncMs(
	{ resyncSeconds }: { resyncSeconds: number },
	random: number,
): number {
	return resyncSeconds * 1000 * (0.9 + random / 5);
}

/**
 * The first one comes at any time, so that machines that were started together do not stay in step: as if they had been
 * looking for long, which is what is left of an interval of resyncMs() at any moment, a fifth of the setting later.
 */
export function firstResyncMs(
	{ resyncSeconds }: { resyncSeconds: number },
	random: number,
): number {
	// Evenly up to the shortest interval, then ever less likely up to the longest: spread evenly over less than
	// that, the looks of a whole zone would come in waves.
	const left =
		random < 0.9 ? random : 0.9 + 0.2 * (1 - Math.sqrt(10 * (1 - random)));
	return resyncSeconds * 1000 * (0.2 + left);
}

const failureMs = [1000, 2000, 5000, 10_000, 30_000];

/** The wait after a pass that could not do its work at all: somebody had the lock, a template is wrong. */
export function passAgainMs(failures: number, random: number): number {
	const base = failureMs[Math.min(failures, failureMs.length) - 1] ?? 1000;
	return base * (0.75 + random / 2);
}
