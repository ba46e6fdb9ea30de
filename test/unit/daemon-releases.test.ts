import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	type Extras,
	nextReleases,
	type Releases,
	settledIn,
} from "../../src/daemon/releases.js";
import type { CloudView, EniAnswer, Managed } from "../../src/model.js";
import { cloudOf } from "./given.js";

const mac = "52:54:00:00:00:01";
const managed: Managed = {
	name: "eth1",
	mac,
	addresses: ["10.0.2.62/24", "10.0.2.63/32", "10.0.2.64/32"],
	subnet: "10.0.2.0/24",
	gateway: "10.0.2.1",
	table: 1001,
	throws: [],
	demoteMetric: undefined,
	files: [],
};
const answer = (...last: number[]): EniAnswer => ({
	state: "ok",
	eni: {
		mac,
		addresses: last.map((octet) => `10.0.2.${octet}`),
		primaryAddress: `10.0.2.${last[0]}`,
		prefix: 24,
		gateway: "10.0.2.1",
		publicIps: {},
	},
});
const saying = (eni: EniAnswer | undefined): CloudView =>
	cloudOf({ listed: [mac], enis: eni ? { [mac]: eni } : {} });
const usable = {
	less: answer(62, 63),
	other: answer(62),
	whole: answer(62, 63, 64),
};

/** One more answer, and what it lets go. */
function answered(
	before: Releases,
	view: CloudView,
	recorded: Managed[],
	extras: Extras | undefined,
	nowMs: number,
): { releases: Releases; settled: string[] } {
	const releases = nextReleases(before, view, recorded, extras, nowMs);
	return { releases, settled: settledIn(releases, view) };
}

/** What a series of answers, each at its second, leads to: when something was settled. */
function settledAt(series: [number, CloudView, Managed?][]): number[] {
	let releases: Releases = {};
	return series.flatMap(([second, view, recorded = managed]) => {
		const next = answered(releases, view, [recorded], undefined, second * 1000);
		releases = next.releases;
		return next.settled.length > 0 ? [second] : [];
	});
}
const less = saying(usable.less);

test("the same answer twice, half a minute apart, is believed", () => {
	expect(
		settledAt([
			[0, less],
			[30, less],
		]),
	).toEqual([30]);
	expect(
		settledAt([
			[0, less],
			[29, less],
		]),
	).toEqual([]);
	expect(settledAt([[0, less]])).toEqual([]);
});

test("the order in which addresses are listed says nothing", () => {
	const turned = saying({
		...answer(62, 63),
		eni: {
			...(answer(62, 63) as { eni: object }).eni,
			addresses: ["10.0.2.63", "10.0.2.62"],
		},
	} as EniAnswer);
	expect(
		settledAt([
			[0, less],
			[30, turned],
		]),
	).toEqual([30]);
});

test("another answer starts anew", () => {
	expect(
		settledAt([
			[0, less],
			[20, saying(usable.other)],
			[35, saying(usable.other)],
			[50, saying(usable.other)],
		]),
	).toEqual([50]);
	expect(
		settledAt([
			[0, less],
			[20, saying(usable.other)],
			[40, less],
			[69, less],
		]),
	).toEqual([]);
});

test("an answer with all of it ends the release", () => {
	expect(
		settledAt([
			[0, less],
			[10, saying(usable.whole)],
			[31, less],
		]),
	).toEqual([]);
});

describe("leaves everything as it was:", () => {
	test.each<[string, CloudView]>([
		["no list at all", { ...less, listed: undefined, enis: {} }],
		["no list, but an answer from before", { ...less, listed: undefined }],
		["a 404", saying({ state: "not-found", reason: "404" })],
		["an error", saying({ state: "error", reason: "500" })],
		["something unsettled", saying({ state: "unsettled", reason: "half" })],
		["an ENI that was not asked about", saying(undefined)],
	])("%s", (_, view) => {
		// It neither counts as the second time, nor does it start anew.
		expect(
			settledAt([
				[0, less],
				[30, view],
			]),
		).toEqual([]);
		expect(
			settledAt([
				[0, less],
				[15, view],
				[30, less],
			]),
		).toEqual([30]);
		expect(
			settledAt([
				[0, view],
				[30, less],
			]),
		).toEqual([]);
	});
});

