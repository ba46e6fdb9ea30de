// `npm run bench`: measures what README promises and writes the table, the chart and the figures down. `-- --only PART`
// measures one part and writes nothing.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import path from "node:path";
import { buildPrograms } from "../test/sandbox/build-programs";
import { root } from "../test/sandbox/paths";
import { barChart } from "./chart";
import type { Say } from "./measure";
import { findNodes, type Nodes } from "./node";
import {
	type Circumstances,
	pageText,
	rawText,
	rowLine,
	tableText,
	withSection,
} from "./report";
import { isOver, type Part, type Row } from "./row";
import { assign } from "./rows/assign";
import { fleet } from "./rows/fleet";
import { growth } from "./rows/growth";
import { guide } from "./rows/guide";
import { hotPlug } from "./rows/hot-plug";
import { noOp } from "./rows/no-op";
import { requests } from "./rows/requests";
import { rest } from "./rows/rest";
import { size } from "./rows/size";
import { startUp } from "./rows/start-up";

type Measure = (
	nodes: Nodes,
	say: Say,
	others: () => Promise<unknown>,
) => Promise<Part>;

// By name, in the order of the table.
const measures: Record<string, Measure> = {
	"hot-plug": ({ own }, say) => hotPlug(own, say),
	guide: ({ own }, say) => guide(own, say),
	assign: ({ own }, say) => assign(own, say),
	"no-op": noOp,
	"start-up": startUp,
	rest,
	growth: ({ own }, say) => growth(own, say),
	requests: ({ own }, say) => requests(own, say),
	size: () => size(),
	fleet: () => fleet(),
};
// Hardly ever does anything once it has begun: all others are measured meanwhile.
const beside = "rest";
async function main(): Promise<void> {
	const only = readOnly();
	const names = only === undefined ? Object.keys(measures) : [only];
	const nodes = findNodes();
	await buildPrograms();
	const parts = new Map<string, Part>();
	async function measure(name: string, others = async () => {}) {
		const part = await measures[name]?.(nodes, say, others);
		if (part === undefined) throw new Error(`no part ${name}`);
		parts.set(name, part);
		for (const row of part.rows) say(rowLine(row));
	}
	async function measureOthers(): Promise<void> {
		for (const name of names) if (name !== beside) await measure(name);
	}
	if (names.includes(beside)) await measure(beside, measureOthers);
	else await measureOthers();

	const done = names.flatMap((name) => parts.get(name) ?? []);
	const rows = done.flatMap((part) => part.rows);
	if (only === undefined) write(done, rows, circumstances(nodes));
	else say("one part alone: docs and README are left as they are");
	const over = rows.filter(isOver);
	say(`${rows.length} rows, ${over.length} over budget`);
	if (over.length > 0) process.exitCode = 1;
}

function readOnly(): string | undefined {
	const [flag, only, ...more] = process.argv.slice(2);
	if (flag === undefined) return undefined;
	if (flag !== "--only" || only === undefined || more.length > 0)
		throw new Error("expected no arguments, or --only and the name of a part");
	if (!(only in measures))
		throw new Error(
			`--only: ${only} is not one of ${Object.keys(measures).join(", ")}`,
		);
	return only;
}

function write(parts: Part[], rows: Row[], where: Circumstances): void {
	const docs = path.join(root, "docs");
	const chart = barChart({
		title: "eni-configure: every figure as a share of its budget",
		subtitle: `The budget in brackets. ${where.cpu}, ${where.cores} cores, Linux ${where.kernel}; ${where.date}, commit ${where.commit}`,
		// Nothing is a share of a budget of nothing.
		bars: rows
			.filter(({ limit }) => limit > 0)
			.map(({ label, value, limit, result, budget }) => ({
				label,
				value: Math.max(value, 0),
				budget: limit,
				text: `${result} (${budget.replace(/^(at most|at least|under) /, "")})`,
			})),
	});
	writeFileSync(path.join(docs, "benchmark.md"), pageText(parts, where));
	writeFileSync(path.join(docs, "benchmark.json"), rawText(parts, where));
	writeFileSync(path.join(docs, "benchmark.svg"), chart);
	for (const { drawings = {} } of parts)
		for (const [name, drawing] of Object.entries(drawings))
			writeFileSync(path.join(docs, name), drawing);
	const readme = path.join(root, "README.md");
	const text = readFileSync(readme, "utf8");
	writeFileSync(readme, withSection(text, tableText(rows, where)));
	say("written: docs/benchmark.md, .json, .svg, and README.md");
}

function circumstances({ own, el7 }: Nodes): Circumstances {
	const git = (...words: string[]) =>
		execFileSync("git", ["-C", root, ...words], { encoding: "utf8" }).trim();
	const changed = git(
		"status",
		"--porcelain",
		"--",
		".",
		":!docs",
		":!README.md",
	);
	const commit = git("rev-parse", "--short", "HEAD");
	return {
		date: new Date().toISOString().slice(0, 10),
		commit: changed === "" ? commit : `${commit}, with changes`,
		cpu: cpus()[0]?.model ?? "an unknown processor",
		cores: cpus().length,
		memoryGib: totalmem() / 2 ** 30,
		kernel: release(),
		iproute2: execFileSync("ip", ["-V"], { encoding: "utf8" })
			.trim()
			.replace(/^.*iproute2-|,.*$/g, ""),
		nodes: [own.version, el7.version],
	};
}

const startMs = performance.now();

function say(text: string): void {
	const seconds = (performance.now() - startMs) / 1000;
	process.stdout.write(`${seconds.toFixed(1).padStart(6)} s  ${text}\n`);
}

main().catch((error: Error) => {
	process.stderr.write(`bench: ${error.message}\n`);
	// What still runs ends with this process, sandboxes included.
	process.exit(1);
});
