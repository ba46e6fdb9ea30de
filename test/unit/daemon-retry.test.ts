import fc from "fast-check";
import { expect, test } from "vitest";
import {
	askAgainMs,
	firstResyncMs,
	passAgainMs,
	resyncMs,
} from "../../src/daemon/retry.js";

const minute = 60_000;
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("a new NIC's metadata are asked for after 0.25, 0.5, then every second for ten minutes", () => {
	expect(
		[0, 1, 2, 3, 500].map((attempt) => askAgainMs(attempt, 0, 0, 0.5)),
	).toEqual([250, 500, 1000, 1000, 1000]);
	expect(askAgainMs(600, 10 * minute - 1, 0, 0.5)).toBe(1000);
});

test("then ever more slowly, down to every half minute, and after an hour not at all", () => {
	const at = [0, 30, 60, 90, 120, 2999, 3000, 86_400].map((seconds) =>
		askAgainMs(600, 10 * minute + seconds * 1000, 0, 0.5),
	);
	expect(at).toEqual([
		2000,
		5000,
		10_000,
		30_000,
		30_000,
		30_000,
		Infinity,
		Infinity,
	]);
});

test("a service that is silent for minutes is asked about a new NIC ever more slowly, down to every five seconds", () => {
	expect(
		[0, 10, 60, 120, 300, 500].map((seconds) =>
			askAgainMs(10, seconds * 1000, seconds * 1000, 0.5),
		),
	).toEqual([1000, 1000, 1000, 2000, 5000, 5000]);
	// It is silent from before the NIC came.
	expect(askAgainMs(0, 0, 6 * minute, 0.5)).toBe(5000);
});

test("a pass that failed is made again after 1, 2, 5, 10, then every 30 s", () => {
	expect(
		[1, 2, 3, 4, 5, 6, 1000].map((failures) => passAgainMs(failures, 0.5)),
	).toEqual([1000, 2000, 5000, 10_000, 30_000, 30_000, 30_000]);
});

test("a fleet does nothing in step, and nobody is far off", () => {
	fc.assert(
		fc.property(
			fc.nat(50),
			fc.nat(3_000_000),
			random,
			(count, waited, chance) => {
				for (const wait of [
					(r: number) => askAgainMs(count, waited, waited, r),
					(r: number) => passAgainMs(count + 1, r),
				]) {
					expect(wait(chance) / wait(0.5)).toBeGreaterThanOrEqual(0.75);
					expect(wait(chance) / wait(0.5)).toBeLessThanOrEqual(1.25);
					expect(wait(0)).toBeLessThan(wait(0.9));
				}
				const seconds = { resyncSeconds: 60 };
				expect(resyncMs(seconds, chance)).toBeGreaterThanOrEqual(54_000);
				expect(resyncMs(seconds, chance)).toBeLessThanOrEqual(66_000);
				expect(firstResyncMs(seconds, chance)).toBeGreaterThanOrEqual(12_000);
				expect(firstResyncMs(seconds, chance)).toBeLessThanOrEqual(78_000);
			},
		),
	);
});

test("machines that were started together look evenly from the first resync on", () => {
	const count = 200;
	const chances = Array.from({ length: count }, (_, at) => (at + 0.5) / count);
	const seconds = { resyncSeconds: 60 };
	const looks = new Array<number>(20).fill(0);
	const add = (ms: number) => {
		const at = Math.floor(ms / 6000);
		if (at < looks.length) looks[at] = (looks[at] ?? 0) + 1;
	};
	// Each first look with each interval after it.
	for (const chance of chances)
		for (const next of chances) {
			const first = firstResyncMs(seconds, chance);
			add(first);
			add(first + resyncMs(seconds, next));
		}
	const even = (count * count) / 10;
	// From 12 s, when the first are due, to 120 s, when the earliest third ones are.
	for (const some of looks.slice(2, 20)) {
		expect(some / even).toBeGreaterThan(0.93);
		expect(some / even).toBeLessThan(1.07);
	}
});