test("what is configured counts when the answer is judged, not when it came first", () => {
	const one = { ...managed, addresses: ["10.0.2.62/24", "10.0.2.63/32"] };
	expect(
		settledAt([
			[0, less],
			[30, less, one],
		]),
	).toEqual([]);
});

test("another gateway, or another primary address, takes as long", () => {
	const moved = saying({
		state: "ok",
		eni: {
			...(usable.whole as unknown as { eni: object }).eni,
			gateway: "10.0.2.9",
		},
	} as EniAnswer);
	expect(
		settledAt([
			[0, moved],
			[29, moved],
			[30, moved],
		]),
	).toEqual([30]);
	const first = saying(answer(63, 62, 64));
	expect(
		settledAt([
			[0, first],
			[30, first],
		]),
	).toEqual([30]);
});

test("says what will go, since when", () => {
	const { releases } = answered(
		{},
		saying(usable.other),
		[managed],
		undefined,
		5000,
	);
	expect(releases[mac]).toMatchObject({
		link: "eth1",
		sinceMs: 5000,
		addresses: ["10.0.2.63/32", "10.0.2.64/32"],
	});
});

test("an extra address of the primary goes the same way", () => {
	const extras = {
		link: "eth0",
		mac: "52:54:00:00:00:00",
		addresses: ["10.0.1.11/32"],
	};
	const view = cloudOf({
		primaryMac: extras.mac,
		primaryAddresses: ["10.0.1.10"],
	});
	const first = answered({}, view, [], extras, 0);
	expect(first.settled).toEqual([]);
	const silent = answered(
		first.releases,
		{ ...view, primaryAddresses: undefined },
		[],
		extras,
		30_000,
	);
	expect(silent).toEqual(first);
	expect(answered(silent.releases, view, [], extras, 29_999).settled).toEqual(
		[],
	);
	expect(answered(silent.releases, view, [], extras, 30_000).settled).toEqual([
		extras.mac,
	]);
	// Of another primary nothing is taken away.
	expect(
		answered(first.releases, { ...view, primaryMac: mac }, [], extras, 40_000)
			.settled,
	).toEqual([]);
});

test("an ENI that is not managed has nothing to release", () => {
	expect(
		answered(
			{
				[mac]: {
					link: "eth1",
					answer: "",
					sinceMs: 0,
					confirmedMs: 0,
					addresses: [],
				},
			},
			less,
			[],
			undefined,
			99_000,
		),
	).toEqual({ releases: {}, settled: [] });
});

test("whatever is answered in whatever order: believed is only what two usable answers said, 30 s apart, and no usable one said otherwise in between", () => {
	const views: Record<string, CloudView> = {
		less,
		other: saying(usable.other),
		whole: saying(usable.whole),
		missing: saying({ state: "not-found", reason: "" }),
		broken: saying({ state: "error", reason: "" }),
		silent: { ...less, listed: undefined },
		unasked: saying(undefined),
	};
	const isUsable = (name: string) => ["less", "other", "whole"].includes(name);
	fc.assert(
		fc.property(
			fc.array(
				fc.tuple(
					fc.constantFrom(...Object.keys(views)),
					fc.integer({ min: 1, max: 40 }),
				),
				{ maxLength: 20 },
			),
			(series) => {
				let releases: Releases = {};
				let now = 0;
				const past: { name: string; at: number }[] = [];
				for (const [name, seconds] of series) {
					now += seconds * 1000;
					const next = answered(
						releases,
						views[name] as CloudView,
						[managed],
						undefined,
						now,
					);
					releases = next.releases;
					past.push({ name, at: now });
					const usablePast = past.filter((one) => isUsable(one.name));
					const differs = usablePast
						.map((one) => one.name !== name)
						.lastIndexOf(true);
					const since = usablePast[differs + 1]?.at ?? now;
					const isDue =
						["less", "other"].includes(name) && now - since >= 30_000;
					expect(next.settled).toEqual(isDue ? [mac] : []);
				}
			},
		),
	);
});

test("what has settled is believed only where the view still says it", () => {
	const first = answered({}, less, [managed], undefined, 0);
	const { releases } = answered(
		first.releases,
		less,
		[managed],
		undefined,
		30_000,
	);
	expect(settledIn(releases, less)).toEqual([mac]);
	expect(settledIn(releases, saying(usable.other))).toEqual([]);
	expect(settledIn(releases, saying(undefined))).toEqual([]);
	expect(settledIn(releases, { ...less, listed: undefined })).toEqual([]);
});
