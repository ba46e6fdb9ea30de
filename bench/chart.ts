import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";

/** One measurement against its budget. */
export interface Bar {
	label: string;
	/** In the same unit as the budget; smaller is better. */
	value: number;
	budget: number;
	/** What is printed at the bar's end. */
	text: string;
}

/** Bars as shares of their budgets, which is one line for all of them. */
export interface BarChart {
	title: string;
	subtitle: string;
	bars: readonly Bar[];
}

/** Lines over one pair of linear axes that both begin at 0. */
export interface LineChart {
	title: string;
	subtitle: string;
	xLabel: string;
	yLabel: string;
	series: readonly {
		name: string;
		points: readonly (readonly [number, number])[];
	}[];
	/** Vertical lines with a word each. */
	marks?: readonly { x: number; text: string }[];
}

// A light ground of its own, so that the drawing reads the same on a page of any theme.
const colours = {
	ground: "#ffffff",
	frame: "#d0d7de",
	grid: "#eaeef2",
	text: "#1f2328",
	faint: "#59636e",
	within: "#2f6feb",
	over: "#cf222e",
	budget: "#1f2328",
};
// Told apart by those who see no red or green, too (Okabe and Ito).
const seriesColours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00"];
const font =
	"font-family=\"system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif\"";
const width = 860;
const margin = 24;
// Nobody can measure text here: wide enough for the letters of any of these fonts at 13 px.
const letterWidth = 7;
// A bar beyond that many budgets ends there, and its text says the rest.
const maxShare = 2;

/**
 * Horizontal bars, each as its value's share of its budget; the budget is a line at 1, and a bar beyond it has a colour of
 * its own and says `over budget`. Returns an SVG document; the same input gives the same bytes.
 */
export function barChart({ title, subtitle, bars }: BarChart): string {
	const rowHeight = 30;
	const top = 96;
	const left = margin + widest(bars.map(({ label }) => label)) + 12;
	const bottom = top + bars.length * rowHeight;
	const shares = bars.map(({ value, budget }) => value / budget);
	const end = Math.min(Math.max(1.1, ...shares), maxShare);
	const textOf = ({ text }: Bar, share: number) =>
		share > 1 ? `${text}: over budget` : text;
	const room = widest(bars.map((bar, at) => textOf(bar, shares[at] ?? 0))) + 12;
	const x = scaleLinear()
		.domain([0, end])
		.range([left, width - margin - room]);
	const rows = bars.map((bar, at) => {
		const share = shares[at] ?? 0;
		const y = top + at * rowHeight;
		const middle = y + rowHeight / 2 + 4;
		const isOver = share > 1;
		const to = x(Math.min(share, end));
		return [
			text(left - 12, middle, bar.label, { anchor: "end" }),
			`<rect x="${num(left)}" y="${num(y + 6)}" width="${num(to - left)}" height="${rowHeight - 12}" rx="2" fill="${isOver ? colours.over : colours.within}"/>`,
			text(to + 8, middle, textOf(bar, share), {
				fill: isOver ? colours.over : colours.text,
				hasHalo: true,
			}),
		].join("\n");
	});
	const ticks = x.ticks(3).map((at) =>
		[
			segment(x(at), top - 4, x(at), bottom + 4, colours.grid),
			text(x(at), bottom + 20, `${num(at * 100)} %`, {
				anchor: "middle",
				fill: colours.faint,
			}),
		].join("\n"),
	);
	const budget = [
		segment(x(1), top - 10, x(1), bottom + 4, colours.budget, "4 3"),
		text(x(1), top - 16, "budget", { anchor: "middle" }),
	];
	const said = bars.map(
		(bar, at) => `${bar.label}: ${textOf(bar, shares[at] ?? 0)}`,
	);
	return frame(bottom + 36, title, subtitle, said, [
		...ticks,
		...budget,
		...rows,
	]);
}

/**
 * Lines through points in the order given, with a legend, and marks at certain x. Returns an SVG document; the same input
 * gives the same bytes.
 */
