import { type Execution, execute } from "./apply/execute.js";
import { messageOf } from "./errors.js";
import type {
	Desired,
	Finding,
	Health,
	InterfaceSpec,
	Observed,
	Plan,
	Step,
} from "./model.js";
import { observeHealth, resolvesNeighbour } from "./observe/health.js";
import { observeKernel } from "./observe/kernel.js";
import { observeFile } from "./observe/link-files.js";
import { kernelDifference } from "./plan/kernel-difference.js";
import { revertKernel, revertSteps } from "./plan/revert.js";
import {
	hasForeign,
	kernelWant,
	type Means,
	sysctlSettings,
	touchedBy,
} from "./plan.js";
import { editSysctlConf } from "./sysctl-conf.js";
import type { System } from "./system.js";
import {
	failedLinks,
	fileFindings,
	healthFindings,
	isNeighbourOnly,
	kernelFindings,
	neighbourFindings,
} from "./verify.js";

// FAILED or INCOMPLETE for 3 s, three times, is a gateway that is gone.
const primaryNeighbourMs = 9000;
const secondaryNeighbourMs = 10_000;

/** How a run of steps ended. */
export interface Transaction {
	/** Names of links that were rolled back. */
	rolledBack: string[];
	isRollbackFailed: boolean;
	findings: Finding[];
	/** Why everything was given up, when it was an error and not a finding. */
	error: unknown;
}

interface Run {
	system: System;
	observed: Observed;
	desired: Desired;
	plan: Plan;
	means: Means;
	execution: Execution;
	health: Health | undefined;
}

/**
 * Applies a plan, verifies, climbs the ladder while something differs (the kernel's difference,
 * then one restart of the interface) and rolls back the links that still fail. `commit` is the
 * last thing that can fail: it runs once everything holds.
 */
export async function transact(
	run: Omit<Run, "health">,
	time: (phase: string) => void,
): Promise<Transaction> {
	const { system, observed, desired, plan, means, execution } = run;
	const full: Run = { ...run, health: undefined };
	let seen: Finding[] = [];
	let open: Finding[] = [];
	try {
		if (means.restart !== "none")
			full.health = await observeHealth(
				system,
				observed,
				desired.primary,
				undefined,
				1000,
			);
		time("probe");
		const troubles = await execute(plan.steps, execution);
		time("apply");
		open = await verify(full);
		seen = merge(troubles, open);
		if (means.restart !== "none") {
			for (const rung of [mendKernel, restartLinks]) {
				if (open.length === 0) break;
				const steps = await rung(full, open);
				if (steps.length === 0) continue;
				seen = merge(seen, await executeApart(steps, execution));
				open = await verify(full);
				seen = merge(seen, open);
			}
		}
		time("verify");
	} catch (error) {
		const isClean = await rollBack(full, "all");
		time("rollback");
		return {
			rolledBack: namesOf(desired),
			isRollbackFailed: !isClean,
			findings: seen,
			error,
		};
	}
	const isOpen = (finding: Finding) =>
		open.some((one) => keyOf(one) === keyOf(finding));
	const findings = seen.map((finding) =>
		isOpen(finding) ? finding : { ...finding, mended: true },
	);
	if (open.length === 0)
		return {
			rolledBack: [],
			isRollbackFailed: false,
			findings,
			error: undefined,
		};

	const doomed = failedLinks(open, desired);
	const hasSurvivors =
		doomed !== "all" &&
		desired.interfaces.some((spec) => !doomed.includes(spec.name));
	const failed = hasSurvivors ? doomed : "all";
	const isClean = await rollBack(full, failed);
	time("rollback");
	return {
		rolledBack: failed === "all" ? namesOf(desired) : failed,
		isRollbackFailed: !isClean,
		findings,
		error: undefined,
	};
}

/** Undoes a whole run whose result could not be recorded. */
export async function undo(run: Omit<Run, "health">): Promise<boolean> {
	return rollBack({ ...run, health: undefined }, "all");
}

function namesOf(desired: Desired): string[] {
	return [
		...new Set([...desired.interfaces, ...desired.gone].map((one) => one.name)),
	];
}

function wantOf({ observed, desired, execution }: Run) {
	return kernelWant(
		observed,
		desired,
		touchedBy(execution.done.map(({ step }) => step)),
	);
}

async function verify(run: Run): Promise<Finding[]> {
	const { system, desired, plan, means, health } = run;
	const paths = plan.steps.flatMap((step) =>
		step.kind === "write" || step.kind === "remove" ? [step.path] : [],
	);
	const files = fileFindings(
		plan,
		paths.flatMap((path) => observeFile(system.fs, path)),
	);
	if (means.restart === "none") return files;

	const kernel = await observeKernel(system);
	const findings = [...files, ...kernelFindings(wantOf(run), kernel)];
	const isSound = (spec: InterfaceSpec) =>
		!findings.some((finding) => finding.link === spec.name);
	const asked = changedInterfaces(run).filter(isSound);
	const [after, ...answers] = await Promise.all([
		observeHealth(system, kernel, desired.primary, health, primaryNeighbourMs),
		...asked.map((spec) => {
			const from = spec.addresses[0]?.split("/")[0] ?? "";
			return resolvesNeighbour(
				system,
				{ link: spec.name, from, to: spec.gateway },
				secondaryNeighbourMs,
			);
		}),
	]);
	const neighbours = Object.fromEntries(
		asked.map((spec, at) => [spec.name, answers[at] ?? false]),
	);
	return [
		...findings,
		...neighbourFindings(desired.interfaces, neighbours),
		...healthFindings(health, after),
	];
}

