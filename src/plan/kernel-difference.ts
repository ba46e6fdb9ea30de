import { isMainDefault } from "../desire/candidate.js";
import { isOurRule, isRuleFor, ruleSource } from "../desire/managed.js";
import type {
	InterfaceSpec,
	KernelState,
	Link,
	Managed,
	Route,
	Step,
} from "../model.js";

/** What the kernel should hold after a run. */
export interface KernelWant {
	interfaces: InterfaceSpec[];
	/** What our record implies, of any link: only this is ours to take away. */
	recorded: Managed[];
	/** Entries of the record that have no place any more. */
	gone: Managed[];
	sysctls: Record<string, string>;
	/** By link name: addresses of the record that stood there before the agent came, and stay. */
	spared: Record<string, string[]>;
	/** The kernel before the run: what was somebody else's then has to be there afterwards. */
	baseline: KernelState;
	/** Links that a command of this run may have bounced; "all" after a service restart. */
	touched: string[] | "all";
}

/**
 * The steps from the kernel as it is to the kernel as it should be, add before delete. Plan, verify
 * and the first rung of the ladder are this one comparison: no steps means converged.
 */
export function kernelDifference(want: KernelWant, now: KernelState): Step[] {
	const adds = want.interfaces.flatMap((spec) => additions(spec, now));
	return [
		...sysctlSteps(want, now),
		...adds,
		...want.interfaces.flatMap((spec) => demotion(spec, now, adds)),
		...foreignSteps(want, now),
		...obsoleteSteps(want, now),
		...defaultRouteSteps(want, now),
	];
}

function additions(spec: InterfaceSpec, now: KernelState): Step[] {
	const link = now.links.find(
		(one) => one.name === spec.name && one.mac === spec.mac,
	);
	if (!link) return [];
	const steps: Step[] = link.up
		? []
		: [{ kind: "link", link: spec.name, op: "up" }];
	for (const cidr of spec.addresses) {
		if (!hasAddress(link, cidr)) {
			// The broadcast address that ifup gives it: of a /32, the address itself.
			const [ip = "", prefix] = cidr.split("/");
			const words = [
				cidr,
				"brd",
				prefix === "32" ? ip : "+",
				"label",
				spec.name,
			];
			steps.push({ kind: "addr", link: spec.name, op: "add", words });
		}
	}
	for (const words of tableRoutes(spec)) {
		// A route of the same prefix with another next hop is replaced, not doubled.
		if (!now.routes.some((route) => isSameRoute(route, words))) {
			steps.push({ kind: "route", link: spec.name, op: "replace", words });
		}
	}
	const { table } = spec;
	if (table === undefined) return steps;
	for (const source of spec.addresses.map(ruleSource)) {
		const same = now.rules.filter((rule) => isRuleFor(rule, source, table));
		if (same.length === 0)
			steps.push({
				kind: "rule",
				link: spec.name,
				op: "add",
				words: ruleWords(source, table),
			});
		// CentOS 7.2's kernel accepts the same rule twice, and a second ifup adds it twice.
		for (const extra of same.slice(1))
			steps.push({
				kind: "rule",
				link: spec.name,
				op: "del",
				words: extra.words,
			});
	}
	return steps;
}

function ruleWords(source: string, table: number): string[] {
	return ["from", source, "lookup", String(table), "priority", String(table)];
}

/** What `ip route` calls the routes of a spec's table: the subnet, the default, the throws. */
function tableRoutes(
	spec: Pick<Managed, "name" | "subnet" | "gateway" | "table" | "throws">,
): string[][] {
	if (spec.table === undefined) return [];
	const table = ["table", String(spec.table)];
	return [
		[spec.subnet, "dev", spec.name, ...table],
		["default", "via", spec.gateway, "dev", spec.name, ...table],
		...spec.throws.map((prefix) => ["throw", prefix, ...table]),
	];
}

function isSameRoute(route: Route, words: string[]): boolean {
	const value = (key: string) =>
		words.includes(key) ? words[words.indexOf(key) + 1] : undefined;
	const type = words[0] === "throw" ? "throw" : "unicast";
	const dst = words[type === "throw" ? 1 : 0];
	return (
		route.table === Number(value("table") ?? 254) &&
		route.type === type &&
		route.dst === (dst === "default" ? "0.0.0.0/0" : dst) &&
		route.via === value("via") &&
		route.devs.join() === (value("dev") ?? "") &&
		route.metric === Number(value("metric") ?? 0)
	);
}