export function lineChart(chart: LineChart): string {
	const { title, subtitle, xLabel, yLabel, series, marks = [] } = chart;
	const [top, bottom, left, right] = [128, 420, margin + 56, width - margin];
	const points = series.flatMap((one) => one.points);
	const maxX = Math.max(0, ...points.map(([x]) => x));
	const maxY = Math.max(0, ...points.map(([, y]) => y));
	const x = scaleLinear()
		.domain([0, maxX || 1])
		.range([left, right]);
	const y = scaleLinear()
		.domain([0, maxY || 1])
		.nice()
		.range([bottom, top]);
	const path = line<readonly [number, number]>()
		.x((point) => x(point[0]))
		.y((point) => y(point[1]))
		.digits(1);
	const xTicks = x.ticks(8).map((at) =>
		text(x(at), bottom + 20, x.tickFormat(8)(at), {
			anchor: "middle",
			fill: colours.faint,
		}),
	);
	const yTicks = y.ticks(5).map((at) =>
		[
			segment(left, y(at), right, y(at), colours.grid),
			text(left - 8, y(at) + 4, y.tickFormat(5)(at), {
				anchor: "end",
				fill: colours.faint,
			}),
		].join("\n"),
	);
	const lines = series.map(
		({ points }, at) =>
			`<path d="${path(points) ?? ""}" fill="none" stroke="${colourOf(at)}" stroke-width="1.5" stroke-linejoin="round"/>`,
	);
	let legendX = left;
	const legend = series.map(({ name }, at) => {
		const from = legendX;
		legendX += 44 + name.length * letterWidth;
		return [
			segment(from, 86, from + 20, 86, colourOf(at), undefined, 3),
			text(from + 26, 90, name),
		].join("\n");
	});
	const marked = marks.map(({ x: at, text: word }) => {
		// Words at the right end would leave the drawing.
		const isLate = x(at) + word.length * letterWidth > right;
		return [
			segment(x(at), top - 8, x(at), bottom, colours.faint, "2 3"),
			text(x(at) + (isLate ? -5 : 5), top - 2, word, {
				anchor: isLate ? "end" : "start",
				fill: colours.faint,
				hasHalo: true,
			}),
		].join("\n");
	});
	const labels = [
		text((left + right) / 2, bottom + 44, xLabel, { anchor: "middle" }),
		`<g transform="translate(${margin + 4} ${(top + bottom) / 2}) rotate(-90)">${text(0, 0, yLabel, { anchor: "middle" })}</g>`,
	];
	const said = [
		`${yLabel} over ${xLabel}.`,
		...series.map(
			({ name, points }) =>
				`${name}: at most ${num(Math.max(0, ...points.map(([, y]) => y)))}.`,
		),
		...marks.map(({ x, text }) => `At ${num(x)}: ${text}.`),
	];
	return frame(bottom + 60, title, subtitle, said, [
		...yTicks,
		segment(left, bottom, right, bottom, colours.frame),
		...xTicks,
		...lines,
		...marked,
		...legend,
		...labels,
	]);
}

// `said` is what a screen reader says beside title and subtitle.
function frame(
	height: number,
	title: string,
	subtitle: string,
	said: string[],
	content: string[],
): string {
	return `${[
		`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title desc" ${font} font-size="13">`,
		`<title id="title">${escaped(title)}</title>`,
		`<desc id="desc">${escaped([subtitle, ...said].join("\n"))}</desc>`,
		`<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6" fill="${colours.ground}" stroke="${colours.frame}"/>`,
		text(margin, 36, title, { size: 18, weight: 600 }),
		text(margin, 58, subtitle, { fill: colours.faint }),
		...content,
		"</svg>",
	].join("\n")}\n`;
}

interface TextStyle {
	anchor?: "start" | "middle" | "end";
	fill?: string;
	size?: number;
	weight?: number;
	/** Stays readable where a line crosses it. */
	hasHalo?: boolean;
}

function text(
	x: number,
	y: number,
	content: string,
	{
		anchor = "start",
		fill = colours.text,
		size,
		weight,
		hasHalo,
	}: TextStyle = {},
): string {
	const attributes = [
		`x="${num(x)}" y="${num(y)}" fill="${fill}"`,
		...(anchor === "start" ? [] : [`text-anchor="${anchor}"`]),
		...(size ? [`font-size="${size}"`] : []),
		...(weight ? [`font-weight="${weight}"`] : []),
		...(hasHalo
			? [`stroke="${colours.ground}" stroke-width="4" paint-order="stroke"`]
			: []),
	];
	return `<text ${attributes.join(" ")}>${escaped(content)}</text>`;
}

function segment(
	x1: number,
	y1: number,
	x2: number,
	y2: number,
	colour: string,
	dashes?: string,
	thickness = 1,
): string {
	const dashed = dashes ? ` stroke-dasharray="${dashes}"` : "";
	return `<line x1="${num(x1)}" y1="${num(y1)}" x2="${num(x2)}" y2="${num(y2)}" stroke="${colour}" stroke-width="${thickness}"${dashed}/>`;
}

function colourOf(at: number): string {
	return seriesColours[at % seriesColours.length] ?? colours.text;
}

function widest(texts: readonly string[]): number {
	return Math.max(0, ...texts.map((one) => one.length)) * letterWidth;
}

// A tenth of a pixel is more than anybody sees, and no difference between machines.
function num(value: number): string {
	return String(Math.round(value * 10) / 10);
}

// Control characters are not allowed in XML, not even escaped.
function escaped(content: string): string {
	return (
		content
			// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
			.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
			.replaceAll("&", "&amp;")
			.replaceAll("<", "&lt;")
			.replaceAll(">", "&gt;")
			.replaceAll('"', "&quot;")
	);
}
