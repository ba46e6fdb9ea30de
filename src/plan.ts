import type { Backend } from "./backends/backend.js";
import { isOurRule } from "./desire/managed.js";
import type {
	Before,
	Desired,
	InterfaceSpec,
	KernelState,
	Managed,
	Observed,
	Plan,
	Rule,
	RuleStep,
	RunStep,
	Settings,
	Step,
} from "./model.js";
import {
	hasForeign,
	isLive,
	isOurLinkUp,
	needsActivation,
	predict,
} from "./plan/activation.js";
import { hasAddress } from "./plan/addresses.js";
import { isExtraStep } from "./plan/extras.js";
import { fileSteps, removeSteps, sysctlConfSteps } from "./plan/files.js";
import { type KernelWant, kernelDifference } from "./plan/kernel-difference.js";
import { labelSteps } from "./plan/labels.js";
import { stepKey } from "./plan/step-key.js";
import { wantedSysctls } from "./plan/sysctls.js";
import type { Renderer } from "./render.js";

/** What a plan is made with, besides what is and what should be. */
export interface Means {
	backend: Backend;
	renderer: Renderer;
	restart: Settings["restart"];
	/** Names of links that have only drifted: they are restarted only where nothing less will do. */
	calm: string[];
}

/** The steps from observed to desired, in the order they are done. Same input, same steps; nothing to do, no steps. */
export function makePlan(
	observed: Observed,
	desired: Desired,
	means: Means,
): Plan {
	const writes = desired.interfaces.flatMap((spec) =>
		fileSteps(spec, observed, desired, means),
	);
	const removals = desired.gone.flatMap((managed) =>
		removeSteps(managed, observed, desired),
	);
	const sysctlFile = sysctlConfSteps(observed, desired, means.renderer);
	// The shared file first: on a full disk it fails before anything is gone.
	const files = [...sysctlFile, ...removals, ...writes].filter(
		(step) => !desired.left.includes(stepKey(step)),
	);
	const labels = labelSteps(observed.facts.selinux, files);
	if (means.restart === "none") return { steps: [...files, ...labels] };

	const want = kernelWant(observed, desired);
	const direct = kernelDifference(want, observed);
	const isChanged = (name: string) =>
		[...files, ...direct].some((step) => step.link === name);
	const goneLinks = desired.gone.filter(
		(managed) =>
			isLive(managed, observed) && !hasForeign(managed.name, observed, desired),
	);
	const isCalm = (name: string) => means.calm.includes(name);
	const restartOf = (name: string) => (isCalm(name) ? "auto" : means.restart);
	const restarted = desired.interfaces.filter(
		(spec) =>
			isChanged(spec.name) &&
			needsActivation(spec, observed, desired, restartOf(spec.name)),
	);
	const isService =
		means.restart === "service" &&
		[...files, ...direct].some((step) => !isExtraStep(step, desired.extras)) &&
		desired.interfaces.some(({ name }) => !isCalm(name));
	const bounced = restarted.filter((spec) =>
		isOurLinkUp(spec, observed, desired),
	);
	const down = [...new Set([...goneLinks, ...bounced].map(({ name }) => name))];
	const deactivations = isService
		? []
		: down.flatMap((name) => means.backend.deactivate(name));
	const activations = isService
		? means.backend.restartService()
		: restarted.flatMap((spec) => means.backend.activate(spec));
	const activated = isService ? desired.interfaces : restarted;
	const cleared =
		deactivations.length + activations.length > 0 ? activated : [];
	const clearing = standingRules(
		cleared.filter(({ name }) => !down.includes(name)),
		observed,
		desired,
	);
	const runs = [...deactivations, ...activations];
	const predicted = predict(
		{
			...observed,
			rules: observed.rules.filter(
				(rule) => !clearing.some(({ words }) => words === rule.words),
			),
		},
		isService ? activated.map(({ name }) => name) : down,
		activated,
		desired,
	);
	const rest =
		runs.length === 0
			? direct
			: kernelDifference(
					kernelWant(observed, desired, touchedBy(runs)),
					predicted,
				);
	const isGivenBack = (step: Step) =>
		step.kind === "sysctl" &&
		desired.gone.some(({ name }) => name === step.link) &&
		!desired.interfaces.some(({ name }) => name === step.link);
	const isEarly = (step: Step) => step.kind === "sysctl" && !isGivenBack(step);
	// ifdown takes a NIC's rules away by its files; of one that is gone they go before the files do.
	const unplugged = desired.gone.filter(
		({ name, mac }) =>
			!observed.links.some((link) => link.name === name && link.mac === mac),
	);
	const isLeaked = (step: Step) =>
		step.kind === "rule" &&
		step.op === "del" &&
		unplugged.some(({ name }) => name === step.link);
	return {
		steps: [
			...rest.filter(isLeaked),
			...deactivations,
			...files,
			...labels,
			...rest.filter(isEarly),
			...clearing,
			...activations,
			...rest.filter((step) => step.kind !== "sysctl" && !isLeaked(step)),
			// Last: without promote_secondaries the kernel drops foreign secondaries with our address.
			...rest.filter(isGivenBack),
			...restoreUserLinks(observed, desired, predicted),
		],
	};
}