/**
 * Same subnet as the primary: the kernel's own route for the secondary moves to a higher metric,
 * else the next bounce of eth0 puts eth1's first and the primary's traffic leaves by eth1.
 */
function demotion(spec: InterfaceSpec, now: KernelState, adds: Step[]): Step[] {
	if (spec.demoteMetric === undefined) return [];
	if (!now.links.some((one) => one.name === spec.name && one.mac === spec.mac))
		return [];
	const source = spec.addresses[0]?.split("/")[0] ?? "";
	const route = (...more: string[]) => [
		spec.subnet,
		"dev",
		spec.name,
		"proto",
		"kernel",
		"scope",
		"link",
		"src",
		source,
		...more,
	];
	const demoted = route("metric", String(spec.demoteMetric));
	const first = now.routes.find(
		(one) => isConnected(one, spec) && one.metric === 0,
	);
	const isAdding = adds.some(
		(step) =>
			step.kind === "addr" &&
			step.link === spec.name &&
			step.words[0] === spec.addresses[0],
	);
	const steps: Step[] = [];
	if (isAdding || !now.routes.some((one) => isSameRoute(one, demoted))) {
		steps.push({
			kind: "route",
			link: spec.name,
			op: "replace",
			words: demoted,
		});
	}
	// Without a metric `del` takes the first of the prefix, which is the one with metric 0.
	if (isAdding || first)
		steps.push({
			kind: "route",
			link: spec.name,
			op: "del",
			words: first?.words ?? route(),
		});
	return steps;
}

function isConnected(
	route: Route,
	spec: Pick<Managed, "name" | "subnet">,
): boolean {
	return (
		route.table === 254 &&
		route.dst === spec.subnet &&
		route.via === undefined &&
		route.devs.join() === spec.name
	);
}

function sysctlSteps({ sysctls }: KernelWant, now: KernelState): Step[] {
	return Object.entries(sysctls).flatMap(([key, value]): Step[] => {
		const before = now.sysctls[key];
		if (before === value) return [];
		const name = key.split("/")[1];
		const link = name === "all" || name === "default" ? undefined : name;
		return [{ kind: "sysctl", link, key, value, before }];
	});
}

// Rules and addresses go before the routes they use; what the record does not imply stays.
function obsoleteSteps(
	{ interfaces, recorded, gone, spared }: KernelWant,
	now: KernelState,
): Step[] {
	const concerned = recorded.filter(
		(managed) =>
			gone.includes(managed) ||
			interfaces.some((spec) => spec.mac === managed.mac),
	);
	const steps: Step[] = [];
	const seen = new Set<string>();
	const push = (step: Step & { words: string[] }) => {
		const key = `${step.kind} ${step.link} ${step.words.join(" ")}`;
		if (step.kind === "rule" || !seen.has(key)) steps.push(step);
		seen.add(key);
	};
	const isWantedRule = (source: string, table: number) =>
		interfaces.some(
			(spec) =>
				spec.table === table && spec.addresses.map(ruleSource).includes(source),
		);
	const rulesSeen = new Set<number>();
	for (const { name, table, addresses } of concerned) {
		if (table === undefined) continue;
		for (const [index, rule] of now.rules.entries()) {
			const source = addresses
				.map(ruleSource)
				.find((one) => isRuleFor(rule, one, table));
			if (
				source === undefined ||
				isWantedRule(source, table) ||
				rulesSeen.has(index)
			)
				continue;
			rulesSeen.add(index);
			push({ kind: "rule", link: name, op: "del", words: rule.words });
		}
	}
	for (const managed of concerned) {
		const link = now.links.find((one) => one.name === managed.name);
		const spec = interfaces.find((one) => one.name === managed.name);
		for (const cidr of managed.addresses) {
			const isKept =
				spec?.addresses.includes(cidr) || spared[managed.name]?.includes(cidr);
			if (link && hasAddress(link, cidr) && !isKept) {
				push({ kind: "addr", link: managed.name, op: "del", words: [cidr] });
			}
		}
		const wanted = interfaces.flatMap(tableRoutes);
		for (const words of tableRoutes(managed)) {
			// `replace` has already taken the place of a route with the same prefix.
			const isReplaced = wanted.some(
				(other) => prefixAndTable(other) === prefixAndTable(words),
			);
			if (
				!isReplaced &&
				now.routes.some((route) => isSameRoute(route, words))
			) {
				push({ kind: "route", link: managed.name, op: "del", words });
			}
		}
	}
	return steps;
}

