import { quantileSorted } from "simple-statistics";

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

/** How a cost grows with the size. */
export interface Growth {
	/** Cost of one more, from the first size to the last. */
	slope: number;
	/**
	 * The last cost as a share of what the straight line through the first two has there: 1 where it grows with the size,
	 * more where faster. What it costs whatever the size does not hide that.
	 */
	toLine: number;
}

/** How the cost grows over three points of size and cost, with ever larger sizes. */
export function growthOf([first, middle, last]: readonly [
	readonly [size: number, cost: number],
	readonly [size: number, cost: number],
	readonly [size: number, cost: number],
]): Growth {
	const between = (
		[size, cost]: readonly [number, number],
		[nextSize, nextCost]: readonly [number, number],
	) => (nextCost - cost) / (nextSize - size);
	const line = first[1] + between(first, middle) * (last[0] - first[0]);
	return { slope: between(first, last), toLine: last[1] / line };
}
