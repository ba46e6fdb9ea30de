import { createSandbox, type Sandbox } from "../../test/sandbox/sandbox";
import { type Counts, countRun } from "../counts";
import { manyEnis } from "../eni";
import { type Say, timeInGuest } from "../measure";
import { agentWords, type Node } from "../node";
import { ms, type Part, type Row, times } from "../row";
import { type Growth, growthOf, spreadOf } from "../statistics";

/** ENIs, and addresses on each. */
type Size = readonly [enis: number, each: number];

const oneEni: Size = [1, 30];
type Series = readonly [Size, Size, Size];
const addressSizes: Series = [[1, 1], [1, 15], oneEni];
const eniSizes: Series = [oneEni, [4, 30], [8, 30]];
const sizes = [...new Set([...addressSizes, ...eniSizes])];
const rounds = 3;
const noOps = 4;
// Two times of the same thing are never equal, and the line is drawn to twice as far as it was measured. What grows with
// the square of the size is at 1.5 and more, whatever it costs beside that.
const timeLimit = 1.25;
const countLimit = 1;

interface Measured {
	firstMs: number[];
	noOpMs: number[];
	first: Counts;
}

/** A first configure of ever more addresses and ENIs against itself: what grows, and how fast. */
export async function growth(node: Node, say: Say): Promise<Part> {
	const bySize = new Map<Size, Measured>();
	for (const size of sizes) {
		const [enis, each] = size;
		say(`growth: ${enis} x ${each}`);
		const measured: Measured = { firstMs: [], noOpMs: [], first: none };
		for (let round = 0; round < rounds; round += 1)
			await inNewGuest(size, async (sandbox) => {
				const words = { agent: agentWords(node, ["--all"]) };
				measured.firstMs.push(
					...(await timeInGuest(sandbox, words, 1, 0)).agent,
				);
				const after = await timeInGuest(sandbox, words, noOps);
				measured.noOpMs.push(...after.agent);
			});
		await inNewGuest(size, async (sandbox) => {
			measured.first = await countRun(sandbox, node, ["--all"]);
		});
		bySize.set(size, measured);
	}
	const part: Part = { rows: [], notes: [], raw: {} };
	const series = [
		{
			name: "1 to 30 addresses on one ENI",
			one: "address",
			of: addressSizes,
		},
		{ name: "1 to 8 ENIs with 30 addresses each", one: "ENI", of: eniSizes },
	];
	for (const { name, one, of } of series)
		part.rows.push(...rowsOf(name, one, of, bySize, node));
	for (const [[enis, each], { firstMs, noOpMs, first }] of bySize)
		part.raw[`growth, ${enis} ENIs x ${each} addresses`] = {
			...{ firstMs, noOpMs, spawns: first.spawns.length },
			...{ fsyncs: first.fsyncs, requests: first.requests, bytes: first.bytes },
		};
	part.notes.push(
		"Growth: `eni-configure --all` in a new guest each time. The figures are those of three sizes, 1, 15 and 30 addresses or 1, 4 and 8 ENIs. The line is the straight one through the first two: what grows faster than the size is above it at the third. The slope is from the first size to the last. `ifup` of the new NICs is part of the time; processes are those that the agent starts, not those that `ifup` does.",
	);
	return part;
}

const none: Counts = { spawns: [], fsyncs: 0, bytes: 0, requests: 0 };

async function inNewGuest(
	[enis, each]: Size,
	body: (sandbox: Sandbox) => Promise<void>,
): Promise<void> {
	const sandbox = await createSandbox({ enis: manyEnis(enis, each) });
	try {
		await body(sandbox);
	} finally {
		await sandbox.close();
	}
}

function rowsOf(
	name: string,
	one: string,
	of: Series,
	bySize: ReadonlyMap<Size, Measured>,
	node: Node,
): Row[] {
	const measured = of.map((size) => {
		const found = bySize.get(size);
		if (found === undefined) throw new Error(`${size} was not measured`);
		return found;
	});
	const against = "the straight line through the first two sizes";
	// What grows is addresses on one ENI, or ENIs.
	const sizeOf = ([enis, each]: Size) => (one === "ENI" ? enis : each);
	function growth(costs: readonly number[]): Growth {
		const point = (at: 0 | 1 | 2) => [sizeOf(of[at]), costs[at] ?? 0] as const;
		return growthOf([point(0), point(1), point(2)]);
	}
	// Less than a thousandth is rounding.
	const rounded = (value: number) => Math.round(value * 1000) / 1000;
	function timeRow(what: string, timesOf: (one: Measured) => number[]): Row {
		const spreads = measured.map((size) => spreadOf(timesOf(size)));
		const { slope, toLine } = growth(spreads.map(({ median }) => median));
		const of = (at: "median" | "p95") =>
			spreads.map((spread) => ms(spread[at])).join(", ");
		return {
			what: `${what}, ${name}: time`,
			against,
			label: `growth by ${one}: ${what}`,
			measured: `${of("median")} (p95 ${of("p95")}): slope ${slope.toFixed(1).replace(/^-0\.0$/, "0.0")} ms an ${one}`,
			result: `${times(toLine)} of the line`,
			budget: `at most ${timeLimit}x`,
			value: rounded(toLine),
			limit: timeLimit,
			runs: `${Math.min(...spreads.map(({ runs }) => runs))}`,
			node: node.version,
		};
	}
	const counts = {
		processes: measured.map(({ first }) => first.spawns.length),
		requests: measured.map(({ first }) => first.requests),
		fsyncs: measured.map(({ first }) => first.fsyncs),
	};
	const series = Object.values(counts).map((costs) => costs.join(", "));
	const growths = Object.values(counts).map(growth);
	const all = (textOf: (one: Growth) => string) =>
		growths.map(textOf).join(", ");
	return [
		timeRow("first configure", ({ firstMs }) => firstMs),
		timeRow("no-op", ({ noOpMs }) => noOpMs),
		{
			what: `first configure, ${name}: ${Object.keys(counts).join(", ")}`,
			against,
			label: `growth by ${one}: counts`,
			measured: `${series.join("; ")}: slopes ${all(({ slope }) => String(rounded(slope)))} an ${one}`,
			result: `${all(({ toLine }) => times(toLine))} of the line`,
			budget: `at most ${countLimit}x`,
			value: rounded(Math.max(...growths.map(({ toLine }) => toLine))),
			limit: countLimit,
			runs: "1",
			node: node.version,
		},
	];
}
