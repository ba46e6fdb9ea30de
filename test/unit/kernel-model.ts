import { parseIfcfg } from "../../src/desire/managed.js";
import type {
	FileState,
	KernelState,
	Link,
	LinkAddress,
	Route,
	Rule,
	Step,
} from "../../src/model.js";
import { parseRoutes, parseRules } from "../../src/observe/parse-ip.js";

/** A guest small enough to reason about: the kernel's tables and the files that ifup and ifdown read. */
export interface Guest {
	kernel: KernelState;
	files: Map<string, FileState>;
}

const scripts = "/etc/sysconfig/network-scripts";

/**
 * What CentOS 7's kernel, `ip` and network-scripts make of steps. Independent of the agent's own
 * prediction: connected routes come and go with addresses and links, route lists keep their order,
 * and what `ip` would refuse throws.
 */
export function applySteps(guest: Guest, steps: Step[]): Guest {
	const next = cloneGuest(guest);
	for (const step of steps) applyStep(next, step);
	return next;
}

export function cloneGuest({ kernel, files }: Guest): Guest {
	return {
		kernel: JSON.parse(JSON.stringify(kernel)) as KernelState,
		files: new Map([...files].map(([path, file]) => [path, { ...file }])),
	};
}

/**
 * The guest as sorted text, to compare two of them. Of several routes to one prefix the first is
 * used, so which one that is counts; the others follow in any order.
 */
export function describeGuest({ kernel, files }: Guest): string[] {
	return [
		...kernel.links.map(
			(link) => `link ${link.name} ${link.up ? "up" : "down"}`,
		),
		...kernel.links
			.flatMap((link) =>
				link.addresses.map(
					(a) => `addr ${link.name} ${a.ip}/${a.prefix} ${a.scope}`,
				),
			)
			.sort(),
		...[...groupBy(kernel.rules, (rule) => rule.priority).values()].flatMap(
			(rules) => rules.map((rule) => `rule ${rule.words.join(" ")}`).sort(),
		),
		...[...groupBy(kernel.routes, (route) => `${route.table} ${route.dst}`)]
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.flatMap(([, [first, ...rest]]) => [
				`route ${first?.words.join(" ")}`,
				...rest.map((route) => `then ${route.words.join(" ")}`).sort(),
			]),
		...Object.entries(kernel.sysctls)
			.sort()
			.map(([key, value]) => `sysctl ${key} ${value}`),
		...[...files]
			.sort()
			.map(
				([path, file]) =>
					`file ${path} ${file.mode} ${file.uid}:${file.gid} ${JSON.stringify(file.content)}`,
			),
	];
}

function groupBy<T, K>(items: T[], keyOf: (item: T) => K): Map<K, T[]> {
	const groups = new Map<K, T[]>();
	for (const item of items)
		groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
	return groups;
}

function applyStep(guest: Guest, step: Step): void {
	const { kernel, files } = guest;
	switch (step.kind) {
		case "write": {
			const owner = step.owner ??
				step.before ??
				files.get(step.path) ?? { uid: 0, gid: 0 };
			files.set(step.path, {
				content: step.content,
				mode: step.mode,
				uid: owner.uid,
				gid: owner.gid,
			});
			return;
		}
		case "remove":
			if (!files.delete(step.path))
				throw new Error(`remove ${step.path}: not there`);
			return;
		case "sysctl":
			kernel.sysctls[step.key] = step.value;
			return;
		case "link":
			setLink(kernel, linkOf(kernel, step.link), step.op === "up");
			return;
		case "addr":
			if (step.op === "add")
				addAddress(kernel, linkOf(kernel, step.link), step.words);
			else
				deleteAddress(kernel, linkOf(kernel, step.link), step.words[0] ?? "");
			return;
		case "rule":
			if (step.op === "add") addRule(kernel, step.words);
			else deleteRule(kernel, step.words);
			return;
		case "route":
			changeRoute(kernel, step.op, step.words);
			return;
		case "run":
			runCommand(guest, step.argv);
	}
}

function linkOf(kernel: KernelState, name: string | undefined): Link {
	const link = kernel.links.find((one) => one.name === name);
	if (!link) throw new Error(`Cannot find device "${name}"`);
	return link;
}

function setLink(kernel: KernelState, link: Link, up: boolean): void {
	if (link.up === up) return;
	link.up = up;
	if (!up)
		kernel.routes = kernel.routes.filter(
			(route) => !route.devs.includes(link.name),
		);
	else
		for (const address of link.addresses) addConnected(kernel, link, address);
}

function addAddress(kernel: KernelState, link: Link, words: string[]): void {
	const [ip = "", prefix = "32"] = (words[0] ?? "").split("/");
	if (
		link.addresses.some((one) => one.ip === ip && one.prefix === Number(prefix))
	)
		throw new Error(`${link.name} ${words[0]}: File exists`);
	const scope = words.includes("scope")
		? (words[words.indexOf("scope") + 1] ?? "")
		: "global";
	const address: LinkAddress = {
		ip,
		prefix: Number(prefix),
		family: 4,
		scope,
		dynamic: false,
	};
	const isSecondary = link.addresses.some((one) => isSameSubnet(one, address));
	link.addresses.push(address);
	if (link.up && !isSecondary) addConnected(kernel, link, address);
}

