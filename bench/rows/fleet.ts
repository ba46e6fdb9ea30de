import { drawFleet, fleetRow, simulateZones } from "../fleet";
import type { Part } from "../row";

/** A zone of guests on paper: how evenly they ask the metadata service, also after an outage of it. */
export async function fleet(): Promise<Part> {
	const zones = simulateZones();
	const { name, against, value, budget, unit, detail } = fleetRow(zones);
	const { spread, together } = zones;
	return {
		rows: [
			{
				what: name,
				against,
				label: "fleet, highest second",
				measured: detail,
				result: `${value}${unit}`,
				budget: `at most ${budget}${unit}`,
				value,
				limit: budget,
				runs: "4 zones, simulated",
				node: "",
			},
		],
		notes: [
			"The fleet is a simulation with the agent's own timers, jitter and back-off, whose guests ask when a real daemon does (a test holds the two together): [docs/fleet.svg](fleet.svg) shows requests per second over time.",
		],
		raw: {
			"fleet, highest second over the mean": Object.fromEntries(
				Object.entries({ spread, together }).flatMap(([start, both]) =>
					Object.entries(both).map(([trouble, { steady, outage, after }]) => [
						`${start}, ${trouble}`,
						[steady.ratio, outage.ratio, after.ratio],
					]),
				),
			),
		},
		drawings: { "fleet.svg": drawFleet(zones) },
	};
}
