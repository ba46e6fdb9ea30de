import fc from "fast-check";
import { expect, test } from "vitest";
import { timeText } from "../../src/time-text.js";

test("a time is written as Date writes it, for as long as years have four digits", () => {
	const max = Date.parse("9999-12-31T23:59:59.999Z");
	fc.assert(
		fc.property(fc.integer({ min: 0, max }), (atMs) => {
			expect(timeText(atMs)).toBe(new Date(atMs).toISOString());
		}),
	);
	expect(timeText(951_782_400_000.9)).toBe("2000-02-29T00:00:00.000Z");
});
