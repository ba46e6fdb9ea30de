import { expect, test } from "vitest";
import { barChart, lineChart } from "../../bench/chart";

const bar = { label: "help", value: 1.2, budget: 1.5, text: "1.2x" };
const bars = (list: object[] = [{}]) =>
	barChart({
		title: "Costs",
		subtitle: "shares",
		bars: list.map((one) => ({ ...bar, ...one })),
	});
const lines = (chart: object = {}) =>
	lineChart({
		title: "Rates",
		subtitle: "per second",
		xLabel: "minutes",
		yLabel: "requests",
		series: [
			{
				name: "zone",
				points: [
					[0, 0],
					[10, 400],
					[20, 100],
				],
			},
		],
		...chart,
	});

const widths = (svg: string) =>
	[...svg.matchAll(/width="([\d.]+)" height="18"/g)].map((one) =>
		Number(one[1]),
	);
const budgetX = (svg: string) =>
	Number(/x1="([\d.]+)"[^>]*stroke-dasharray="4 3"/.exec(svg)?.[1]);
const leftOf = (svg: string) =>
	Number(/<rect x="(\d+)" y="102"/.exec(svg)?.[1]);
const isWellFormed = (svg: string) => {
	const open: string[] = [];
	for (const [, close, name, empty] of svg.matchAll(
		/<(\/?)([a-z]+)(?:\s+[\w-]+="[^"<]*")*(\/?)>/g,
	))
		if (close) expect(open.pop()).toBe(name);
		else if (!empty) open.push(name ?? "");
	expect(open).toEqual([]);
	// No bare < or & is left between the tags.
	expect(svg.replace(/<\/?[a-z][^<>]*>/g, "")).not.toMatch(
		/[<>]|&(?!(amp|lt|gt|quot);)/,
	);
};

test("a bar is as long as its share of the budget, whatever its unit", () => {
	const svg = bars([
		{ value: 50, budget: 100 },
		{ value: 0.25, budget: 0.5 },
		{ value: 1, budget: 1 },
		{ value: 0 },
	]);
	const [half, alike, whole, none] = widths(svg);
	expect(half).toBe(alike);
	expect(whole).toBeCloseTo(2 * (half ?? 0), 0);
	expect(none).toBe(0);
	expect(leftOf(svg) + (whole ?? 0)).toBeCloseTo(budgetX(svg), 0);
});

test("a bar over its budget crosses the line, changes colour and says so; one at its budget does not", () => {
	const within = bars([{ value: 1.5 }]);
	expect(within).not.toMatch(/over budget|cf222e/);
	const over = bars([{ value: 1.51 }]);
	expect(over).toMatch(/<rect [^>]*fill="#cf222e"/);
	expect(over).toContain(">1.2x: over budget</text>");
	expect(leftOf(over) + (widths(over)[0] ?? 0)).toBeGreaterThan(budgetX(over));
});

test("one bar far over its budget leaves the others readable", () => {
	const svg = bars([{ value: 150 }, { value: 0.75 }]);
	const [far, near] = widths(svg);
	expect(far).toBeCloseTo(4 * (near ?? 0), 0);
	expect(far).toBeLessThan(860);
});

test("nothing leaves the drawing, however long labels are", () => {
	const svg = bars([{ label: "l".repeat(60), text: "t".repeat(20) }]);
	for (const [, x] of svg.matchAll(/ x[12]?="(-?[\d.]+)"/g)) {
		expect(Number(x)).toBeGreaterThanOrEqual(0);
		expect(Number(x)).toBeLessThanOrEqual(860);
	}
});

test("text is escaped, and what XML forbids left out", () => {
	const evil = `<script>&"]]>\u0000`;
	const shown = "&lt;script&gt;&amp;&quot;]]&gt;";
	for (const svg of [
		bars([{ label: evil, text: evil }]),
		barChart({ title: evil, subtitle: evil, bars: [] }),
		lines({ title: evil, xLabel: evil, yLabel: evil, subtitle: evil }),
		lines({
			series: [{ name: evil, points: [[1, 1]] }],
			marks: [{ x: 1, text: evil }],
		}),
	]) {
		expect(svg).not.toContain("<script");
		expect(svg).toContain(shown);
		isWellFormed(svg);
	}
});

test("a chart says in words what it shows, and refers to nothing outside", () => {
	for (const svg of [
		bars([{ value: 3 }]),
		lines({ marks: [{ x: 5, text: "outage" }] }),
	]) {
		expect(svg).toMatch(/^<svg [^>]*role="img" aria-labelledby="title desc"/);
		expect(svg.replace("http://www.w3.org/2000/svg", "")).not.toMatch(
			/https?:|url\(|href/,
		);
		isWellFormed(svg);
	}
	expect(bars()).toMatch(/<desc [^>]*>shares\nhelp: 1\.2x<\/desc>/);
	expect(lines({ marks: [{ x: 5, text: "outage" }] })).toMatch(
		/<desc [^>]*>per second\nrequests over minutes\.\nzone: at most 400\.\nAt 5: outage\.<\/desc>/,
	);
});

test("a line goes through its points on axes that begin at 0", () => {
	const svg = lines();
	const path =
		/<path d="M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)L([\d.]+),([\d.]+)"/
			.exec(svg)
			?.slice(1)
			.map(Number) ?? [];
	const [x0 = 0, y0 = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0] = path;
	expect([x0, x2]).toEqual([80, 836]);
	expect(x1).toBeCloseTo((x0 + x2) / 2, 0);
	expect(y0).toBe(420);
	expect((y0 - y1) / (y0 - y2)).toBeCloseTo(4, 1);
	// Ticks of both axes, at round numbers.
	for (const tick of ["0", "10", "20", "100", "400"])
		expect(svg).toContain(`>${tick}</text>`);
});

test("the same input gives the same bytes, and no input a chart all the same", () => {
	expect(bars()).toBe(bars());
	expect(lines()).toBe(lines());
	for (const svg of [bars([]), lines({ series: [] })]) {
		expect(svg).not.toMatch(/NaN|Infinity|undefined/);
		isWellFormed(svg);
	}
});

test("each line has a colour of its own, and a mark its word", () => {
	const svg = lines({
		series: ["a", "b"].map((name, at) => ({
			name,
			points: [
				[0, at],
				[1, 1],
			],
		})),
		marks: [
			{ x: 0.5, text: "gone" },
			{ x: 1, text: "back" },
		],
	});
	const strokes = [...svg.matchAll(/<path [^>]*stroke="(#\w+)"/g)].map(
		(one) => one[1],
	);
	expect(new Set(strokes).size).toBe(2);
	expect(svg).toMatch(/x="463" [^>]*>gone</);
	// At the right end, it stands on the left of its line.
	expect(svg).toMatch(/x="831" [^>]*text-anchor="end"[^>]*>back</);
});
