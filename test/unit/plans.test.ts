import { describe, expect, test } from "vitest";
import { detectBackend } from "../../src/backends/detect.js";
import { initscripts } from "../../src/backends/initscripts.js";
import { desire } from "../../src/desire.js";
import { isOurs } from "../../src/marker.js";
import type { Observed, Request } from "../../src/model.js";
import { makePlan } from "../../src/plan.js";
import { summarize } from "../../src/report.js";
import type { PartialSettings } from "../../src/settings.js";
import {
	casesIn,
	type GuestText,
	observedOf,
	readFixture,
	renderer,
	requestOf,
	settingsOf,
} from "./given.js";

interface Asked {
	request?: Partial<Request>;
	settings?: PartialSettings;
}

interface Expected {
	/** name addresses via gateway, table, source */
	interfaces?: string[];
	gone?: string[];
	/** link: kind, exit code, and a part of the reason */
	verdicts?: Record<string, [string, number, string]>;
	notes?: string[];
	/** What `plan` would print, line by line. */
	steps?: string[];
	/** Files that are kept in backup/ when they are replaced. */
	copies?: string[];
	/** Lines that written files have to hold, by path. */
	holds?: Record<string, string[]>;
}

const parse = <T>(name: string, part: string) =>
	JSON.parse(readFixture("plans", name, `${part}.json`)) as T;

function outcome(observed: Observed, { request, settings }: Asked) {
	const checked = settingsOf(settings);
	const desired = desire(observed, requestOf(request), checked);
	expect(detectBackend(observed.facts, checked.backend).backend).toBe(
		initscripts,
	);
	const plan = makePlan(observed, desired, {
		backend: initscripts,
		renderer,
		restart: checked.restart,
		calm: [],
	});
	return { desired, steps: plan.steps };
}

describe.each(casesIn("plans"))("%s", (name) => {
	const asked = parse<Asked>(name, "request");
	const expected = parse<Expected>(name, "expected");
	const { desired, steps } = outcome(
		observedOf(parse<GuestText>(name, "observed")),
		asked,
	);
	const writes = steps.flatMap((step) => (step.kind === "write" ? [step] : []));

	test("configures, holds and refuses what it should", () => {
		const interfaces = desired.interfaces.map(
			({ name, addresses, gateway, table, source, throws, demoteMetric }) =>
				`${name} ${addresses.join(" ")} via ${gateway}, ${table === undefined ? "no table" : `table ${table}`}, from ${source}${throws.length > 0 ? `, throws ${throws.join(" ")}` : ""}${demoteMetric === undefined ? "" : `, demoted to ${demoteMetric}`}`,
		);
		expect(interfaces).toEqual(expected.interfaces ?? []);
		expect(desired.gone.map((managed) => managed.name)).toEqual(
			expected.gone ?? [],
		);
		const verdicts = Object.entries(expected.verdicts ?? {});
		expect(
			desired.verdicts.map((verdict) =>
				verdict.mac !== undefined && verdict.link === "-"
					? verdict.mac
					: verdict.link,
			),
		).toEqual(verdicts.map(([link]) => link));
		for (const [at, [, [kind, exitCode, reason]]] of verdicts.entries()) {
			expect(desired.verdicts[at]).toMatchObject({
				kind,
				exitCode,
				reason: expect.stringContaining(reason),
			});
		}
		expect(desired.notes.map((note) => `${note.link}: ${note.text}`)).toEqual(
			(expected.notes ?? []).map((note) => expect.stringContaining(note)),
		);
	});

	test("takes these steps, in this order", () => {
		// Broadcast and label are `ip`'s business.
		const words = steps.map((step) =>
			summarize(step).replace(/^(ip addr add \S+) .*( dev \S+)$/, "$1$2"),
		);
		expect(words).toEqual(expected.steps ?? []);
	});

	test("keeps copies of what is the user's, and writes what it should", () => {
		const copies = steps.flatMap((step) =>
			(step.kind === "write" || step.kind === "remove") && step.keepCopy
				? [step.path]
				: [],
		);
		expect(copies).toEqual(expected.copies ?? []);
		for (const [path, lines] of Object.entries(expected.holds ?? {})) {
			expect(
				writes.find((step) => step.path === path)?.content.split("\n"),
			).toEqual(expect.arrayContaining(lines));
		}
	});

	test("marks every file it makes for a link", () => {
		const own = writes.filter(
			(step) =>
				step.path.includes("network-scripts") && step.owner === undefined,
		);
		expect(
			own.filter((step) => !isOurs(step.content)).map((step) => step.path),
		).toEqual([]);
	});
});
