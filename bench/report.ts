import { isOver, type Part, type Row } from "./row";

/** Where and when it was measured. */
export interface Circumstances {
	/** The day, `2026-11-25`. */
	date: string;
	/** Of the commit, with a word where the tree had changes. */
	commit: string;
	cpu: string;
	cores: number;
	memoryGib: number;
	kernel: string;
	iproute2: string;
	/** Versions of Node. */
	nodes: string[];
}

const columns = [
	"what",
	"against",
	"measured",
	"result",
	"budget",
	"runs",
	"Node",
] as const;

const notMeasured =
	"Not measured: CentOS's own network-scripts and its kernel 3.10 (the sandbox has stand-ins that obey what was measured of the real ones, 2 s an ARP probe included; what a real `ifup` takes otherwise may be more or less), a real ENI, KVM or any other virtual machine, a Tencent Cloud. A new link is a veth; the metadata service is one hop away and answers at once. At rest is between two looks: with one a minute, as is the default, the daemon takes some hundredths of a percent of a core, and V8 wakes in between for its garbage; figures in docs/benchmark.md, under Rest. Absolute times are this machine's; the budgets are ratios and differences within one run.";

/** `over budget`, or what is left out. */
function verdict(row: Row): string {
	return isOver(row) ? "over budget" : "";
}

/** One row as a line for the terminal. */
export function rowLine(row: Row): string {
	const node = row.node === "" ? "" : `, Node ${row.node}`;
	const text = `${row.what}, to ${row.against}: ${row.result} (${row.measured}; ${row.budget}; runs ${row.runs}${node})`;
	return isOver(row) ? `${text}  over budget` : text;
}

/** The table in Markdown, with the machine above and what was not measured below. */
export function tableText(rows: Row[], where: Circumstances): string {
	const cells = rows.map((row) => [
		row.what,
		row.against,
		row.measured,
		isOver(row) ? `**${row.result}, ${verdict(row)}**` : row.result,
		row.budget,
		row.runs,
		row.node,
	]);
	const lines = [[...columns], columns.map(() => "---"), ...cells].map(
		(line) => `| ${line.join(" | ")} |`,
	);
	return `Measured on ${where.date} (commit ${where.commit}) in the sandbox, on ${where.cpu} with ${where.cores} cores and ${where.memoryGib.toFixed(1)} GiB, Linux ${where.kernel}, iproute2 ${where.iproute2}, Node ${where.nodes.join(" and ")}. Figures are medians; both sides of a comparison took turns in one run.

${lines.join("\n")}

${notMeasured}
`;
}

/** docs/benchmark.md */
export function pageText(parts: Part[], where: Circumstances): string {
	const rows = parts.flatMap((part) => part.rows);
	const notes = parts.flatMap((part) => part.notes);
	return `# Benchmark

Written by \`npm run bench\`, which measures all of it anew in about five minutes; every figure is in \`benchmark.json\`. It ends with
exit code 1 where a row is over its budget.

![Every figure as a share of its budget](benchmark.svg)

${tableText(rows, where)}
## What is counted

${notes.map((note) => `- ${note}`).join("\n")}
`;
}

/** docs/benchmark.json */
export function rawText(parts: Part[], where: Circumstances): string {
	const rows = parts.flatMap((part) =>
		part.rows.map((row) => ({ ...row, isOver: isOver(row) })),
	);
	const raw = Object.assign({}, ...parts.map((part) => part.raw));
	return `${JSON.stringify({ where, rows, raw }, rounded, "\t")}\n`;
}

// A microsecond is all that was measured.
function rounded(_key: string, value: unknown): unknown {
	return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}

const [begin, end] = ["<!-- benchmark -->", "<!-- /benchmark -->"];

/** README with what stands between its two marks replaced. */
export function withSection(readme: string, section: string): string {
	const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
	if (from < 0 || to < from)
		throw new Error(`README.md: expected ${begin} and ${end}`);
	return `${readme.slice(0, from + begin.length)}\n${section}${readme.slice(to)}`;
}
