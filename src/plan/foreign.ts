import { isMainDefault } from "../desire/candidate.js";
import { isOurRule } from "../desire/managed.js";
import type { KernelState, Route, Step } from "../model.js";
import { addressWords, hasAddress } from "./addresses.js";
import { claimedExtras } from "./extras.js";
import type { KernelWant } from "./kernel-difference.js";
import { isSameRoute, tableRoutes } from "./table-routes.js";

/** Steps that put back what was somebody else's and a command of ours dropped. */
// ifdown flushes every address of the link and a service restart every static route: put back what was not ours.
export function foreignSteps(
	{ baseline, touched, recorded, interfaces, extras }: KernelWant,
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
			const isOurs =
				[...recorded, ...interfaces].some(
					(one) => one.name === link.name && one.addresses.includes(cidr),
				) ||
				(link.name === extras?.name && claimedExtras(extras).includes(cidr));
			const isForeign = !address.dynamic && address.scope !== "link" && !isOurs;
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
	// ifup and ifdown touch the rules of rule-ethN alone; others come and go with their owners (pods).
	if (touched !== "all") return steps;
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

/** Steps that give the default route back to whom it belonged before the run. */
// The default route stays on the primary: a thief on one of our links goes, what was there comes back.
export function defaultRouteSteps(
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
	const isLost = (route: Route) => isLostDefault(route, present, thieves);
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

/**
 * Whether a default route of before is to be put back: a thief took its place, or none is left.
 * Otherwise somebody moved it on purpose meanwhile, a DHCP client for one.
 */
export function isLostDefault(
	route: Route,
	present: Route[],
	thieves: Route[],
): boolean {
	const others = present.filter((one) => !thieves.includes(one));
	return (
		others.length === 0 || thieves.some((one) => one.metric === route.metric)
	);
}
