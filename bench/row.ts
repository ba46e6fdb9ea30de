import { spreadOf } from "./statistics";

/** One line of the table: what was measured, and the budget that it has to keep. */
export interface Row {
	/** `hot-plug to verified, 30 addresses, median` */
	what: string;
	against: string;
	/** A few words for the chart. */
	label: string;
	/** The figures behind the value, as people read them. */
	measured: string;
	/** The value alone, as people read it. */
	result: string;
	/** As people read it: `at most +100 ms`. */
	budget: string;
	/** What is compared, in one unit; smaller is better. */
	value: number;
	limit: number;
	/** How it was repeated: `12 runs`. */
	runs: string;
	/** Versions of Node; empty where none runs. */
	node: string;
}

/** What a part of the benchmark gives: its rows, what has to be said of them, and everything that was measured. */
export interface Part {
	rows: Row[];
	/** Sentences that stand below the table: what is counted, and what is not. */
	notes: string[];
	/** Every single measurement by name, for benchmark.json; names end in the unit. */
	raw: Record<string, unknown>;
	/** Drawings of its own by file name. */
	drawings?: Record<string, string>;
}

export function isOver({ value, limit }: Row): boolean {
	return !(value <= limit);
}

/** What two sides gave in alternating turns, in milliseconds. */
export interface Sides {
	ours: readonly number[];
	theirs: readonly number[];
}

interface Words {
	what: string;
	against: string;
	label: string;
	node: string;
}

/** Two rows: how much longer ours takes at the median and at the 95th percentile. */
export function differenceRows(
	words: Words,
	{ ours, theirs }: Sides,
	limitsMs: { median: number; p95?: number },
): Row[] {
	const [a, b] = [spreadOf(ours), spreadOf(theirs)];
	const row = (at: "median" | "p95", limit: number): Row => ({
		...words,
		what: `${words.what}, ${at}`,
		label: `${words.label}, ${at}`,
		measured: `${ms(a[at])} against ${ms(b[at])}${limitsMs.p95 === undefined ? ` (p95 ${ms(a.p95)}, ${ms(b.p95)})` : ""}`,
		result: signed(a[at] - b[at]),
		budget: `at most +${limit} ms`,
		value: a[at] - b[at],
		limit,
		runs: runsOf(a.runs, b.runs),
	});
	return [
		row("median", limitsMs.median),
		...(limitsMs.p95 === undefined ? [] : [row("p95", limitsMs.p95)]),
	];
}

/** One row: how many times as long ours takes, by the medians. */
export function ratioRow(
	words: Words,
	{ ours, theirs }: Sides,
	limit: number,
	unit: (value: number) => string = ms,
): Row {
	const [a, b] = [spreadOf(ours), spreadOf(theirs)];
	const value = a.median / b.median;
	return {
		...words,
		measured: `${unit(a.median)} against ${unit(b.median)} (p95 ${unit(a.p95)}, ${unit(b.p95)})`,
		result: times(value),
		budget: `at most ${limit}x`,
		value,
		limit,
		runs: runsOf(a.runs, b.runs),
	};
}

/** One row: something counted, which is the same at each run. */
export function countRow(
	words: Omit<Words, "against">,
	value: number,
	limit: number,
	unit: string,
): Row {
	return {
		...words,
		against: "count",
		measured: "counted",
		result: `${value} ${unit}`,
		budget: `at most ${limit} ${unit}`,
		value,
		limit,
		runs: "1",
	};
}

/** One row: how many times as fast ours is, by the medians. */
export function speedRow(
	words: Words,
	{ ours, theirs }: Sides,
	atLeast: number,
): Row {
	const [a, b] = [spreadOf(ours), spreadOf(theirs)];
	const speed = b.median / a.median;
	return {
		...words,
		measured: `${ms(a.median)} against ${ms(b.median)} (p95 ${ms(a.p95)}, ${ms(b.p95)})`,
		result: `${times(speed)} as fast`,
		budget: `at least ${atLeast}x as fast`,
		value: 1 / speed,
		limit: 1 / atLeast,
		runs: runsOf(a.runs, b.runs),
	};
}

/** `41.3 ms`, `412 ms`, or `64.7 s` from ten seconds on. */
export function ms(value: number): string {
	if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
	return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}

/** `1.48x` */
export function times(value: number): string {
	return `${value.toFixed(value < 10 ? 2 : 0)}x`;
}

function signed(value: number): string {
	return value < 0 ? `-${ms(-value)}` : `+${ms(value)}`;
}

function runsOf(ours: number, theirs: number): string {
	return ours === theirs ? `${ours}` : `${ours} and ${theirs}`;
}