function deleteAddress(kernel: KernelState, link: Link, cidr: string): void {
	const at = link.addresses.findIndex(
		(one) => `${one.ip}/${one.prefix}` === cidr,
	);
	const [address] = at < 0 ? [] : link.addresses.splice(at, 1);
	if (!address)
		throw new Error(`${link.name} ${cidr}: Cannot assign requested address`);
	kernel.routes = kernel.routes.filter(
		(route) => !(route.src === address.ip && route.devs.includes(link.name)),
	);
	const heir = link.addresses.find((one) => isSameSubnet(one, address));
	const subnet = networkOf(address);
	if (
		heir &&
		link.up &&
		!kernel.routes.some(
			(route) =>
				route.table === 254 &&
				route.dst === subnet &&
				route.devs.includes(link.name),
		)
	) {
		addConnected(kernel, link, heir);
	}
}

function addConnected(
	kernel: KernelState,
	link: Link,
	address: LinkAddress,
): void {
	if (address.family !== 4 || address.prefix === 32) return;
	const text = `${networkOf(address)} dev ${link.name} proto kernel scope link src ${address.ip}`;
	if (kernel.routes.some((route) => route.words.join(" ") === text)) return;
	insertRoute(kernel, routeOf(text.split(" ")), "append");
}

function isSameSubnet(a: LinkAddress, b: LinkAddress): boolean {
	return (
		a.family === 4 && a.prefix === b.prefix && networkOf(a) === networkOf(b)
	);
}

function networkOf({ ip, prefix }: LinkAddress): string {
	const size = 2 ** (32 - prefix);
	const number = ip
		.split(".")
		.reduce((sum, octet) => sum * 256 + Number(octet), 0);
	const network = Math.floor(number / size) * size;
	return `${[24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join(".")}/${prefix}`;
}

// Words become what `ip` would print of them, and that is parsed as any other line.
function routeOf(words: string[]): Route {
	const rest = [...words];
	const take = (key: string) => {
		const at = rest.indexOf(key);
		return at < 0 ? undefined : rest.splice(at, 2)[1];
	};
	const type = ["throw", "blackhole", "unreachable", "prohibit"].includes(
		rest[0] ?? "",
	)
		? `${rest.shift()} `
		: "";
	const dst = rest.shift() ?? "";
	const values = ["via", "dev", "table", "proto", "scope", "src", "metric"].map(
		(key) => [key, take(key)] as const,
	);
	if (rest.length > 0)
		throw new Error(`ip route: ${rest.join(" ")} is garbage`);
	const scope =
		type === "" && values[0]?.[1] === undefined && values[4]?.[1] === undefined
			? [["scope", "link"] as const]
			: [];
	const printed = [
		...values.slice(0, 4),
		...(scope.length > 0 ? scope : values.slice(4, 5)),
		...values.slice(5),
	]
		.filter(
			([key, value]) =>
				value !== undefined && !(key === "table" && value === "254"),
		)
		.map((pair) => pair.join(" "));
	const [route] = parseRoutes(`${type}${dst} ${printed.join(" ")}`);
	if (!route) throw new Error(`ip route: ${words.join(" ")}`);
	return route;
}

function insertRoute(
	kernel: KernelState,
	route: Route,
	op: "add" | "append" | "prepend" | "replace",
): void {
	const isSame = (one: Route) =>
		one.table === route.table &&
		one.dst === route.dst &&
		one.metric === route.metric;
	const first = kernel.routes.findIndex(isSame);
	if (first >= 0 && op === "add")
		throw new Error(`${route.words.join(" ")}: File exists`);
	if (first >= 0 && op === "replace") {
		kernel.routes[first] = route;
		return;
	}
	// One prefix's routes are sorted by metric; of one metric, `append` goes last and `prepend` first.
	const isBefore = (one: Route) =>
		one.table === route.table &&
		one.dst === route.dst &&
		(op === "prepend" ? one.metric < route.metric : one.metric <= route.metric);
	const after = kernel.routes.reduce(
		(last, one, at) => (isBefore(one) ? at : last),
		-1,
	);
	const sibling = kernel.routes.findIndex(
		(one) => one.table === route.table && one.dst === route.dst,
	);
	kernel.routes.splice(
		after >= 0 ? after + 1 : sibling >= 0 ? sibling : kernel.routes.length,
		0,
		route,
	);
}

function changeRoute(
	kernel: KernelState,
	op: Extract<Step, { kind: "route" }>["op"],
	words: string[],
): void {
	const route = routeOf(words);
	if (op !== "del") {
		for (const dev of route.devs) {
			if (!linkOf(kernel, dev).up)
				throw new Error(`${words.join(" ")}: Network is down`);
		}
		insertRoute(kernel, route, op);
		return;
	}
	const isGiven = (key: string) => words.includes(key);
	const at = kernel.routes.findIndex(
		(one) =>
			one.table === route.table &&
			one.dst === route.dst &&
			one.type === route.type &&
			(!isGiven("dev") || one.devs.join() === route.devs.join()) &&
			(!isGiven("via") || one.via === route.via) &&
			(!isGiven("metric") || one.metric === route.metric) &&
			(!isGiven("proto") || one.proto === route.proto) &&
			(!isGiven("src") || one.src === route.src),
	);
	if (at < 0) throw new Error(`${words.join(" ")}: No such process`);
	kernel.routes.splice(at, 1);
}

