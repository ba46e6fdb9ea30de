import { isRuleFor, ruleSource } from "../desire/managed.js";
import { ipOf } from "../ipv4.js";
import type { KernelState, Step } from "../model.js";
import { hasAddress } from "./addresses.js";
import type { KernelWant } from "./kernel-difference.js";
import { isConnected, sameRouteAs, tableRoutes } from "./table-routes.js";

/** Steps that take away what the record implies and nothing wants any more. */
// Rules and addresses go before the routes they use; what the record does not imply stays.
export function obsoleteSteps(
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
	// Sets, because eight ENIs with hundreds of addresses have thousands of rules.
	const wantedRules = new Set(
		interfaces.flatMap(({ table, addresses }) =>
			addresses.map((cidr) => `${ruleSource(cidr)} ${table}`),
		),
	);
	const rulesSeen = new Set<number>();
	for (const { name, table, addresses } of concerned) {
		if (table === undefined) continue;
		const sources = new Set(addresses.map(ruleSource));
		for (const [index, rule] of now.rules.entries()) {
			const isOurs =
				sources.has(rule.from) && isRuleFor(rule, rule.from, table);
			if (
				!isOurs ||
				wantedRules.has(`${rule.from} ${table}`) ||
				rulesSeen.has(index)
			)
				continue;
			rulesSeen.add(index);
			push({ kind: "rule", link: name, op: "del", words: rule.words });
		}
	}
	const wantedRoutes = new Set(
		interfaces.flatMap(tableRoutes).map(prefixAndTable),
	);
	for (const managed of concerned) {
		const link = now.links.find(
			(one) => one.name === managed.name && one.mac === managed.mac,
		);
		const spec = interfaces.find((one) => one.name === managed.name);
		for (const cidr of managed.addresses) {
			const isKept =
				spec?.addresses.includes(cidr) || spared[managed.name]?.includes(cidr);
			if (link && !isKept && hasAddress(link, cidr)) {
				push({ kind: "addr", link: managed.name, op: "del", words: [cidr] });
			}
		}
		for (const words of tableRoutes(managed)) {
			// `replace` has already taken the place of a route with the same prefix.
			if (wantedRoutes.has(prefixAndTable(words))) continue;
			if (now.routes.some(sameRouteAs(words))) {
				push({ kind: "route", link: managed.name, op: "del", words });
			}
		}
		// An address that stays keeps its subnet route: back to the metric the kernel gave it.
		const { demoteMetric } = managed;
		const kept = spared[managed.name] ?? [];
		const demoted = now.routes.find(
			(route) =>
				isConnected(route, managed) &&
				route.metric === demoteMetric &&
				kept.some((cidr) => ipOf(cidr) === route.src),
		);
		if (demoteMetric !== undefined && gone.includes(managed) && demoted) {
			const words = demoted.words.filter(
				(word, at) => word !== "metric" && demoted.words[at - 1] !== "metric",
			);
			push({ kind: "route", link: managed.name, op: "append", words });
			push({
				kind: "route",
				link: managed.name,
				op: "del",
				words: demoted.words,
			});
		}
	}
	return steps;
}

function prefixAndTable(words: string[]): string {
	const dst = words[0] === "throw" ? words[1] : words[0];
	return `${dst} ${words.at(-1)}`;
}
