import { describe, expect, test } from "vitest";
import { growthOf, spreadOf } from "../../bench/statistics";

const sizes = [1, 15, 30] as const;
const growth = (cost: (size: number) => number) => {
	const [a, b, c] = sizes;
	return growthOf([
		[a, cost(a)],
		[b, cost(b)],
		[c, cost(c)],
	]);
};

describe("growth", () => {
	test("with the size, or not at all, is on the line", () => {
		expect(growth((size) => 120 + 6 * size)).toEqual({ slope: 6, toLine: 1 });
		expect(growth(() => 40)).toEqual({ slope: 0, toLine: 1 });
	});

	test("slower than the size is below it", () => {
		expect(growth((size) => 10 * Math.sqrt(size)).toLine).toBeLessThan(0.9);
	});

	test.each([
		["with the square", (size: number) => size * size],
		["with the square, beside much else", (size: number) => 300 + size * size],
		["from some size on", (size: number) => (size > 20 ? 200 : 100)],
	])("%s is far above it", (_, cost) => {
		expect(growth(cost).toLine).toBeGreaterThan(1.25);
	});
});

test("the spread is the middle, and the slow end between its neighbours", () => {
	expect(spreadOf([3, 1, 2])).toMatchObject({ runs: 3, median: 2 });
	expect(spreadOf([1, 2, 3, 4]).median).toBe(2.5);
	expect(spreadOf(Array.from({ length: 101 }, (_, at) => at)).p95).toBe(95);
});