function ruleOf(words: string[]): Rule {
	const at = words.indexOf("priority");
	const selector = [...words.slice(0, at), ...words.slice(at + 2)]
		.join(" ")
		.replace(/\/32\b/g, "")
		.replace(" table ", " lookup ");
	const [rule] = parseRules(`${words[at + 1]}:\t${selector}`);
	if (at < 0 || !rule) throw new Error(`ip rule: ${words.join(" ")}`);
	return rule;
}

// 3.10 takes the same rule twice; a new one goes behind those of its priority.
function addRule(kernel: KernelState, words: string[]): void {
	const rule = ruleOf(words);
	const at = kernel.rules.findIndex((one) => one.priority > rule.priority);
	kernel.rules.splice(at < 0 ? kernel.rules.length : at, 0, rule);
}

function deleteRule(kernel: KernelState, words: string[]): void {
	const text = ruleOf(words).words.join(" ");
	const at = kernel.rules.findIndex((one) => one.words.join(" ") === text);
	if (at < 0)
		throw new Error(
			`ip rule del ${words.join(" ")}: No such file or directory`,
		);
	kernel.rules.splice(at, 1);
}

function runCommand(guest: Guest, argv: string[]): void {
	const [program, name = ""] = argv;
	if (program === "ifup") ifup(guest, name);
	else if (program === "ifdown") ifdown(guest, name);
	else if (program === "systemctl") restartNetwork(guest);
	else if (program !== "nmcli")
		throw new Error(`${argv.join(" ")}: command not found`);
}

function textLines(guest: Guest, path: string): string[] {
	return (guest.files.get(path)?.content ?? "")
		.split("\n")
		.filter((line) => line !== "" && !line.startsWith("#"));
}

function ifup(guest: Guest, name: string): void {
	const { kernel } = guest;
	const values = parseIfcfg(
		guest.files.get(`${scripts}/ifcfg-${name}`)?.content ?? "",
	);
	const link = linkOf(kernel, name);
	if (values.HWADDR?.toLowerCase() !== link.mac)
		throw new Error(`ifup ${name}: device has a different MAC address`);
	setLink(kernel, link, true);
	for (
		let index = 0;
		values[index === 0 ? "IPADDR" : `IPADDR${index}`] !== undefined;
		index += 1
	) {
		const suffix = index === 0 ? "" : String(index);
		const mask = values[`NETMASK${suffix}`];
		const ones = mask
			?.split(".")
			.reduce(
				(sum, octet) =>
					sum + Number(octet).toString(2).replaceAll("0", "").length,
				0,
			);
		const cidr = `${values[`IPADDR${suffix}`]}/${values[`PREFIX${suffix}`] ?? ones ?? 8}`;
		if (!link.addresses.some((one) => `${one.ip}/${one.prefix}` === cidr))
			addAddress(kernel, link, [cidr]);
	}
	if (values.DEFROUTE !== "no" && values.GATEWAY)
		changeRoute(kernel, "replace", [
			"default",
			"via",
			values.GATEWAY,
			"dev",
			name,
		]);
	for (const line of textLines(guest, `${scripts}/route-${name}`)) {
		const route = routeOf(line.split(" "));
		if (
			!kernel.routes.some(
				(one) => one.words.join(" ") === route.words.join(" "),
			)
		)
			insertRoute(kernel, route, "add");
	}
	for (const line of textLines(guest, `${scripts}/rule-${name}`))
		addRule(kernel, line.split(" "));
}

function ifdown(guest: Guest, name: string): void {
	const { kernel } = guest;
	if (!guest.files.has(`${scripts}/ifcfg-${name}`))
		throw new Error(`ifdown ${name}: configuration not found`);
	const link = linkOf(kernel, name);
	for (const line of textLines(guest, `${scripts}/rule-${name}`)) {
		const text = ruleOf(line.split(" ")).words.join(" ");
		if (kernel.rules.some((rule) => rule.words.join(" ") === text))
			deleteRule(kernel, line.split(" "));
	}
	for (const { ip, prefix } of link.addresses.filter((one) => one.family === 4))
		deleteAddress(kernel, link, `${ip}/${prefix}`);
	setLink(kernel, link, false);
}

function restartNetwork(guest: Guest): void {
	const names = [...guest.files.keys()]
		.flatMap((path) => /\/ifcfg-(.+)$/.exec(path)?.[1] ?? [])
		.filter((name) => name !== "lo");
	for (const name of names) ifdown(guest, name);
	guest.kernel.sysctls.ip_forward = "0";
	for (const name of names) ifup(guest, name);
}
