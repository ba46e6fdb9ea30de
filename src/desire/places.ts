import type { KernelState, Link, Route, Rule } from "../model.js";

/** Where addresses are met in the kernel, by address or prefix: with hundreds of them nothing is looked for twice. */
export interface Places {
	links: Map<string, Link[]>;
	/** Unicast routes by the prefix they lead to. */
	routes: Map<string, Route[]>;
	/** Routes by the gateway that they go by. */
	gateways: Map<string, Route[]>;
	/** Rules by each prefix that they name. */
	rules: Map<string, Rule[]>;
}

export function placesOf({ links, routes, rules }: KernelState): Places {
	return {
		links: groupBy(links, ({ addresses }) => addresses.map(({ ip }) => ip)),
		routes: groupBy(routes, ({ type, dst }) =>
			type === "unicast" ? [dst] : [],
		),
		gateways: groupBy(routes, ({ via }) => (via === undefined ? [] : [via])),
		rules: groupBy(rules, ({ from, to }) =>
			to === undefined || to === from ? [from] : [from, to],
		),
	};
}

function groupBy<T>(
	items: T[],
	keysOf: (item: T) => string[],
): Map<string, T[]> {
	const groups = new Map<string, T[]>();
	for (const item of items)
		for (const key of keysOf(item)) {
			const group = groups.get(key);
			if (group === undefined) groups.set(key, [item]);
			else if (group.at(-1) !== item) group.push(item);
		}
	return groups;
}