function prefixAndTable(words: string[]): string {
	const dst = words[0] === "throw" ? words[1] : words[0];
	return `${dst} ${words.at(-1)}`;
}

// ifdown flushes every address of the link and a service restart every static route: put back what was not ours.
function foreignSteps(
	{ baseline, touched, recorded, interfaces }: KernelWant,
	now: KernelState,
): Step[] {
	if (touched.length === 0) return [];
	const isTouched = (name: string) =>
		touched === "all" || touched.includes(name);
	const steps: Step[] = [];
	for (const before of baseline.links.filter((link) => isTouched(link.name))) {
		const link = now.links.find((one) => one.name === before.name);
		if (!link) continue;
		for (const address of before.addresses) {
			const cidr = `${address.ip}/${address.prefix}`;
			const isOurs = [...recorded, ...interfaces].some(
				(one) => one.name === link.name && one.addresses.includes(cidr),
			);
			const isForeign =
				address.family === 4 &&
				!address.dynamic &&
				address.scope !== "link" &&
				!isOurs;
			if (isForeign && !hasAddress(link, cidr)) {
				steps.push({
					kind: "addr",
					link: link.name,
					op: "add",
					words: addressWords(address),
				});
			}
		}
	}
	const isForeignRoute = (route: Route) =>
		route.devs.some(isTouched) &&
		route.proto !== "kernel" &&
		!isMainDefault(route) &&
		![...recorded, ...interfaces]
			.flatMap(tableRoutes)
			.some((words) => isSameRoute(route, words));
	for (const route of baseline.routes.filter(isForeignRoute)) {
		if (
			!now.routes.some((one) => one.words.join(" ") === route.words.join(" "))
		) {
			steps.push({
				kind: "route",
				link: route.devs[0],
				op: "append",
				words: route.words,
			});
		}
	}
	for (const rule of baseline.rules.filter(
		(one) => !isOurRule(one, recorded),
	)) {
		if (
			!now.rules.some((one) => one.words.join(" ") === rule.words.join(" "))
		) {
			steps.push({
				kind: "rule",
				link: undefined,
				op: "add",
				words: rule.words,
			});
		}
	}
	return steps;
}

/** What `ip addr add` needs to make an address again. */
export function addressWords(address: Link["addresses"][number]): string[] {
	const cidr = `${address.ip}/${address.prefix}`;
	return [
		...(address.peer ? [address.ip, "peer", address.peer] : [cidr]),
		...(address.broadcast ? ["brd", address.broadcast] : []),
		...(address.scope === "global" ? [] : ["scope", address.scope]),
		...(address.label ? ["label", address.label] : []),
	];
}

// The default route stays on the primary: a thief on one of our links goes, what was there comes back.
function defaultRouteSteps(
	{ baseline, interfaces, touched }: KernelWant,
	now: KernelState,
): Step[] {
	const before = baseline.routes.filter(isMainDefault);
	const present = now.routes.filter(isMainDefault);
	const textOf = (route: Route) => route.words.join(" ");
	const isOurs = (name: string) =>
		interfaces.some((spec) => spec.name === name) ||
		touched === "all" ||
		touched.includes(name);
	const thieves = present.filter(
		(route) =>
			route.devs.some(isOurs) &&
			!before.some((one) => textOf(one) === textOf(route)),
	);
	const missing = before.filter(
		(route) => !present.some((one) => textOf(one) === textOf(route)),
	);
	// Somebody else may have moved the default on purpose meanwhile, a DHCP client for one.
	const isLost = (route: Route) =>
		!present.some(
			(one) => !thieves.includes(one) && one.metric === route.metric,
		);
	return [
		...thieves.map(
			(route): Step => ({
				kind: "route",
				link: route.devs[0],
				op: "del",
				words: route.words,
			}),
		),
		...missing.filter(isLost).map(
			(route): Step => ({
				kind: "route",
				link: route.devs[0],
				op: "append",
				words: route.words,
			}),
		),
	];
}

/** Whether an IPv4 CIDR stands on the link. */
export function hasAddress(link: Link, cidr: string): boolean {
	return link.addresses.some(
		(address) =>
			address.family === 4 && `${address.ip}/${address.prefix}` === cidr,
	);
}
