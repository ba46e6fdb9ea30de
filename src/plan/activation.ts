import { isMainDefault } from "../desire/candidate.js";
import { ruleSource, ruleWords } from "../desire/managed.js";
import type {
	Desired,
	InterfaceSpec,
	KernelState,
	Link,
	Managed,
	Observed,
	Settings,
} from "../model.js";
import { hasAddress } from "./addresses.js";
import { connectedRoute } from "./table-routes.js";

/** Whether the link carries addresses or routes that neither the kernel nor our record put there: ifdown would flush them. */
export function hasForeign(
	name: string,
	observed: KernelState,
	desired: Pick<Desired, "recorded" | "interfaces">,
): boolean {
	const own = [...desired.recorded, ...desired.interfaces].filter(
		(one) => one.name === name,
	);
	const link = observed.links.find((one) => one.name === name);
	const ownAddresses = new Set(own.flatMap(({ addresses }) => addresses));
	const hasAddresses = link?.addresses.some(
		({ ip, prefix, scope, dynamic }) =>
			scope !== "link" && !dynamic && !ownAddresses.has(`${ip}/${prefix}`),
	);
	const hasRoutes = observed.routes.some(
		(route) =>
			route.devs.includes(name) &&
			route.proto !== "kernel" &&
			!isMainDefault(route) &&
			!own.some((one) => one.table === route.table),
	);
	return Boolean(hasAddresses || hasRoutes);
}

/** Whether a spec needs ifup: `auto` only where a difference will not do (new, down, another subnet). */
export function needsActivation(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
	restart: Settings["restart"],
): boolean {
	if (restart === "interface") return true;
	if (restart !== "auto" || hasForeign(spec.name, observed, desired))
		return false;
	const link = observed.links.find((one) => one.name === spec.name);
	return !link?.up || !hasAddress(link, spec.addresses[0] ?? "");
}

/** Whether ifdown has something to do for a spec; it works by the files that are there, so they must be ours. */
export function isOurLinkUp(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
): boolean {
	return desired.recorded.some(
		(managed) =>
			managed.name === spec.name &&
			managed.mac === spec.mac &&
			isLive(managed, observed),
	);
}

/** Whether a record's own link is up with our ifcfg file for it. */
export function isLive(managed: Managed, observed: Observed): boolean {
	const link = observed.links.find(
		(one) => one.name === managed.name && one.mac === managed.mac,
	);
	return (
		managed.files.some((path) => path.includes("/ifcfg-")) && link?.up === true
	);
}

/** What the kernel will look like after the commands, so that the plan can name the steps that follow them. */
export function predict(
	observed: Observed,
	down: string[],
	activated: InterfaceSpec[],
	desired: Desired,
): KernelState {
	const ours = desired.recorded.filter((managed) =>
		down.includes(managed.name),
	);
	const isOursRule = (from: string, table: number | undefined) =>
		ours.some(
			(managed) =>
				managed.table === table &&
				managed.addresses.map(ruleSource).includes(from),
		);
	const links = observed.links.map((link): Link => {
		const spec = activated.find((one) => one.name === link.name);
		const kept = down.includes(link.name) ? [] : link.addresses;
		const added = (spec?.addresses ?? []).map((cidr) => {
			const [ip = "", prefix] = cidr.split("/");
			return {
				ip,
				prefix: Number(prefix),
				family: 4 as const,
				scope: "global",
				dynamic: false,
			};
		});
		return {
			...link,
			up: spec ? true : !down.includes(link.name) && link.up,
			addresses: [...kept, ...added],
		};
	});
	const rules = observed.rules.filter(
		(rule) => !isOursRule(rule.from, rule.table),
	);
	const routes = observed.routes.filter(
		(route) => !route.devs.some((dev) => down.includes(dev)),
	);
	for (const spec of activated) {
		const route = {
			type: "unicast",
			devs: [spec.name],
			metric: 0,
			proto: undefined,
			src: undefined,
		};
		routes.push({
			...route,
			table: 254,
			dst: spec.subnet,
			via: undefined,
			proto: "kernel",
			words: connectedRoute(spec),
		});
		const { table } = spec;
		if (table === undefined) continue;
		routes.push({
			...route,
			table,
			dst: spec.subnet,
			via: undefined,
			words: [],
		});
		routes.push({
			...route,
			table,
			dst: "0.0.0.0/0",
			via: spec.gateway,
			words: [],
		});
		for (const from of spec.addresses.map(ruleSource)) {
			if (rules.some((rule) => rule.from === from && rule.priority === table))
				continue;
			rules.push({
				priority: table,
				from,
				to: undefined,
				table,
				words: ruleWords(from, table),
			});
		}
	}
	return { links, rules, routes, sysctls: observed.sysctls };
}
