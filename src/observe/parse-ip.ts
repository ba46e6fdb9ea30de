import { isIpv4, parseCidr, subnetOf } from "../ipv4.js";
import type { LinkAddress, Route, Rule } from "../model.js";

/** Numbers of the tables the kernel and iproute2 name themselves. */
export const builtinTables: Record<string, number> = {
	local: 255,
	main: 254,
	default: 253,
};

/**
 * Addresses by link name, from `ip -o addr show`. iproute2 3.10 has no `-j`, so text it is;
 * lines that describe no IPv4 or IPv6 address (3.10 prints the links in between) are passed over.
 */
export function parseAddresses(text: string): Record<string, LinkAddress[]> {
	const byLink: Record<string, LinkAddress[]> = Object.create(null);
	for (const line of text.split("\n")) {
		const words = line.split("\\")[0]?.trim().split(/\s+/) ?? [];
		const [index, name, family, address] = words;
		if (!index?.endsWith(":") || !name || !address) continue;
		if (family !== "inet" && family !== "inet6") continue;
		const peer = wordAfter(words, "peer");
		const [ip, ownPrefix] = address.split("/") as [string, string?];
		const prefix = ownPrefix ?? peer?.split("/")[1];
		const scope = wordAfter(words, "scope") ?? "global";
		const label = words.at(-1);
		byLink[name] ??= [];
		byLink[name].push({
			ip,
			prefix: Number(prefix ?? (family === "inet" ? 32 : 128)),
			family: family === "inet" ? 4 : 6,
			scope,
			dynamic: words.includes("dynamic"),
			...(family === "inet" && label?.split(":")[0] === name ? { label } : {}),
			...(peer === undefined ? {} : { peer }),
			...(words.includes("brd")
				? { broadcast: wordAfter(words, "brd") as string }
				: {}),
		});
	}
	return byLink;
}

/** Policy rules from `ip -o -4 rule show`, in the kernel's order; duplicates stay duplicates. */
export function parseRules(
	text: string,
	tables: Record<string, number> = builtinTables,
): Rule[] {
	const rules: Rule[] = [];
	for (const line of text.split("\n")) {
		const match = /^(\d+):\s+(.*)$/.exec(line.split("\\")[0]?.trim() ?? "");
		if (!match) continue;
		const priority = Number(match[1]);
		// [detached] and [unresolved] are remarks, not words that `ip rule add` takes.
		const words = (match[2] ?? "")
			.split(/\s+/)
			.filter((word) => !word.startsWith("["));
		const from = wordAfter(words, "from") ?? "all";
		const to = wordAfter(words, "to");
		const lookup = wordAfter(words, "lookup");
		rules.push({
			priority,
			from: hostCidr(from),
			to: to === undefined ? undefined : hostCidr(to),
			table: lookup === undefined ? undefined : tableNumber(lookup, tables),
			words: [...words, "priority", String(priority)],
		});
	}
	return rules;
}

const routeTypes = new Set([
	"unicast",
	"local",
	"broadcast",
	"anycast",
	"multicast",
	"throw",
	"unreachable",
	"prohibit",
	"blackhole",
	"nat",
]);
// What the kernel reports about a route but `ip route add` does not take.
const routeRemarks = new Set([
	"linkdown",
	"dead",
	"pervasive",
	"offload",
	"trap",
	"rt_offload",
	"rt_trap",
	"notify",
	"unresolved",
]);

/** Routes of all tables from `ip -o -4 route show table all`, in the kernel's order. */
export function parseRoutes(
	text: string,
	tables: Record<string, number> = builtinTables,
): Route[] {
	const routes: Route[] = [];
	for (const line of text.split("\n")) {
		// With -o the next hops of a multipath route follow behind backslashes.
		const words = line
			.split(/[\s\\]+/)
			.filter((word) => word !== "" && !routeRemarks.has(word));
		const type =
			words[0] !== undefined && routeTypes.has(words[0])
				? words.shift()
				: "unicast";
		const dst = words.shift();
		if (type === undefined || dst === undefined) continue;
		const tableName = takePair(words, "table");
		takePair(words, "error");
		const table =
			tableName === undefined ? 254 : tableNumber(tableName, tables);
		if (table === undefined) continue;
		routes.push({
			table,
			type,
			dst: dst === "default" ? "0.0.0.0/0" : hostCidr(dst),
			devs: words.flatMap((word, at) =>
				words[at - 1] === "dev" ? [word] : [],
			),
			via: wordAfter(words, "via"),
			metric: Number(wordAfter(words, "metric") ?? 0),
			proto: wordAfter(words, "proto"),
			src: wordAfter(words, "src"),
			words: [
				...(type === "unicast" ? [] : [type]),
				dst,
				...words,
				...(table === 254 ? [] : ["table", String(table)]),
			],
		});
	}
	return routes;
}

/** The link that `ip -o -4 route get` says the kernel would use; undefined when it has no route. */
export function parseRouteGet(text: string): string | undefined {
	return wordAfter(text.split("\n")[0]?.split(/\s+/) ?? [], "dev");
}

/** Name to number from the text of an rt_tables file; lines it cannot read are passed over. */
export function parseTableNames(text: string): Record<string, number> {
	const names: Record<string, number> = {};
	for (const line of text.split("\n")) {
		const match = /^\s*(0x[0-9a-fA-F]+|\d+)\s+([^\s#]+)/.exec(line);
		if (match?.[1] && match[2]) names[match[2]] = Number(match[1]);
	}
	return names;
}

/** Whether /proc/net/arp holds a resolved entry (ATF_COM, 0x2) for ip on the link. */
export function isResolved(arp: string, ip: string, link: string): boolean {
	return arp.split("\n").some((line) => {
		const [address, , flags, , , device] = line.split(/\s+/);
		return address === ip && device === link && (Number(flags) & 2) !== 0;
	});
}

function wordAfter(words: string[], key: string): string | undefined {
	const at = words.indexOf(key);
	return at < 0 ? undefined : words[at + 1];
}

function takePair(words: string[], key: string): string | undefined {
	const at = words.indexOf(key);
	return at < 0 ? undefined : words.splice(at, 2)[1];
}

function tableNumber(
	name: string,
	tables: Record<string, number>,
): number | undefined {
	if (/^\d+$/.test(name)) return Number(name);
	const known = [tables, builtinTables].find((one) => Object.hasOwn(one, name));
	return known?.[name];
}

// `ip` prints a /32 without its prefix, and old versions shorten 10.0.0.0/8 to 10/8.
function hostCidr(text: string): string {
	if (isIpv4(text)) return `${text}/32`;
	const [network = "", prefix] = text.split("/");
	if (prefix === undefined || !/^[0-9.]+$/.test(network)) return text;
	const octets = network.split(".");
	while (octets.length < 4) octets.push("0");
	const cidr = parseCidr(`${octets.join(".")}/${prefix}`);
	return cidr ? subnetOf(cidr.ip, cidr.prefix) : text;
}
