import { isRuleFor, ruleSource, ruleWords } from "../desire/managed.js";
import type {
	InterfaceSpec,
	KernelState,
	Managed,
	PrimaryExtras,
	Rule,
	Step,
} from "../model.js";
import { addedWords, hasAddress } from "./addresses.js";
import { missingExtras, obsoleteExtras } from "./extras.js";
import { defaultRouteSteps, foreignSteps } from "./foreign.js";
import { obsoleteSteps } from "./obsolete.js";
import { stepKey } from "./step-key.js";
import {
	connectedRoute,
	isConnected,
	sameRouteAs,
	tableRoutes,
} from "./table-routes.js";

/** What the kernel should hold after a run. */
export interface KernelWant {
	interfaces: InterfaceSpec[];
	/** What our record implies, of any link: only this is ours to take away. */
	recorded: Managed[];
	/** Entries of the record that have no place any more. */
	gone: Managed[];
	/** Links of them that were down before the agent came: down again, whatever ifdown made of it. */
	down: string[];
	/** The primary's further private IPs, where the run is about them. */
	extras?: PrimaryExtras | undefined;
	sysctls: Record<string, string>;
	/** By link name: addresses of the record that stood there before the agent came, and stay. */
	spared: Record<string, string[]>;
	/** The kernel before the run: what was somebody else's then has to be there afterwards. */
	baseline: KernelState;
	/** Links that a command of this run may have bounced; "all" after a service restart. */
	touched: string[] | "all";
	/** Keys of steps that are left undone for now. */
	left: string[];
}

/**
 * The steps from the kernel as it is to the kernel as it should be, add before delete. Plan, verify
 * and the first rung of the ladder are this one comparison: no steps means converged.
 */
export function kernelDifference(want: KernelWant, now: KernelState): Step[] {
	const rulesFrom = bySource(now.rules);
	const adds = want.interfaces.flatMap((spec) =>
		additions(spec, now, rulesFrom),
	);
	const steps = [
		...sysctlSteps(want, now),
		...adds,
		...want.interfaces.flatMap((spec) => demotion(spec, now, adds)),
		...missingExtras(want.extras, now),
		...foreignSteps(want, now),
		...obsoleteSteps(want, now),
		...obsoleteExtras(want.extras, now),
		...now.links
			.filter(({ name, up }) => up && want.down.includes(name))
			.map(({ name }): Step => ({ kind: "link", link: name, op: "down" })),
		...defaultRouteSteps(want, now),
	];
	return want.left.length === 0
		? steps
		: steps.filter((step) => !want.left.includes(stepKey(step)));
}

// Eight ENIs with hundreds of addresses have thousands of rules: none is looked for among all of them.
function bySource(rules: Rule[]): Map<string, Rule[]> {
	const map = new Map<string, Rule[]>();
	for (const rule of rules) {
		const same = map.get(rule.from);
		if (same) same.push(rule);
		else map.set(rule.from, [rule]);
	}
	return map;
}

function additions(
	spec: InterfaceSpec,
	now: KernelState,
	rulesFrom: Map<string, Rule[]>,
): Step[] {
	const link = now.links.find(
		(one) => one.name === spec.name && one.mac === spec.mac,
	);
	if (!link) return [];
	const steps: Step[] = link.up
		? []
		: [{ kind: "link", link: spec.name, op: "up" }];
	for (const cidr of spec.addresses) {
		if (!hasAddress(link, cidr)) {
			const words = addedWords(cidr, spec.name);
			steps.push({ kind: "addr", link: spec.name, op: "add", words });
		}
	}
	for (const words of tableRoutes(spec)) {
		// A route of the same prefix with another next hop is replaced, not doubled.
		if (!now.routes.some(sameRouteAs(words))) {
			steps.push({ kind: "route", link: spec.name, op: "replace", words });
		}
	}
	const { table } = spec;
	if (table === undefined) return steps;
	for (const source of spec.addresses.map(ruleSource)) {
		const same = (rulesFrom.get(source) ?? []).filter((rule) =>
			isRuleFor(rule, source, table),
		);
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

/**
 * Same subnet as the primary: the kernel's own route for the secondary moves to a higher metric,
 * else the next bounce of eth0 puts eth1's first and the primary's traffic leaves by eth1.
 */
function demotion(spec: InterfaceSpec, now: KernelState, adds: Step[]): Step[] {
	if (spec.demoteMetric === undefined) return [];
	if (!now.links.some((one) => one.name === spec.name && one.mac === spec.mac))
		return [];
	const connected = connectedRoute(spec);
	const demoted = [...connected, "metric", String(spec.demoteMetric)];
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
	if (isAdding || !now.routes.some(sameRouteAs(demoted))) {
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
			words: first?.words ?? connected,
		});
	return steps;
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
