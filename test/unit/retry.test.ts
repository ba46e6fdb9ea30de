import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { retryDelayMs } from "../../src/commands/configure.js";

describe("waiting for metadata that is not settled", () => {
	test("begins at a quarter of a second and ends at half a minute", () => {
		const middle = [0, 1, 2, 3, 4, 5, 6, 7, 50].map((attempt) =>
			retryDelayMs(attempt, 0.5),
		);
		expect(middle).toEqual([
			250, 500, 1000, 2000, 5000, 10_000, 30_000, 30_000, 30_000,
		]);
	});

	test("a fleet does not ask in step: each wait is off by up to a quarter", () => {
		fc.assert(
			fc.property(
				fc.nat(20),
				fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
				(attempt, random) => {
					const ratio =
						retryDelayMs(attempt, random) / retryDelayMs(attempt, 0.5);
					expect(ratio).toBeGreaterThanOrEqual(0.75);
					expect(ratio).toBeLessThanOrEqual(1.25);
				},
			),
		);
		expect(retryDelayMs(3, 0)).not.toBe(retryDelayMs(3, 0.9));
	});
});
