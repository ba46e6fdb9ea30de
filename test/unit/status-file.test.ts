import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDaemonStatus } from "../../src/daemon/status-file";
import type { DaemonStatus } from "../../src/model";

const at = "2026-09-21T14:13:20.000Z";
const full: DaemonStatus = {
	version: 1,
	pid: 812,
	startTicks: 123456,
	startedAt: at,
	writtenAt: at,
	nextResyncAt: at,
	metadata: { problem: "is not there", answeredAt: at },
	lastPass: { at, trigger: "resync", outcome: "unchanged", ms: 41.2 },
	lastChange: { at, link: "eth1", text: "applied: 10.0.2.20/24" },
	waiting: [
		{
			link: "-",
			mac: "52:54:00:bf:b3:51",
			kind: "pending",
			reason: "its NIC has not come up yet",
			retryAt: at,
		},
	],
	releases: [{ link: "eth1", addresses: ["10.0.2.22/32"], dueAt: at }],
	drift: [{ link: "eth1", what: "rule", times: 3, lastAt: at, leftUntil: at }],
};
const parse = (value: unknown) => parseDaemonStatus(JSON.stringify(value));

describe("status.json", () => {
	test("is read back as it was written, with and without what may be left out", () => {
		expect(parse(full)).toEqual(full);
		const { lastChange: _, ...rest } = full;
		const least: DaemonStatus = {
			...rest,
			metadata: {},
			waiting: [],
			releases: [],
			drift: [],
		};
		expect(parse(least)).toEqual(least);
	});

	test("may hold more than this version knows", () => {
		expect(parse({ ...full, more: { of: "it" } })).toEqual(full);
	});

	test("keeps letters of other alphabets, and cuts what is endless", () => {
		const error = "é".repeat(600);
		const text = JSON.stringify({
			...full,
			lastPass: { ...full.lastPass, error },
		});
		const bytes = Buffer.from(text, "utf8").toString("latin1");
		const read = parseDaemonStatus(bytes) as DaemonStatus;
		expect(read.lastPass.error).toBe(`${"é".repeat(497)}...`);
	});

	test("of another version is named as such", () => {
		expect(parse({ version: 2 })).toMatch(/version is 2.*reads version 1/);
		expect(parse({ ...full, version: "1" })).toMatch(/no number/);
	});

	test.each([
		["pid", { pid: 0 }],
		["pid", { pid: "812" }],
		["startTicks", { startTicks: -1 }],
		["startedAt", { startedAt: "yesterday" }],
		["writtenAt", { writtenAt: "2026-13-45T99:99:99Z" }],
		["nextResyncAt", { nextResyncAt: 5 }],
		["lastPass.outcome", { lastPass: { ...full.lastPass, outcome: "fine" } }],
		["waiting", { waiting: {} }],
		["waiting.0.kind", { waiting: [{ ...full.waiting[0], kind: "odd" }] }],
		["releases.0.addresses", { releases: [{ link: "eth1", dueAt: at }] }],
		["drift.0.times", { drift: [{ ...full.drift[0], times: 1.5 }] }],
	])("with a wrong %s is refused with that name", (name, wrong) => {
		expect(parse({ ...full, ...wrong })).toContain(`"${name}: `);
	});

	test("that is anything else is described in one short line, and never thrown at", () => {
		const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
		const odd = [
			...["", "{", "null", "[]", "5", '"x"', "\0", "\ufeff{}", deep],
			`{"version":${deep}}`,
			`{"__proto__":{"version":1}}`,
		];
		const isOneLine = (text: string) => {
			const problem = parseDaemonStatus(text);
			expect(typeof problem).toBe("string");
			expect(problem).toMatch(/^[^\n\p{Cc}]{1,200}$/u);
		};
		for (const text of odd) isOneLine(text);
		fc.assert(fc.property(fc.string({ unit: "binary" }), isOneLine));
		fc.assert(fc.property(fc.json(), isOneLine));
	});

	test("with any one value replaced is read or refused, and never thrown at", () => {
		fc.assert(
			fc.property(
				fc.constantFrom(...Object.keys(full)),
				fc.jsonValue(),
				(key, value) => {
					const read = parse({ ...full, [key]: value });
					expect(["string", "object"]).toContain(typeof read);
				},
			),
		);
	});
});
