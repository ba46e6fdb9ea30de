import { ipOf, isIpv4, parseCidr, prefixOfMask, subnetOf } from "../ipv4.js";
import { bodyOf, isOurs } from "../marker.js";
import type {
	InterfaceSpec,
	Managed,
	ObservedFile,
	Rule,
	State,
} from "../model.js";
import { isMac } from "../observe/parse-metadata.js";
import { paths } from "../paths.js";
import { isNicName } from "./candidate.js";

/** KEY=value lines of an ifcfg file, quotes taken off; the last line for a key wins, as in a shell. */
export function parseIfcfg(content: string): Record<string, string> {
	const values: Record<string, string> = {};
	for (const line of content.split("\n")) {
		const match =
			/^\s*([A-Za-z_][A-Za-z0-9_]*)=("([^"]*)"|'([^']*)'|([^\s#]*))/.exec(line);
		if (match?.[1]) values[match[1]] = match[3] ?? match[4] ?? match[5] ?? "";
	}
	return values;
}

/**
 * What is ours: what the state record and our valid files say we put there. A NIC can have two
 * entries (a record and files that differ after a crash); each counts.
 */
export function managedBy(files: ObservedFile[], state: State): Managed[] {
	const recorded = Object.values(state.interfaces).flatMap(
		({ managed, leftover }) => [
			...(managed ? [managed] : []),
			...(leftover ? [{ ...leftover, isLeftover: true }] : []),
		],
	);
	const all = recorded.map((managed) => ({
		...managed,
		files: ownFiles(files, managed.name),
	}));
	for (const file of files) {
		const fromFile = managedByFile(file, files);
		if (fromFile && !all.some((managed) => isSame(managed, fromFile)))
			all.push(fromFile);
	}
	return all;
}

function isSame(a: Managed, b: Managed): boolean {
	const keyOf = ({ name, mac, addresses, table, gateway }: Managed) =>
		JSON.stringify([name, mac, addresses, table, gateway]);
	return keyOf(a) === keyOf(b);
}

function managedByFile(
	file: ObservedFile,
	files: ObservedFile[],
): Managed | undefined {
	const name = file.path.split("/ifcfg-")[1];
	const body = bodyOf(file.content);
	if (name === undefined || body === undefined) return undefined;
	const values = parseIfcfg(body);
	const addresses: string[] = [];
	for (let index = 0; ; index += 1) {
		const suffix = index === 0 ? "" : String(index);
		const ip = values[`IPADDR${suffix}`];
		if (ip === undefined) break;
		const prefix =
			values[`PREFIX${suffix}`] ??
			String(prefixOfMask(values[`NETMASK${suffix}`] ?? "") ?? 32);
		addresses.push(`${ip}/${prefix}`);
	}
	const primary = parseCidr(addresses[0] ?? "");
	const isSound =
		isNicName(name) &&
		addresses.every((cidr) => parseCidr(cidr)) &&
		isIpv4(values.GATEWAY ?? "") &&
		isMac(values.HWADDR ?? "");
	// A valid hash on a file of another name or template: ours, but nothing to go by.
	if (!primary || !isSound || !values.GATEWAY || !values.HWADDR)
		return undefined;
	const rule = files.find(
		(other) => other.path === `${paths.networkScripts}/rule-${name}`,
	);
	const table = /^from \S+ table (\d+)/m.exec(
		rule ? (bodyOf(rule.content) ?? "") : "",
	)?.[1];
	return {
		name,
		mac: values.HWADDR.toLowerCase(),
		addresses,
		subnet: subnetOf(primary.ip, primary.prefix),
		gateway: values.GATEWAY,
		table: table === undefined ? undefined : Number(table),
		throws: [],
		demoteMetric: undefined,
		files: ownFiles(files, name),
	};
}

/** Paths of our valid files for a link name. */
export function ownFiles(files: ObservedFile[], name: string): string[] {
	const wanted = linkFilePaths(name);
	return files
		.filter((file) => wanted.includes(file.path) && isOurs(file.content))
		.map((file) => file.path);
}

/** The three files network-scripts reads for a link, in the order they are removed: ifcfg first. */
export function linkFilePaths(name: string): string[] {
	return ["ifcfg", "route", "rule"].map(
		(kind) => `${paths.networkScripts}/${kind}-${name}`,
	);
}

/** The record of a spec, once it has been applied. */
export function managedOf(spec: InterfaceSpec, files: string[]): Managed {
	const { name, mac, addresses, subnet, gateway, table, throws, demoteMetric } =
		spec;
	return {
		name,
		mac,
		addresses,
		subnet,
		gateway,
		table,
		throws,
		demoteMetric,
		files,
	};
}

/** Whether a policy rule is exactly one that the record implies. */
export function isOurRule(rule: Rule, managed: Managed[]): boolean {
	const { table, from } = rule;
	if (table === undefined || !isRuleFor(rule, from, table)) return false;
	return managed.some(
		(one) =>
			one.table === table &&
			one.addresses.some((address) => ruleSource(address) === from),
	);
}

/** Whether a rule is `from SOURCE lookup TABLE priority TABLE` and nothing more. */
export function isRuleFor(rule: Rule, source: string, table: number): boolean {
	return (
		rule.priority === table &&
		rule.table === table &&
		rule.from === source &&
		rule.words.length === 6
	);
}

/** The words of the rule for an address, as `ip rule` prints and takes them. */
export function ruleWords(source: string, table: number): string[] {
	return ["from", source, "lookup", String(table), "priority", String(table)];
}

/** The selector of an address's rule: its /32. */
export function ruleSource(address: string): string {
	return `${ipOf(address)}/32`;
}
