import { afterAll, describe, expect, test } from "vitest";
import { byBootUnit, createTally, stepKinds, sweepPowerCuts } from "./crash";
import { rolledBack, scenarios } from "./scenarios";

const tally = createTally();
afterAll(() => console.log(`power cuts tried: ${tally.points()}`));

describe.each(Object.entries({ ...scenarios, ...rolledBack }))(
	"%s",
	(_, scenario) => {
		test("with the power cut at every third operation, the boot unit alone brings the machine up in the old state or the new one", async () => {
			expect(tally.add(await sweepPowerCuts(scenario, byBootUnit, 3))).toEqual(
				[],
			);
		}, 300_000);
	},
);

test("every kind of step was interrupted", () => {
	expect(tally.kinds()).toEqual(stepKinds);
});
