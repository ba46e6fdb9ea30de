import { shortCidr } from "./ip-math";
import { type KernelRoute, tables } from "./kernel-routes";
import type {
	Kernel,
	KernelAddress,
	KernelLink,
	KernelRule,
} from "./kernel-types";
import { lookUpRoute, sourceOf } from "./route-lookup";

/** Text as iproute2 3.10 prints it with -o; fixtures/iproute2 holds the real thing. */

/** `ip -o addr show`. */
export function showAddresses(
	links: KernelLink[],
	family: "all" | 4 = "all",
): string {
	return links
		.flatMap((link) => [
			...link.addresses.map((address) => addressLine(link, address)),
			...(family === 4 ? [] : sixth(link)),
		])
		.join("");
}

function addressLine(
	link: KernelLink,
	{ ip, prefix, broadcast, scope, secondary, dynamic, label }: KernelAddress,
): string {
	const remarks = `${secondary ? " secondary" : ""}${dynamic ? " dynamic" : ""}`;
	const lifetime = dynamic ? "2995sec" : "forever";
	return `${link.ifindex}: ${link.name}    inet ${ip}/${prefix}${broadcast ? ` brd ${broadcast}` : ""} scope ${scope}${remarks} ${label}\\       valid_lft ${lifetime} preferred_lft ${lifetime}\n`;
}

/** The kernel gives a link that is up its IPv6 addresses unasked: the eight groups of the one it has here. */
export function inet6Of({
	up,
	type,
	mac,
}: KernelLink):
	| { groups: string[]; prefix: number; scope: "host" | "link" }
	| undefined {
	if (!up) return undefined;
	const zeros = (count: number) => Array<string>(count).fill("0");
	if (type === 772)
		return { groups: [...zeros(7), "1"], prefix: 128, scope: "host" };
	const octets = mac.split(":").map((octet) => Number.parseInt(octet, 16));
	const [first = 0, second, third, ...rest] = octets;
	const all = [first ^ 2, second, third, 0xff, 0xfe, ...rest];
	const hex = all.map((octet) => (octet ?? 0).toString(16).padStart(2, "0"));
	const low = [0, 2, 4, 6].map((at) =>
		Number.parseInt(`${hex[at]}${hex[at + 1]}`, 16).toString(16),
	);
	return { groups: ["fe80", ...zeros(3), ...low], prefix: 64, scope: "link" };
}

function sixth(link: KernelLink): string[] {
	const found = inet6Of(link);
	if (!found) return [];
	const { groups, prefix, scope } = found;
	const text = groups.join(":").replace(/(^|:)(0:)+0?/, "::");
	return [
		`${link.ifindex}: ${link.name}    inet6 ${text}/${prefix} scope ${scope} \\       valid_lft forever preferred_lft forever\n`,
	];
}

/** `ip -o -4 rule show`. */
export function showRules(rules: KernelRule[]): string {
	return rules
		.map(
			(rule) =>
				`${rule.priority}:\tfrom ${selector(rule.from)}${rule.to === undefined ? "" : ` to ${shortCidr(rule.to)}`}${rule.iif === undefined ? "" : ` iif ${rule.iif}`} lookup ${tableName(rule.table)} \n`,
		)
		.join("");
}

function selector(cidr: string): string {
	return cidr === "0.0.0.0/0" ? "all" : shortCidr(cidr);
}

function tableName(table: number): string {
	return (
		Object.entries(tables).find(([, number]) => number === table)?.[0] ??
		String(table)
	);
}

/** `ip -o -4 route show table all`. */
export function showRoutes(routes: KernelRoute[]): string {
	return routes.map((route) => `${routeWords(route)}\n`).join("");
}

function routeWords({
	type,
	dst,
	via,
	dev,
	table,
	proto,
	scope,
	src,
	metric,
}: KernelRoute): string {
	return [
		type === "unicast" ? "" : `${type} `,
		`${shortCidr(dst)} `,
		via === undefined ? "" : `via ${via} `,
		dev === undefined ? "" : `dev ${dev} `,
		table === tables.main ? "" : ` table ${tableName(table)} `,
		proto === "boot" ? "" : ` proto ${proto} `,
		scope === "global" ? "" : ` scope ${scope} `,
		src === undefined ? "" : ` src ${src} `,
		metric === 0 ? "" : ` metric ${metric} `,
	].join("");
}

/** `ip -o -4 route get TO`; undefined where the kernel has no route. */
export function showRouteGet(
	kernel: Kernel,
	to: string,
	from: string | undefined,
): string | undefined {
	const route = lookUpRoute(kernel, { to, from });
	if (!route) return undefined;
	const isLocal = route.type === "local";
	const source =
		from === undefined ? `  src ${sourceOf(kernel, route) ?? "0.0.0.0"}` : "";
	const start = `${isLocal ? "local " : ""}${to}${from === undefined ? "" : ` from ${from}`}`;
	return `${start}${route.via === undefined ? "" : ` via ${route.via}`} dev ${isLocal ? "lo" : route.dev}${source} \\    cache ${isLocal ? "<local> " : ""}\n`;
}
