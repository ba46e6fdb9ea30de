import { isIpv4, parseCidr } from "./ipv4.js";
import { quote } from "./quote.js";

/**
 * What a rendered file may hold, whoever wrote the template. ifcfg files are sourced by root's
 * shell, and CentOS 7's init script evals every line that holds one of these, comments included.
 */
const evaluated =
	/(DEVICE|TYPE|SLAVE|NM_CONTROLLED|ONBOOT|BRIDGE|MASTER|HWADDR)=/;
const assignment = /^([A-Z][A-Z0-9_]*)="([A-Za-z0-9 .:,/_@%+-]*)"$/;
// Variables by which a sourced file could change what root's shell runs.
const forbidden =
	/^(PATH|IFS|ENV|BASH.*|LD_.*|SHELL.*|PS[0-9]|PROMPT_COMMAND|HOME|CDPATH|GLOBIGNORE)$/;

/** The first problem in an ifcfg text as `line N: what`, or undefined. Every key of `must` has to be there with its value. */
export function ifcfgProblem(
	text: string,
	must: Record<string, string>,
): string | undefined {
	const values = readIfcfg(text);
	return typeof values === "string" ? values : missingValue(values, must);
}

/** The first value that is not as it must be, as a problem. */
export function missingValue(
	values: Record<string, string>,
	must: Record<string, string>,
): string | undefined {
	const missing = Object.keys(must).find((key) => values[key] !== must[key]);
	return missing ? `${missing}="${must[missing]}" is missing` : undefined;
}

/** The values in an ifcfg text by key, or the first problem in it. */
export function readIfcfg(text: string): Record<string, string> | string {
	const seen: Record<string, string> = {};
	const problem = firstProblem(text, (line) => {
		const match = assignment.exec(line);
		if (!match?.[1])
			return `${quote(line)} is not KEY="value" with a plain value`;
		if (forbidden.test(match[1]))
			return `${match[1]} may not be set in a file that root's shell reads`;
		if (seen[match[1]] !== undefined) return `${match[1]} is set twice`;
		seen[match[1]] = match[2] ?? "";
		return undefined;
	});
	return problem ?? seen;
}

/** The first problem in a route text: each line is words for `ip -4 route add`, on this link. */
export function routeProblem(text: string, link: string): string | undefined {
	return firstProblem(text, (line) => {
		const words = line.split(" ");
		const type =
			words[0] === "throw" ||
			words[0] === "blackhole" ||
			words[0] === "unreachable"
				? words.shift()
				: undefined;
		const dst = words.shift() ?? "";
		if (dst !== "default" && !parseCidr(dst))
			return `${quote(line)} does not begin with a prefix or \`default\``;
		const pairs = pairsOf(words);
		if (!pairs) return `${quote(line)} is not words for \`ip route add\``;
		if (!type && pairs.dev !== link)
			return `${quote(line)} lacks \`dev ${link}\``;
		if (dst === "default" && !pairs.table)
			return `${quote(line)} lacks \`table\`: main's default route stays on the primary`;
		return pairProblem(line, pairs, [
			"dev",
			"via",
			"table",
			"src",
			"metric",
			"mtu",
			"scope",
			"proto",
		]);
	});
}

/** The first problem in a rule text: each line is words for `ip -4 rule add`, with an explicit priority. */
export function ruleProblem(text: string): string | undefined {
	return firstProblem(text, (line) => {
		const pairs = pairsOf(line.split(" "));
		if (!pairs) return `${quote(line)} is not words for \`ip rule add\``;
		if (!pairs.priority || !pairs.table)
			return `${quote(line)} needs a numeric table and priority`;
		if (!parseCidr(pairs.from ?? "") && !parseCidr(pairs.to ?? ""))
			return `${quote(line)} names no address`;
		return pairProblem(line, pairs, ["from", "to", "table", "priority"]);
	});
}

/** The first problem in a block of sysctl.conf lines. */
export function sysctlProblem(text: string): string | undefined {
	return firstProblem(text, (line) =>
		/^net\.ipv4\.conf\.[A-Za-z0-9_.-]+ = [0-9]+$/.test(line)
			? undefined
			: `${quote(line)} is not \`net.ipv4.conf.NAME.KEY = NUMBER\``,
	);
}

function firstProblem(
	text: string,
	check: (line: string) => string | undefined,
): string | undefined {
	if (text.length > 64 * 1024) return "it is larger than 64 KiB";
	if (!/^[\x20-\x7e\n]*$/.test(text))
		return "it holds bytes other than printable ASCII";
	for (const [index, line] of text.split("\n").entries()) {
		if (line === "") continue;
		const problem = line.startsWith("#")
			? evaluated.test(line) || line.includes("ADDRESS")
				? `${quote(line)}: such a comment would be evaluated by network-scripts`
				: undefined
			: check(line);
		if (problem) return `line ${index + 1}: ${problem}`;
	}
	return text.endsWith("\n") || text === ""
		? undefined
		: "its last line has no newline";
}

function pairsOf(words: string[]): Record<string, string> | undefined {
	const pairs: Record<string, string> = {};
	for (let at = 0; at < words.length; at += 2) {
		const [key, value] = [words[at], words[at + 1]];
		if (!key || !value || pairs[key] !== undefined) return undefined;
		pairs[key] = value;
	}
	return pairs;
}

function pairProblem(
	line: string,
	pairs: Record<string, string>,
	known: string[],
): string | undefined {
	const isFine: Record<string, (value: string) => boolean> = {
		from: (value) => parseCidr(value) !== undefined,
		to: (value) => parseCidr(value) !== undefined,
		via: isIpv4,
		src: isIpv4,
		dev: (value) => /^[A-Za-z0-9_.-]{1,15}$/.test(value),
		scope: (value) => ["link", "host", "global"].includes(value),
		proto: (value) => /^[a-z0-9]+$/.test(value),
	};
	const wrong = Object.entries(pairs).find(
		([key, value]) =>
			!known.includes(key) ||
			!(isFine[key] ?? ((text) => /^\d{1,9}$/.test(text)))(value),
	);
	return wrong
		? `${quote(line)}: \`${wrong.join(" ")}\` is not understood`
		: undefined;
}
