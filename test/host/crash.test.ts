import { afterAll, describe, expect, test } from "vitest";
import {
	createTally,
	stepKinds,
	sweepKills,
	sweepKillsInRecovery,
} from "./crash";
import { passes, rolledBack, scenarios } from "./scenarios";

const tally = createTally();
afterAll(() => console.log(`kills tried: ${tally.points()}`));

describe.each(Object.entries({ ...scenarios, ...rolledBack, ...passes }))(
	"%s",
	(_, scenario) => {
		test("killed at any operation, the next start ends in the old state or the new one", async () => {
			expect(tally.add(await sweepKills(scenario))).toEqual([]);
		}, 300_000);

		test("killed again in the recovery, the start after that still does", async () => {
			expect(tally.add(await sweepKillsInRecovery(scenario, 11))).toEqual([]);
		}, 300_000);
	},
);

test("every kind of step was interrupted", () => {
	expect(tally.kinds()).toEqual(stepKinds);
});
