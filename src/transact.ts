import { type Execution, execute } from "./apply/execute.js";
import { rollBack } from "./apply/roll-back.js";
import { AgentError, messageOf } from "./errors.js";
import type { Finding, Step } from "./model.js";
import { observeHealth } from "./observe/health.js";
import { observeKernel } from "./observe/kernel.js";
import { hasForeign } from "./plan/activation.js";
import { kernelDifference } from "./plan/kernel-difference.js";
import { linksOf, type Transaction } from "./prepared.js";
import type { Run } from "./run.js";
import { lookAgain, wantOf } from "./verify/look-again.js";
import { failedLinks, isNeighbourOnly } from "./verify.js";

const healthProbeMs = 1000;

/** The record of what holds, as the last thing that can fail. */
export interface Commit {
	/** Records the result; throws when it cannot. */
	record(rolledBack: string[], isClean: boolean): void;
	/** Makes the record say what it said before, as far as that can be done. */
	restore(): void;
}

/**
 * Applies a plan, verifies, climbs the ladder while something differs, rolls back the links that
 * still fail, and commits the rest. What cannot be recorded cannot be taken back later, so a
 * commit that fails rolls everything back.
 */
export async function transact(
	prepared: Omit<Run, "health">,
	commit: Commit,
	time: (phase: string) => void,
): Promise<Transaction> {
	const { system, observed, desired, plan, means, execution } = prepared;
	const run: Run = { ...prepared, health: undefined };
	let findings: Finding[] = [];
	try {
		if (means.restart !== "none") {
			run.health = await observeHealth(
				system,
				observed,
				desired.primary,
				undefined,
				healthProbeMs,
			);
		}
		time("probe");
		const troubles = await execute(plan.steps, execution);
		time("apply");
		const { seen, open } = await climb(run, troubles);
		findings = markMended(seen, open);
		time("verify");
		const failed = toRollBack(run, open);
		const rolledBack = failed === "all" ? linksOf(run) : failed;
		const isClean = failed.length === 0 || (await rollBack(run, failed));
		if (failed.length > 0) time("rollback");
		commit.record(rolledBack, isClean);
		time("commit");
		return {
			rolledBack,
			isRollbackFailed: !isClean,
			findings,
			error: undefined,
		};
	} catch (error) {
		const isClean = await rollBack(run, "all");
		if (isClean) commit.restore();
		time("rollback");
		return {
			rolledBack: linksOf(run),
			isRollbackFailed: !isClean,
			findings,
			error: messageOf(error),
		};
	}
}

// Verify, then rung by rung: the kernel's difference directly, one restart of the interface.
async function climb(
	run: Run,
	troubles: Finding[],
): Promise<{ seen: Finding[]; open: Finding[] }> {
	let open = await lookAgain(run);
	let seen = merge(troubles, open);
	const signal = run.system.stopSignal();
	if (signal !== undefined && open.length > 0) {
		throw new AgentError("rolledBack", `${signal}: interrupted before the end`);
	}
	if (run.means.restart === "none") return { seen, open };
	for (const rung of [mendKernel, restartLinks]) {
		if (open.length === 0) break;
		const steps = await rung(run, open);
		if (steps === undefined) continue;
		seen = merge(seen, await executeApart(steps, run.execution));
		open = await lookAgain(run);
		seen = merge(seen, open);
	}
	return { seen, open };
}

/** First rung; undefined where the kernel differs in nothing. */
async function mendKernel(run: Run): Promise<Step[] | undefined> {
	const steps = kernelDifference(wantOf(run), await observeKernel(run.system));
	return steps.length > 0 ? steps : undefined;
}

/** Second rung: each failing interface is restarted once, where that cannot cost anybody else anything. */
async function restartLinks(
	run: Run,
	findings: Finding[],
): Promise<Step[] | undefined> {
	const { desired, observed, means, system } = run;
	const specs = desired.interfaces.filter((spec) => {
		const own = findings.filter((finding) => finding.link === spec.name);
		return (
			own.length > 0 &&
			!isNeighbourOnly(own) &&
			!hasForeign(spec.name, observed, desired)
		);
	});
	if (specs.length === 0) return undefined;
	const restarts = specs.flatMap((spec) => [
		...means.backend.deactivate(spec.name),
		...means.backend.activate(spec),
	]);
	for (const { want, got } of await execute(restarts, run.execution)) {
		system.log("debug", `${want}: ${got}`);
	}
	return kernelDifference(wantOf(run), await observeKernel(system));
}

// One batch per link: a line that fails for one must not keep the others from theirs.
async function executeApart(
	steps: Step[],
	execution: Execution,
): Promise<Finding[]> {
	const names = [...new Set(steps.map((step) => step.link))];
	const findings: Finding[] = [];
	for (const name of names) {
		const own = steps.filter((step) => step.link === name);
		findings.push(...(await execute(own, execution)));
	}
	return findings;
}

// What is shared is undone only when nobody is left who needs it.
function toRollBack(run: Run, open: Finding[]): string[] | "all" {
	if (open.length === 0) return [];
	const failed = failedLinks(open, run.desired);
	const hasSurvivors =
		failed !== "all" &&
		run.desired.interfaces.some((spec) => !failed.includes(spec.name));
	return hasSurvivors ? failed : "all";
}

function markMended(seen: Finding[], open: Finding[]): Finding[] {
	const isOpen = (finding: Finding) =>
		open.some((one) => keyOf(one) === keyOf(finding));
	return seen.map((finding) =>
		isOpen(finding) ? finding : { ...finding, mended: true },
	);
}

function merge(seen: Finding[], more: Finding[]): Finding[] {
	const isNew = (finding: Finding) =>
		!seen.some((one) => keyOf(one) === keyOf(finding));
	return [...seen, ...more.filter(isNew)];
}

function keyOf({ link, kind, want }: Finding): string {
	return `${link} ${kind} ${want}`;
}
