import { isIpv4, parseCidr, subnetOf } from "../ipv4.js";
import type { LinkAddress, Route, Rule } from "../model.js";

/** Numbers of the tables the kernel and iproute2 name themselves. */
export const builtinTables: Record<string, number> = {
	local: 255,
	main: 254,
	default: 253,
};

// A NIC's name may be any bytes but white space, `/` and `:`: a backslash, a word of ip's own
// (`table`), or what only JavaScript takes for white space (U+2003). So words end at blanks and
// tabs, and what follows a key is its value, whatever it looks like.
const addressLine =
	/^\d+:[ \t]+([^ \t]+)[ \t]+inet[ \t]+([^ \t]+)([ \t][^\n]*)?$/;

/**
 * Takes apart what `ip -o -4 -batch` shows of addresses, rules and routes, in this order: a blank follows a link's
 * number, a tab a rule's priority, and no route begins with either (print_addrinfo() and print_rule() of iproute2).
 */
export function divideShown(shown: string): {
	addresses: string;
	rules: string;
	routes: string;
} {
	// Not ^ with the flag m: a name may hold what JavaScript takes for the end of a line (U+2028).
	const ruleAt = /(?<![^\n])(?!\d+: )/.exec(shown)?.index ?? shown.length;
	const rest = shown.slice(ruleAt);
	const routeAt = /(?<![^\n])(?!\d+:\t)/.exec(rest)?.index ?? rest.length;
	return {
		addresses: shown.slice(0, ruleAt),
		rules: rest.slice(0, routeAt),
		routes: rest.slice(routeAt),
	};
}

/**
 * IPv4 addresses by link name, from `ip -o -4 addr show`. iproute2 3.10 has no `-j`, so text it is;
 * lines that describe none (links, IPv6) are passed over.
 */
export function parseAddresses(text: string): Record<string, LinkAddress[]> {
	const byLink: Record<string, LinkAddress[]> = Object.create(null);
	for (const line of text.split("\n")) {
		const match = addressLine.exec(line);
		if (!match) continue;
		const [, name = "", address = "", rest = ""] = match;
		const words = splitWords(rest.split(/\\[ \t]+valid_lft/)[0] ?? "");
		// Behind the flags stands the label: the link's name, or it with a colon and more.
		const isLabelled = words.at(-1)?.split(":")[0] === name;
		const label = isLabelled ? words.pop() : undefined;
		const peer = wordAfter(words, "peer");
		const [ip, ownPrefix] = address.split("/") as [string, string?];
		const prefix = ownPrefix ?? peer?.split("/")[1];
		const scope = wordAfter(words, "scope") ?? "global";
		byLink[name] ??= [];
		byLink[name].push({
			ip,
			prefix: Number(prefix ?? 32),
			family: 4,
			scope,
			dynamic: words.includes("dynamic"),
			...(label === undefined ? {} : { label }),
			...(peer === undefined ? {} : { peer }),
			...(words.includes("brd")
				? { broadcast: wordAfter(words, "brd") as string }
				: {}),
		});
	}
	return byLink;
}

// IFA_F_PERMANENT, and the scopes that `ip` has a word for (ipv6_addr_scope() of Linux).
const permanent = 0x80;
const scopes: Record<number, string> = { 0: "global", 16: "host", 32: "link" };

/** IPv6 addresses by ifindex, from /proc/net/if_inet6: address, then ifindex, prefix, scope and flags in hex, and a name. */
export function parseIfInet6(text: string): Record<number, LinkAddress[]> {
	const byIndex: Record<number, LinkAddress[]> = {};
	for (const line of text.split("\n")) {
		const [address = "", ...words] = splitWords(line);
		if (!/^[0-9a-f]{32}$/.test(address) || words.length < 5) continue;
		const [index = 0, prefix = 0, scope = 0, flags = 0] = words.map((word) =>
			Number.parseInt(word, 16),
		);
		byIndex[index] ??= [];
		byIndex[index].push({
			ip: inet6Text(address),
			prefix,
			family: 6,
			scope: scopes[scope] ?? "site",
			dynamic: (flags & permanent) === 0,
		});
	}
	return byIndex;
}

// The shortest form, as `ip` prints it: of runs of zeros the first longest one becomes `::`.
function inet6Text(hex: string): string {
	const groups = (hex.match(/.{4}/g) ?? []).map((group) =>
		Number.parseInt(group, 16).toString(16),
	);
	const whole = groups.join(":");
	const runs = [...whole.matchAll(/\b0(?::0)+\b/g)].map(([run]) => run);
	const longest = runs.sort((a, b) => b.length - a.length)[0];
	if (longest === undefined) return whole;
	return whole.replace(new RegExp(`(^|:)${longest}(:|$)`), "::");
}

