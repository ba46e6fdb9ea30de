import type { Link, Managed, Observed } from "../model.js";
import { notCandidate } from "./candidate.js";
import { isOurRule } from "./managed.js";

const tableBase = 1000;
const metricBase = 2000;

/**
 * The number N of an ENI: its table and rule priority are 1000+N. Remembered per MAC, so that a
 * new NIC never renumbers the old ones; else the link's own number, else the lowest that is free.
 * A table or priority somebody else uses is skipped.
 */
export function chooseTable(
	link: Link,
	observed: Observed,
	recorded: Managed[],
	taken: number[],
): number {
	const remembered =
		observed.state.interfaces[link.mac]?.table ??
		recorded.find((managed) => managed.mac === link.mac)?.table;
	const isFree = (table: number) =>
		!taken.includes(table) &&
		!observed.namedTables.includes(table) &&
		!otherOwners(link, observed, recorded).includes(table) &&
		!observed.rules.some(
			(rule) =>
				(rule.priority === table || rule.table === table) &&
				!isOurRule(rule, recorded),
		) &&
		!observed.routes.some(
			(route) =>
				route.table === table &&
				!recorded.some((managed) => managed.table === table),
		);
	// While it stands it is kept; after a removal somebody else may have taken it.
	const isStanding = recorded.some(({ mac }) => mac === link.mac);
	if (
		remembered !== undefined &&
		!taken.includes(remembered) &&
		(isStanding || isFree(remembered))
	) {
		return remembered;
	}
	const own = Number(/[0-9]+$/.exec(link.name)?.[0] ?? 0);
	// A link's number is at most 9 digits long; beyond 999 it would leave the agent's range of names.
	if (own > 0 && own < 1000 && isFree(tableBase + own)) return tableBase + own;
	let table = tableBase + 1;
	while (!isFree(table)) table += 1;
	return table;
}

function otherOwners(
	link: Link,
	observed: Observed,
	recorded: Managed[],
): number[] {
	const remembered = Object.entries(observed.state.interfaces).map(
		([mac, entry]) => ({ mac, table: entry.table }),
	);
	return [...remembered, ...recorded].flatMap(({ mac, table }) =>
		mac !== link.mac && table !== undefined ? [table] : [],
	);
}

/** The metric of a demoted subnet route: 2000+N where the table is 1000+N. */
export function demotedMetric(table: number): number {
	return metricBase + table - tableBase;
}

/**
 * Prefixes that main routes over links which are not NICs (docker0, br-*, tun). Without a `throw`
 * for them, a process bound to an ENI's address would send container traffic to the gateway. A NIC
 * that the user excluded is a NIC all the same. Halves of the whole address space (a VPN's 0.0.0.0/1)
 * are default routes in disguise, and what a NIC reaches as well needs no detour: left out; so is the
 * route of a NIC that went between the look at the routes and the look at the links.
 */
export function throwPrefixes(observed: Observed, subnet: string): string[] {
	const none = { names: [], macs: [], drivers: [] };
	const isThere = (name: string) =>
		observed.links.some((link) => link.name === name);
	const isNic = (name: string) =>
		observed.links.some(
			(link) => link.name === name && notCandidate(link, none) === undefined,
		);
	const routes = observed.routes.filter(
		(route) =>
			route.table === 254 && route.type === "unicast" && route.devs.length > 0,
	);
	const byNic = routes
		.filter((route) => route.devs.some(isNic))
		.map((route) => route.dst);
	const prefixes = routes
		.filter(({ devs }) => devs.every(isThere) && !devs.some(isNic))
		.map((route) => route.dst)
		.filter((dst) => Number(dst.split("/")[1]) > 1)
		.filter((dst) => dst !== subnet && !byNic.includes(dst));
	return [...new Set(prefixes)].sort();
}
