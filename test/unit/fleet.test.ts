import { expect, test } from "vitest";
import {
	drawFleet,
	fleetRow,
	simulateFleet,
	simulateZones,
	zone,
} from "../../bench/fleet";

const small = { ...zone, guests: 600, plugsPerDay: 0 };

test("a fleet at rest asks what its resyncs cost: two requests, one for the primary and one per ENI", () => {
	const { mean, outageMean } = simulateFleet(small);
	const looks = small.guests / small.resyncSeconds;
	expect(mean / looks).toBeCloseTo(2 + 1 + small.enis, 0);
	// As many looks as ever, in each of which two things are asked for at two addresses.
	expect(outageMean / looks).toBeCloseTo(2 * 2, 0);
});

test("the same seed gives the same figures, another one others", () => {
	const [one, same, other] = [1, 1, 2].map(
		(seed) => simulateFleet({ ...small, seed }).perSecond,
	);
	expect(one).toEqual(same);
	expect(one).not.toEqual(other);
});

test("no second of a zone has more than one and a half times the mean, neither in an outage nor after it", () => {
	const zones = simulateZones();
	const row = fleetRow(zones);
	expect(row.value, row.detail).toBeLessThanOrEqual(row.budget);
	// Without the service nobody asks more often than with it.
	for (const { refused, silent } of Object.values(zones))
		for (const { mean, outageMean } of [refused, silent])
			expect(outageMean).toBeLessThan(mean);
	expect(drawFleet(zones)).toMatch(/^<svg .*it is back.*<\/svg>\n$/s);
});

test("even where every guest has three hot-plugs a day, those that wait do not come down on the service", () => {
	for (const trouble of ["refused", "silent"] as const) {
		const outage = { ...zone.outage, trouble };
		const { after } = simulateFleet({ ...zone, plugsPerDay: 3, outage });
		expect(after.ratio).toBeLessThanOrEqual(1.5);
	}
});
