import { createSandbox, type Sandbox } from "../../test/sandbox/sandbox";
import { type Counts, countRun } from "../counts";
import { manyEnis } from "../eni";
import { type Say, timeInGuest } from "../measure";
import { agentWords, type Node } from "../node";
import { ms, type Part, type Row } from "../row";
import { growthOf, spreadOf } from "../statistics";

/** ENIs, and addresses on each. */
type Size = readonly [enis: number, each: number];

const oneEni: Size = [1, 30];
const addressSizes: Size[] = [[1, 1], [1, 8], oneEni];
const eniSizes: Size[] = [oneEni, [2, 30], [4, 30], [8, 30]];
const sizes = [...new Set([...addressSizes, ...eniSizes])];
const rounds = 2;
const noOps = 2;
// Two times of the same thing are never equal.
const timeLimit = 1.1;
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
			short: "addresses",
			of: addressSizes,
		},
		{ name: "1 to 8 ENIs with 30 addresses each", short: "ENIs", of: eniSizes },
	];
	for (const { name, short, of } of series)
		part.rows.push(...rowsOf(name, short, of, bySize, node));
	for (const [[enis, each], { firstMs, noOpMs, first }] of bySize)
		part.raw[`growth, ${enis} ENIs x ${each} addresses`] = {
			...{ firstMs, noOpMs, spawns: first.spawns.length },
			...{ fsyncs: first.fsyncs, requests: first.requests, bytes: first.bytes },
		};
	part.notes.push(
		"Growth: `eni-configure --all` in a new guest each time. The exponent is 0 where the cost stays the same, 1 where it doubles with the size; it is fitted through the logarithms of all sizes in the series. `ifup` of the new NICs is part of the time; processes are those that the agent starts, not those that `ifup` does.",
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
	short: string,
	of: readonly Size[],
	bySize: ReadonlyMap<Size, Measured>,
	node: Node,
): Row[] {
	const measured = of.map((size) => {
		const found = bySize.get(size);
		if (found === undefined) throw new Error(`${size} was not measured`);
		return found;
	});
	const total = ([enis, each]: Size) => enis * each;
	function row(
		what: string,
		costs: readonly number[],
		limit: number,
		text: (cost: number) => string = String,
	): Row {
		const points = of.map((size, at) => [total(size), costs[at] ?? 0] as const);
		const exponent = growthOf(points);
		return {
			what: `${what}, ${name}`,
			against: "itself",
			label: `growth over ${short}, ${what}`,
			measured: costs.map(text).join(", "),
			result: `exponent ${exponent.toFixed(2)}`,
			budget: `at most ${limit}`,
			// Less than a thousandth is rounding.
			value: Math.round(exponent * 1000) / 1000,
			limit,
			runs: `${limit === timeLimit ? rounds : 1}`,
			node: node.version,
		};
	}
	const median = (samples: number[]) => spreadOf(samples).median;
	return [
		row(
			"first configure, time",
			measured.map(({ firstMs }) => median(firstMs)),
			timeLimit,
			ms,
		),
		row(
			"no-op, time",
			measured.map(({ noOpMs }) => median(noOpMs)),
			timeLimit,
			ms,
		),
		row(
			"first configure, processes",
			measured.map(({ first }) => first.spawns.length),
			countLimit,
		),
		row(
			"first configure, requests",
			measured.map(({ first }) => first.requests),
			countLimit,
		),
		row(
			"first configure, fsyncs",
			measured.map(({ first }) => first.fsyncs),
			countLimit,
		),
	];
}
