import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { isSameProcess, parseStat } from "../../src/observe/process-start";
import type { FileSystem } from "../../src/system";

/** /proc/PID/stat of a process: field 22 is the start time. */
const statOf = (comm: string, ticks: string, state = "S") =>
	`812 (${comm}) ${state} 1 812 812 0 -1 4194560 2214 0 3 0 11 4 0 0 20 0 11 0 ${ticks} 622592000 12345 18446744073709551615 1 1 0\n`;

describe("state, parent and start time of a process", () => {
	test.each([
		"node",
		"eni configure",
		"a) S 1 2 3",
		"((",
		"))",
		") Z 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 7",
		"",
		"a\nb",
	])("are found behind the name %j", (comm) => {
		expect(parseStat(statOf(comm, "123456"))).toEqual({
			state: "S",
			parent: 1,
			startTicks: 123456,
		});
	});

	test("are found behind any name", () => {
		fc.assert(
			fc.property(
				fc.string({ unit: "binary", maxLength: 15 }),
				fc.maxSafeNat(),
				(comm, ticks) => {
					expect(parseStat(statOf(comm, String(ticks)))?.startTicks).toBe(
						ticks,
					);
				},
			),
		);
	});

	test("are not made up of any other text", () => {
		for (const text of ["", "812 (node", "812 (node) S 1", statOf("x", "-1")])
			expect(parseStat(text)).toBeUndefined();
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				parseStat(text);
			}),
		);
	});
});

describe("a process", () => {
	const runs = (stat: string | undefined, ticks = 500) => {
		const volume = new Volume();
		volume.mkdirSync("/proc/812", { recursive: true });
		if (stat !== undefined) volume.writeFileSync("/proc/812/stat", stat);
		return isSameProcess(volume as unknown as FileSystem, 812, ticks);
	};

	test("is the same by pid and start time", () => {
		expect(runs(statOf("node", "500"))).toBe(true);
		expect(runs(statOf("node", "501"))).toBe(false);
		expect(runs(undefined)).toBe(false);
		expect(runs("garbage")).toBe(false);
	});

	test("is gone when only its zombie is there", () => {
		expect(runs(statOf("node", "500", "Z"))).toBe(false);
	});
});