// As the agent's own look, of which there can be thousands.
const plainRule = /^(\d+):[ \t]+from (\d+\.\d+\.\d+\.\d+) lookup (\d+)[ \t]*$/;

function parsePlainRule(line: string): Rule | undefined {
	const [, priority = "", from = "", table = ""] = plainRule.exec(line) ?? [];
	if (!isIpv4(from)) return undefined;
	return {
		priority: Number(priority),
		from: `${from}/32`,
		to: undefined,
		table: Number(table),
		words: ["from", from, "lookup", table, "priority", priority],
	};
}

/** Policy rules from `ip -o -4 rule show`, in the kernel's order; duplicates stay duplicates. */
export function parseRules(
	text: string,
	tables: Record<string, number> = builtinTables,
): Rule[] {
	const rules: Rule[] = [];
	for (const line of text.split("\n")) {
		const plain = parsePlainRule(line);
		if (plain) {
			rules.push(plain);
			continue;
		}
		const match = /^(\d+):[ \t]+([^\n]*)$/.exec(line);
		if (!match) continue;
		const priority = Number(match[1]);
		// [detached] and [unresolved] are remarks, not words that `ip rule add` takes.
		const words = readWords(match[2] ?? "").filter(
			({ text, isValue }) => isValue || !text.startsWith("["),
		);
		const from = valueAfter(words, "from") ?? "all";
		const to = valueAfter(words, "to");
		const lookup = valueAfter(words, "lookup");
		rules.push({
			priority,
			from: hostCidr(from),
			to: to === undefined ? undefined : hostCidr(to),
			table: lookup === undefined ? undefined : tableNumber(lookup, tables),
			words: [...words.map(textOf), "priority", String(priority)],
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
		const words = readWords(line).filter(
			({ text, isValue }) => isValue || !routeRemarks.has(text),
		);
		const type =
			words[0] !== undefined && routeTypes.has(words[0].text)
				? words.shift()?.text
				: "unicast";
		const dst = words.shift()?.text;
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
			devs: words.flatMap(({ text, isValue }, at) =>
				isValue && words[at - 1]?.text === "dev" ? [text] : [],
			),
			via: valueAfter(words, "via"),
			metric: Number(valueAfter(words, "metric") ?? 0),
			proto: valueAfter(words, "proto"),
			src: valueAfter(words, "src"),
			words: [
				...(type === "unicast" ? [] : [type]),
				dst,
				...words.map(textOf),
				...(table === 254 ? [] : ["table", String(table)]),
			],
		});
	}
	return routes;
}

/** The link that `ip -o -4 route get` says the kernel would use; undefined when it has no route. */
export function parseRouteGet(text: string): string | undefined {
	return valueAfter(readWords(text.split("\n")[0] ?? ""), "dev");
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
		const [address, , flags, , , device] = splitWords(line);
		return address === ip && device === link && (Number(flags) & 2) !== 0;
	});
}

function splitWords(text: string): string[] {
	return text.split(/[ \t]+/).filter((word) => word !== "");
}

function wordAfter(words: string[], key: string): string | undefined {
	const at = words.indexOf(key);
	return at < 0 ? undefined : words[at + 1];
}

interface Word {
	text: string;
	/** A name behind its key, whatever it looks like. */
	isValue: boolean;
}

const namedBy = new Set(["dev", "iif", "oif", "table", "lookup", "proto"]);

// With -o the next hops of a multipath route follow behind backslashes; in a name one is a character.
function readWords(line: string): Word[] {
	const words: Word[] = [];
	for (const text of splitWords(line)) {
		const last = words.at(-1);
		if (last && !last.isValue && namedBy.has(last.text))
			words.push({ text, isValue: true });
		else {
			const parts = text.split("\\").filter((part) => part !== "");
			words.push(...parts.map((part) => ({ text: part, isValue: false })));
		}
	}
	return words;
}

function textOf({ text }: Word): string {
	return text;
}

function keyIn(words: Word[], key: string): number {
	return words.findIndex(({ text, isValue }) => !isValue && text === key);
}

function valueAfter(words: Word[], key: string): string | undefined {
	const at = keyIn(words, key);
	return at < 0 ? undefined : words[at + 1]?.text;
}

function takePair(words: Word[], key: string): string | undefined {
	const at = keyIn(words, key);
	return at < 0 ? undefined : words.splice(at, 2)[1]?.text;
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
