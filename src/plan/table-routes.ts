import { ipOf } from "../ipv4.js";
import type { Managed, Route } from "../model.js";

/** What `ip route` calls the routes of a spec's table: the subnet, the default, the throws. */
export function tableRoutes(
	spec: Pick<Managed, "name" | "subnet" | "gateway" | "table" | "throws">,
): string[][] {
	if (spec.table === undefined) return [];
	const table = ["table", String(spec.table)];
	return [
		[spec.subnet, "dev", spec.name, ...table],
		["default", "via", spec.gateway, "dev", spec.name, ...table],
		...spec.throws.map((prefix) => ["throw", prefix, ...table]),
	];
}

/** Whether an observed route is the one that words would make. */
export function isSameRoute(route: Route, words: string[]): boolean {
	return sameRouteAs(words)(route);
}

/** The same for many routes. */
export function sameRouteAs(words: string[]): (route: Route) => boolean {
	const value = (key: string) =>
		words.includes(key) ? words[words.indexOf(key) + 1] : undefined;
	const type = words[0] === "throw" ? "throw" : "unicast";
	const prefix = words[type === "throw" ? 1 : 0];
	const dst = prefix === "default" ? "0.0.0.0/0" : prefix;
	const table = Number(value("table") ?? 254);
	const via = value("via");
	const dev = value("dev") ?? "";
	const metric = Number(value("metric") ?? 0);
	return (route) =>
		route.table === table &&
		route.dst === dst &&
		route.type === type &&
		route.via === via &&
		route.metric === metric &&
		route.devs.join() === dev;
}

/** Whether a route is the one the kernel made in main for the subnet of a link's address. */
export function isConnected(
	route: Route,
	spec: Pick<Managed, "name" | "subnet">,
): boolean {
	return (
		route.table === 254 &&
		route.dst === spec.subnet &&
		route.via === undefined &&
		route.devs.join() === spec.name
	);
}

/** The words of that route: the kernel makes it when the primary address is added. */
export function connectedRoute(
	spec: Pick<Managed, "name" | "subnet" | "addresses">,
): string[] {
	const source = ipOf(spec.addresses[0] ?? "");
	const made = ["proto", "kernel", "scope", "link", "src", source];
	return [spec.subnet, "dev", spec.name, ...made];
}
