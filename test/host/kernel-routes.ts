import { isIn, toNumber } from "./ip-math";
import type { KernelLink } from "./kernel-types";

export const tables = { default: 253, main: 254, local: 255 };

export interface KernelRoute {
	table: number;
	type: string;
	dst: string;
	dev: string | undefined;
	via: string | undefined;
	metric: number;
	proto: string;
	scope: "global" | "link" | "host";
	src: string | undefined;
}

export type RouteMode = "add" | "append" | "prepend" | "replace";

/** What a deletion names; what it leaves out matches anything. */
export type RouteMatch = {
	[Key in keyof KernelRoute]?: KernelRoute[Key] | undefined;
} & {
	table: number;
	dst: string;
};

export interface Routes {
	/** In the order `ip route show table all` prints them. */
	all(): KernelRoute[];
	insert(mode: RouteMode, route: KernelRoute): string | undefined;
	remove(match: RouteMatch): string | undefined;
	/** The kernel's own routes of an address, appended as fib_magic does. */
	insertOwn(route: KernelRoute): void;
	removeConnected(dev: string, dst: string, src: string): void;
	removeLocal(dev: string, ip: string, type: string): void;
	removeBySource(ip: string): void;
	removeByLink(dev: string, which: "all" | "but-host"): void;
}

/** What the routing tables ask of the rest of the kernel. */
interface Surroundings {
	link(name: string): KernelLink | undefined;
	isLocal(ip: string): boolean;
}

/** All routing tables, after fib_trie.c and fib_semantics.c of Linux 3.10. */
export function createRoutes({ link, isLocal }: Surroundings): Routes {
	let routes: KernelRoute[] = [];
	const sameKey = (a: KernelRoute, b: KernelRoute) =>
		a.table === b.table && a.dst === b.dst && a.metric === b.metric;
	const isSame = (a: KernelRoute, b: KernelRoute) =>
		(["type", "scope", "dev", "via", "src", "proto"] as const).every(
			(key) => a[key] === b[key],
		);

	// 3.10 looks the gateway up in the rules' tables with the link given: main has to reach it.
	function nextHopProblem(route: KernelRoute): string | undefined {
		if (route.src !== undefined && !isLocal(route.src))
			return "Invalid argument";
		if (route.dev === undefined && route.via === undefined) return undefined;
		if (route.via !== undefined) {
			const reaching = reachingRoute(route.via, route.dev);
			if (!reaching) return "Network is unreachable";
			route.dev ??= reaching.dev;
		}
		return link(route.dev ?? "")?.up ? undefined : "Network is down";
	}

	function reachingRoute(
		via: string,
		dev: string | undefined,
	): KernelRoute | undefined {
		return routes
			.filter(
				(one) =>
					one.table === tables.main &&
					one.scope === "link" &&
					isIn(via, one.dst),
			)
			.find((one) => dev === undefined || one.dev === dev);
	}

	function place(route: KernelRoute, isLast: boolean): void {
		const at = isLast
			? routes.map((one) => sameKey(one, route)).lastIndexOf(true) + 1
			: routes.findIndex((one) => sameKey(one, route));
		if (at > 0 || (at === 0 && !isLast)) routes.splice(at, 0, route);
		else routes.push(route);
	}

	function take(matches: (route: KernelRoute) => boolean): void {
		const at = routes.findIndex(matches);
		if (at >= 0) routes.splice(at, 1);
	}

	return {
		all: () => [...routes].sort(inPrintedOrder),
		insert: (mode, route) => {
			const problem = nextHopProblem(route);
			if (problem) return problem;
			const group = routes.filter((one) => sameKey(one, route));
			const match = group.find((one) => isSame(one, route));
			const [first] = group;
			if (first && mode === "add") return "File exists";
			if (first && mode === "replace") {
				if (match) return match === first ? undefined : "File exists";
				routes[routes.indexOf(first)] = route;
				return undefined;
			}
			if (match) return "File exists";
			place(route, mode === "append");
			return undefined;
		},
		remove: (match) => {
			const keys = (Object.keys(match) as (keyof RouteMatch)[]).filter(
				(key) => match[key] !== undefined,
			);
			// Aliases of a prefix are tried in the order of their metrics.
			const found = [...routes]
				.sort((a, b) => a.metric - b.metric)
				.find((route) =>
					keys.every(
						(key) =>
							(key === "metric" && match.metric === 0) ||
							route[key] === match[key],
					),
				);
			if (!found) return "No such process";
			routes.splice(routes.indexOf(found), 1);
			return undefined;
		},
		insertOwn: (route) => {
			if (!routes.some((one) => sameKey(one, route) && isSame(one, route)))
				place(route, true);
		},
		removeConnected: (dev, dst, src) => {
			for (const table of [tables.main, tables.local])
				take(
					(one) =>
						one.table === table &&
						one.dst === dst &&
						one.dev === dev &&
						one.src === src &&
						one.proto === "kernel",
				);
		},
		removeLocal: (dev, ip, type) =>
			take(
				(one) =>
					one.table === tables.local &&
					one.dst === `${ip}/32` &&
					one.type === type &&
					one.dev === dev,
			),
		removeBySource: (ip) => {
			routes = routes.filter((one) => one.src !== ip);
		},
		removeByLink: (dev, which) => {
			routes = routes.filter(
				(one) =>
					one.dev !== dev || (which === "but-host" && one.scope === "host"),
			);
		},
	};
}

// Tables by their hash bucket, prefixes by number and the longer first, then metrics; the rest as inserted.
function inPrintedOrder(a: KernelRoute, b: KernelRoute): number {
	const [ipA = "", prefixA] = a.dst.split("/");
	const [ipB = "", prefixB] = b.dst.split("/");
	return (
		(a.table & 255) - (b.table & 255) ||
		a.table - b.table ||
		toNumber(ipA) - toNumber(ipB) ||
		Number(prefixB) - Number(prefixA) ||
		a.metric - b.metric
	);
}