// Our rules outlive a link; on CentOS 7.2 the next ifup would add each a second time.
function standingRules(
	activated: InterfaceSpec[],
	observed: Observed,
	{ recorded }: Desired,
): RuleStep[] {
	const isOurs = (rule: Rule, { mac, name }: InterfaceSpec) =>
		isOurRule(
			rule,
			recorded.filter((one) => one.mac === mac || one.name === name),
		);
	return observed.rules.flatMap((rule): RuleStep[] => {
		const spec = activated.find((one) => isOurs(rule, one));
		const { words } = rule;
		return spec ? [{ kind: "rule", link: spec.name, op: "del", words }] : [];
	});
}

/** What verify and the ladder compare the kernel with, for the same run. */
export function kernelWant(
	observed: Observed,
	desired: Desired,
	touched: KernelWant["touched"] = [],
): KernelWant {
	return {
		interfaces: desired.interfaces,
		recorded: desired.recorded,
		gone: desired.gone,
		extras: desired.extras,
		down: desired.gone
			.filter((managed) => goesDown(managed, observed, desired))
			.map((managed) => managed.name),
		sysctls: {
			...wantedSysctls(observed, desired),
			// `network stop` sets it to 0, whatever was meant.
			...(touched === "all" && observed.sysctls.ip_forward !== undefined
				? { ip_forward: observed.sysctls.ip_forward }
				: {}),
		},
		spared: Object.fromEntries(
			desired.gone.map((managed) => [
				managed.name,
				beforeFor(managed, observed)?.addresses.map(
					(words) => words.split(" ")[0] ?? "",
				) ?? [],
			]),
		),
		baseline: observed,
		touched,
		left: desired.left,
	};
}

// Where the link was down before the agent came, and nobody else has come to use it.
function goesDown(
	managed: Managed,
	observed: Observed,
	desired: Desired,
): boolean {
	return (
		isLive(managed, observed) &&
		!hasForeign(managed.name, observed, desired) &&
		!beforeFor(managed, observed)?.up &&
		!desired.interfaces.some((spec) => spec.name === managed.name)
	);
}

/** Links that the commands among steps may have bounced. */
export function touchedBy(steps: Step[]): KernelWant["touched"] {
	const runs = steps.filter((step): step is RunStep => step.kind === "run");
	return runs.some((step) => step.touches === "all")
		? "all"
		: [...new Set(runs.flatMap((step) => step.touches as string[]))];
}

// After `remove`, a link that was up before the agent came gets its addresses and routes back.
function restoreUserLinks(
	observed: Observed,
	desired: Desired,
	now: KernelState,
): Step[] {
	return desired.gone.flatMap((managed): Step[] => {
		const before = beforeFor(managed, observed);
		const link = now.links.find(
			(one) => one.name === managed.name && one.mac === managed.mac,
		);
		const isReused = desired.interfaces.some(
			(spec) => spec.name === managed.name,
		);
		if (!before?.up || isReused || !link) return [];
		const { name } = link;
		// Only what stood until this run: what its owner has taken away meanwhile (a VIP) stays away.
		const stood = observed.links.find(
			(one) => one.name === name && one.mac === managed.mac,
		);
		const isIn = (routes: KernelState["routes"], words: string[]) =>
			routes.some((route) => route.words.join(" ") === words.join(" "));
		return [
			...(link.up ? [] : [{ kind: "link", link: name, op: "up" } as Step]),
			...before.addresses
				.map((words) => words.split(" "))
				.filter(
					([cidr = ""]) =>
						stood && hasAddress(stood, cidr) && !hasAddress(link, cidr),
				)
				.map((words): Step => ({ kind: "addr", link: name, op: "add", words })),
			...before.routes
				.filter(
					(words) => isIn(observed.routes, words) && !isIn(now.routes, words),
				)
				.map(
					(words): Step => ({ kind: "route", link: name, op: "append", words }),
				),
		];
	});
}

function beforeFor(managed: Managed, observed: Observed): Before | undefined {
	return observed.state.interfaces[managed.mac]?.before;
}
