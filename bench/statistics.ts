import { linearRegression, quantileSorted } from "simple-statistics";

/** Middle and slow end of repeated measurements, in the unit they came in. */
export interface Spread {
	runs: number;
	median: number;
	p95: number;
}

/** Median and 95th percentile (linear between neighbours) of at least one sample. */
export function spreadOf(samples: readonly number[]): Spread {
	const sorted = [...samples].sort((a, b) => a - b);
	return {
		runs: sorted.length,
		median: quantileSorted(sorted, 0.5),
		p95: quantileSorted(sorted, 0.95),
	};
}

/**
 * The exponent of growth between points of size and cost: 0 where the cost stays, 1 where it doubles with the size, 2
 * where it grows with its square. Fitted through the logarithms, so that both sizes and costs have to be above 0.
 */
export function growthOf(points: readonly (readonly [number, number])[]) {
	const logs = points.map(([size, cost]) => [Math.log(size), Math.log(cost)]);
	return linearRegression(logs).m;
}
