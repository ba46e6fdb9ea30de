import { afterAll, describe, expect, test } from "vitest";
import { createTally, stepKinds, sweepPowerCuts } from "./crash";
import { passes, rolledBack, scenarios } from "./scenarios";

// The longest one writes and removes what the others do.
const { "a NIC that came back under another name": _, ...shorter } = passes;
const tally = createTally();
afterAll(() => console.log(`power cuts tried: ${tally.points()}`));

describe.each(Object.entries({ ...scenarios, ...rolledBack, ...shorter }))(
	"%s",
	(_, scenario) => {
		test("with the power cut at any operation, the next boot ends in the old state or the new one", async () => {
			expect(tally.add(await sweepPowerCuts(scenario))).toEqual([]);
		}, 300_000);
	},
);

test("every kind of step was interrupted", () => {
	expect(tally.kinds()).toEqual(stepKinds);
});
