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

// The kernel gives a link that is up its IPv6 addresses unasked.
function sixth({ ifindex, name, up, type, mac }: KernelLink): string[] {
	if (!up) return [];
	const octets = mac.split(":").map((octet) => Number.parseInt(octet, 16));
	const hex = [
		(octets[0] ?? 0) ^ 2,
		octets[1],
		octets[2],
		0xff,
		0xfe,
		octets[3],
		octets[4],
		octets[5],
	].map((octet) => (octet ?? 0).toString(16).padStart(2, "0"));
	const [address, scope] =
		type === 772
			? ["::1/128", "host"]
			: [`fe80::${hex.join("").replace(/(.{4})(?=.)/g, "$1:")}/64`, "link"];
	return [
		`${ifindex}: ${name}    inet6 ${address} scope ${scope} \\       valid_lft forever preferred_lft forever\n`,
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
