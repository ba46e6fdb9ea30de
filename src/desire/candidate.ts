import type { Link, Observed, Route, Settings } from "../model.js";

/** Link names that are never candidates: what containers, VMs and other tools make. */
export const defaultExcludedNames =
	"veth* docker* br-* cali* cni* flannel* virbr* tap* vnet* lxc* dummy* ifb* macvlan* bond* team*".split(
		" ",
	);

/** Whether a whole name matches a glob with `*` and `?`; no regular expression, which many `*` would keep busy for ever. */
export function matchesGlob(name: string, glob: string): boolean {
	if (name.includes("\n")) return false;
	let [at, place] = [0, 0];
	// Where the last `*` stands, and how much of the name it has taken.
	let [star, taken] = [-1, 0];
	while (at < name.length) {
		if (glob[place] === "*") {
			star = place;
			taken = at;
			place += 1;
		} else if (glob[place] === "?" || glob[place] === name[at]) {
			at += 1;
			place += 1;
		} else if (star >= 0) {
			taken += 1;
			at = taken;
			place = star + 1;
		} else return false;
	}
	while (glob[place] === "*") place += 1;
	return place === glob.length;
}

const routeWords = ["dev", "via", "table", "metric", "src", "proto", "scope"];

/**
 * Whether a NIC of this name can be configured: the name goes into file names, shell-read files and
 * sysctl keys. `conf/all` and `conf/default` are not a NIC's, and CentOS 7's network service takes
 * ifcfg-NAME-range for a range of aliases of NAME. Words of `ip route` could be misread as such.
 */
export function isNicName(name: string): boolean {
	return (
		/^[A-Za-z][A-Za-z0-9_-]{0,14}$/.test(name) &&
		!/-range/.test(name) &&
		!["all", "default", "lo", ...routeWords].includes(name)
	);
}

/** Why a link cannot be an ENI, or undefined for a candidate: an Ethernet NIC that stands for itself. */
export function notCandidate(
	link: Link,
	exclude: Settings["exclude"],
): string | undefined {
	if (link.type === 772) return "is the loopback";
	if (!isNicName(link.name))
		return "has a name that network-scripts cannot take";
	if (link.devtype) return `is a ${link.devtype}, not a NIC`;
	if (link.master) return `is a port of ${link.master}`;
	if (link.lowers.length > 0)
		return `stands on ${link.lowers.join(", ")}, so it is no NIC of its own`;
	if (link.type !== 1) return `is not Ethernet (ARPHRD type ${link.type})`;
	const glob = [...defaultExcludedNames, ...exclude.names].find((name) =>
		matchesGlob(link.name, name),
	);
	if (glob) return `is excluded by the name pattern ${glob}`;
	if (exclude.macs.includes(link.mac))
		return `is excluded by its MAC ${link.mac}`;
	if (link.driver && exclude.drivers.includes(link.driver))
		return `is excluded by its driver ${link.driver}`;
	return undefined;
}

/** Main's effective default routes: those with the lowest metric. */
export function defaultRoutes(routes: Route[]): Route[] {
	const all = routes.filter(isMainDefault);
	const lowest = Math.min(...all.map((route) => route.metric));
	return all.filter((route) => route.metric === lowest);
}

/** Whether a route is a default route of table main. */
export function isMainDefault(route: Route): boolean {
	return (
		route.table === 254 && route.dst === "0.0.0.0/0" && route.type === "unicast"
	);
}

/** Why a link counts as primary, whatever metadata or flags say; undefined for any other link. */
export function primaryReason(
	link: Link,
	observed: Observed,
): string | undefined {
	if (
		observed.routes.some(
			(route) => isMainDefault(route) && route.devs.includes(link.name),
		)
	) {
		return "carries the machine's default route";
	}
	if (link.dhcp) return "holds a DHCP lease";
	const mac = observed.cloud?.primaryMac ?? observed.state.primary?.mac;
	if (mac !== undefined && mac === link.mac) return "is the primary ENI";
	return undefined;
}

/** The link whose health no run may cost: metadata's primary, else the one with the default route. */
export function findPrimary(observed: Observed): Link | undefined {
	const mac = observed.cloud?.primaryMac ?? observed.state.primary?.mac;
	const dev = defaultRoutes(observed.routes)[0]?.devs[0];
	// A tunnel's default route does not say which NIC is the primary.
	const none = { names: [], macs: [], drivers: [] };
	const isNic = (link: Link) =>
		link.lowers.length > 0 || notCandidate(link, none) === undefined;
	return (
		observed.links.find((link) => mac !== undefined && link.mac === mac) ??
		observed.links.find((link) => link.name === dev && isNic(link))
	);
}
