import type { Step } from "../../src/model.js";

// Written from the file formats alone, on purpose without the agent's own grammar and address maths.
const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const ip = `${octet}(?:\\.${octet}){3}`;
const prefix = "(?:3[0-2]|[12]?[0-9])";
const nic = "eth[0-9]";
const table = "1[0-9]{3}";
const metric = "2[0-9]{3}";

const lineOf: Record<string, string[]> = {
	ifcfg: [
		`DEVICE="${nic}"`,
		'HWADDR="[0-9A-F]{2}(?::[0-9A-F]{2}){5}"',
		'TYPE="Ethernet"',
		'BOOTPROTO="none"',
		'ONBOOT="yes"',
		'NM_CONTROLLED="(?:yes|no)"',
		`(?:IPADDR[0-9]{0,3}|NETMASK|GATEWAY)="${ip}"`,
		'PREFIX[0-9]{1,3}="32"',
		'(?:ARPCHECK|ARPUPDATE)[0-9]{0,3}="no"',
		'(?:DEFROUTE|PEERDNS|IPV6INIT)="no"',
		'NOZEROCONF="yes"',
	],
	route: [
		`${ip}/${prefix} dev ${nic} table ${table}`,
		`default via ${ip} dev ${nic} table ${table}`,
	],
	rule: [`from ${ip}/32 table ${table} priority (?:${table})`],
	sysctl: [
		`net\\.ipv4\\.conf\\.(?:all|default|${nic})\\.rp_filter = [012]`,
		`net\\.ipv4\\.conf\\.${nic}\\.(?:arp_ignore|promote_secondaries) = 1`,
	],
};
const comment = "#[A-Za-z0-9 ;:.,`'()/=_-]*";

const commands: Record<string, string> = {
	addr: `(?:add|del) ${ip}/${prefix}(?: brd (?:\\+|${ip}) label ${nic})?`,
	rule: `(?:add|del) from ${ip}/32 lookup ${table} priority ${table}`,
	route: `(?:add|append|prepend|replace|del) (?:throw ${ip}/${prefix} table ${table}|(?:default via ${ip}|${ip}/${prefix}) dev ${nic}(?: table ${table})?(?: proto kernel scope link src ${ip})?(?: metric ${metric})?)`,
	link: "(?:up|down)",
	sysctl: `conf/(?:all|default|${nic})/(?:rp_filter|arp_ignore|promote_secondaries)=[012]`,
	run: `(?:ifup|ifdown) ${nic}`,
};

const compiled = new Map<string, RegExp>();
function isWhole(pattern: string, text: string): boolean {
	const regex = compiled.get(pattern) ?? new RegExp(`^(?:${pattern})$`);
	compiled.set(pattern, regex);
	return regex.test(text);
}

/** What is wrong with a step: every byte of its file, every word of its command has to be one that may stand there. */
export function stepProblems(step: Step): string[] {
	if (step.link !== undefined && !isWhole(nic, step.link))
		return [`link ${JSON.stringify(step.link)}`];
	switch (step.kind) {
		case "write":
			return fileProblems(step.path, step.content);
		case "remove":
			return [`removes ${step.path}`];
		case "sysctl":
			return check(step.kind, `${step.key}=${step.value}`);
		case "link":
			return check(step.kind, step.op);
		case "run":
			return check(step.kind, step.argv.join(" "));
		default:
			return check(step.kind, `${step.op} ${step.words.join(" ")}`);
	}
}

function check(kind: string, text: string): string[] {
	return isWhole(commands[kind] ?? "", text)
		? []
		: [`${kind} ${JSON.stringify(text)}`];
}

function fileProblems(path: string, content: string): string[] {
	const [, kind = ""] =
		/^\/etc\/sysconfig\/network-scripts\/(ifcfg|route|rule)-eth[0-9]$/.exec(
			path,
		) ?? (path === "/etc/sysctl.conf" ? ["", "sysctl"] : []);
	const allowed = lineOf[kind];
	if (!allowed) return [`writes ${path}`];
	if (content.length > 64 * 1024)
		return [`${path} has ${content.length} bytes`];
	const lines = content.split("\n");
	return [
		...(lines.pop() === "" ? [] : [`${path} does not end in a newline`]),
		...lines
			.filter(
				(line) =>
					!isWhole(comment, line) && !allowed.some((one) => isWhole(one, line)),
			)
			.map((line) => `${path}: ${JSON.stringify(line)}`),
	];
}

/** The number of an address: 10.0.0.1 is 167772161. */
export function numberIn(address: string): number {
	return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Whether an address lies in a network such as 10.0.1.0/24. */
export function liesIn(address: string, network: string): boolean {
	const [first = "", length] = network.split("/");
	const size = 2 ** (32 - Number(length));
	return (
		Math.floor(numberIn(address) / size) === Math.floor(numberIn(first) / size)
	);
}

const unfit = [
	"0.0.0.0/8",
	"127.0.0.0/8",
	"169.254.0.0/16",
	"224.0.0.0/4",
	"240.0.0.0/4",
];

/**
 * What is wrong with the values of an ifcfg file: they have to make a NIC that can work, with host
 * addresses of one subnet, none of them somebody else's, and another host as gateway.
 */
export function saneProblems(ifcfg: string, others: string[]): string[] {
	const values = new Map(
		[...ifcfg.matchAll(/^([A-Z]+[0-9]*)="([^"]*)"$/gm)].map(
			([, key = "", value = ""]) => [key, value],
		),
	);
	const mask = numberIn(values.get("NETMASK") ?? "");
	const length = mask.toString(2).replace(/0*$/, "").length;
	const size = 2 ** (32 - length);
	const gateway = values.get("GATEWAY") ?? "";
	const ips = [...values].flatMap(([key, value]) =>
		/^IPADDR[0-9]*$/.test(key) ? [value] : [],
	);
	const subnet = `${ips[0]}/${length}`;
	const isEdge = (ip: string) =>
		length < 31 && [0, size - 1].includes(numberIn(ip) % size);
	// The names of further addresses count up from 1: a gap ends the list.
	const names = [...values.keys()].filter((key) => /^IPADDR[0-9]+$/.test(key));
	return [
		...(mask === 2 ** 32 - size && length >= 8 ? [] : [`mask ${mask}`]),
		...(ips.length >= 1 && ips.length <= 512
			? []
			: [`${ips.length} addresses`]),
		...(new Set(ips).size === ips.length ? [] : ["an address twice"]),
		...(names.every((name, at) => name === `IPADDR${at + 1}`) ? [] : names),
		...(ips.includes(gateway) ? [`the gateway ${gateway} as address`] : []),
		...ips.filter((ip) => others.includes(ip)),
		...[...ips, gateway].filter(
			(ip) =>
				unfit.some((network) => liesIn(ip, network)) ||
				!liesIn(ip, subnet) ||
				isEdge(ip),
		),
	];
}