function changedInterfaces({ desired, plan }: Run): InterfaceSpec[] {
	return desired.interfaces.filter((spec) =>
		plan.steps.some((step) => step.link === spec.name),
	);
}

/** First rung: the kernel's difference, directly. */
async function mendKernel(run: Run): Promise<Step[]> {
	return kernelDifference(wantOf(run), await observeKernel(run.system));
}

/** Second rung: each failing interface is restarted once, where that cannot cost anybody else anything. */
async function restartLinks(run: Run, findings: Finding[]): Promise<Step[]> {
	const { desired, observed, means, system } = run;
	const specs = desired.interfaces.filter((spec) => {
		const own = findings.filter((finding) => finding.link === spec.name);
		return (
			own.length > 0 &&
			!isNeighbourOnly(own) &&
			!hasForeign(spec.name, observed, desired)
		);
	});
	const restarts = specs.flatMap((spec) => [
		...means.backend.deactivate(spec.name),
		...means.backend.activate(spec),
	]);
	if (restarts.length === 0) return [];
	const failures = await execute(restarts, run.execution);
	for (const { want, got } of failures) system.log("debug", `${want}: ${got}`);
	return kernelDifference(wantOf(run), await observeKernel(system));
}

// One batch per link: a line that fails for one must not keep the others from theirs.
async function executeApart(
	steps: Step[],
	execution: Execution,
): Promise<Finding[]> {
	const names = [...new Set(steps.map((step) => step.link))];
	const findings: Finding[] = [];
	for (const name of names)
		findings.push(
			...(await execute(
				steps.filter((step) => step.link === name),
				execution,
			)),
		);
	return findings;
}

/** Files to what they were, then the kernel; true when a last look finds it as before. */
async function rollBack(run: Run, links: string[] | "all"): Promise<boolean> {
	const { system, observed, desired, execution } = run;
	const done = execution.done.map(({ step }) => step);
	const scope = { links, touched: touchedBy(done) };
	const backwards: Execution = { ...execution, force: true, done: [] };
	try {
		const survivors =
			links === "all"
				? []
				: desired.interfaces.filter((spec) => !links.includes(spec.name));
		await execute(revertSteps(done, scope), backwards);
		if (links !== "all")
			await execute(sysctlConfFor(run, survivors), backwards);
		for (let attempt = 0; attempt < 3; attempt += 1) {
			const steps = revertKernel(
				observed,
				await observeKernel(system),
				desired,
				scope,
			);
			if (steps.length === 0) return filesAreBack(run, links);
			await execute(steps, backwards);
		}
		return (
			revertKernel(observed, await observeKernel(system), desired, scope)
				.length === 0 && filesAreBack(run, links)
		);
	} catch (error) {
		system.log("error", `roll back: ${messageOf(error)}`);
		return false;
	}
}

function filesAreBack(
	{ system, execution }: Run,
	links: string[] | "all",
): boolean {
	return execution.done.every(({ step }) => {
		if (step.kind !== "write" && step.kind !== "remove") return true;
		if (
			links !== "all" &&
			(step.link === undefined || !links.includes(step.link))
		)
			return true;
		return (
			observeFile(system.fs, step.path)[0]?.content === step.before?.content
		);
	});
}

// /etc/sysctl.conf is shared: with some links rolled back it keeps the lines of the others.
function sysctlConfFor(
	{ observed, desired, means, execution }: Run,
	survivors: InterfaceSpec[],
): Step[] {
	const written = execution.done
		.map(({ step }) => step)
		.find((step) => step.kind === "write" && step.link === undefined);
	if (written?.kind !== "write") return [];
	const settings = sysctlSettings({ ...desired, interfaces: survivors });
	const content = editSysctlConf(
		observed.sysctlConf?.content,
		settings,
		settings.length > 0 ? means.renderer.sysctl(settings) : "",
	);
	if (content === undefined)
		return [
			{
				kind: "remove",
				link: undefined,
				path: written.path,
				before: written.before ?? { ...written, uid: 0, gid: 0 },
				keepCopy: false,
			},
		];
	return [{ ...written, content, keepCopy: false }];
}

function keyOf({ link, kind, want }: Finding): string {
	return `${link} ${kind} ${want}`;
}

function merge(seen: Finding[], more: Finding[]): Finding[] {
	return [
		...seen,
		...more.filter(
			(finding) => !seen.some((one) => keyOf(one) === keyOf(finding)),
		),
	];
}
