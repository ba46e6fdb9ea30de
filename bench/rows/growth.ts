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
const eniSizes: Size[] = [oneEni, [3, 30], [8, 30]];
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
	const exponent = (costs: readonly number[]) =>
		growthOf(
			of.map(([enis, each], at) => [enis * each, costs[at] ?? 0] as const),
		);
	// Less than a thousandth is rounding.
	const rounded = (value: number) => Math.round(value * 1000) / 1000;
	function timeRow(what: string, timesOf: (one: Measured) => number[]): Row {
		const costs = measured.map((one) => spreadOf(timesOf(one)).median);
		const value = rounded(exponent(costs));
		return {
			what: `${what}, ${name}: time`,
			against: "itself",
			label: `growth over ${short}: ${what}`,
			measured: costs.map(ms).join(", "),
			result: `exponent ${value.toFixed(2)}`,
			budget: `at most ${timeLimit}`,
			value,
			limit: timeLimit,
			runs: `${Math.min(...measured.map((one) => timesOf(one).length))}`,
			node: node.version,
		};
	}
	const counts = {
		processes: measured.map(({ first }) => first.spawns.length),
		requests: measured.map(({ first }) => first.requests),
		fsyncs: measured.map(({ first }) => first.fsyncs),
	};
	const exponents = Object.values(counts).map((costs) =>
		rounded(exponent(costs)),
	);
	return [
		timeRow("first configure", ({ firstMs }) => firstMs),
		timeRow("no-op", ({ noOpMs }) => noOpMs),
		{
			what: `first configure, ${name}: ${Object.keys(counts).join(", ")}`,
			against: "itself",
			label: `growth over ${short}: counts`,
			measured: Object.values(counts)
				.map((costs) => costs.join(", "))
				.join("; "),
			result: `exponents ${exponents.map((one) => one.toFixed(2)).join(", ")}`,
			budget: `at most ${countLimit}`,
			value: Math.max(...exponents),
			limit: countLimit,
			runs: "1",
			node: node.version,
		},
	];
}
