import type { Execution } from "./apply/execute.js";
import { acquireLock } from "./apply/lock.js";
import { detectBackend } from "./backends/detect.js";
import { nextState } from "./commit.js";
import { desire } from "./desire.js";
import { AgentError, exitCodes, messageOf, worstExitCode } from "./errors.js";
import { readValue } from "./files.js";
import type {
	Desired,
	Finding,
	Observed,
	Outcome,
	Plan,
	Request,
	Settings,
} from "./model.js";
import { observeFacts } from "./observe/facts.js";
import { observe } from "./observe/observe.js";
import { paths } from "./paths.js";
import { type Means, makePlan, sysctlSettings } from "./plan.js";
import { createRenderer } from "./render.js";
import {
	type Report,
	reportSpec,
	reportVerdict,
	worstOutcome,
} from "./report.js";
import { guardServiceRestart, isNetworkBusy } from "./service.js";
import { writeState } from "./state.js";
import { contradictions } from "./sysctl-conf.js";
import type { System } from "./system.js";
import { loadTemplates } from "./templates.js";
import { type Transaction, transact, undo } from "./transact.js";

/** A reconcile as far as it has got: what `plan` shows and the transaction starts from. */
export interface Prepared {
	observed: Observed;
	desired: Desired;
	plan: Plan;
	means: Means;
}

/**
 * Observe, desire, plan, apply, verify, commit or roll back. The only function that knows this
 * order; every front end calls it. Throws AgentError for what concerns the whole run.
 */
export async function reconcile(
	system: System,
	request: Request,
	settings: Settings,
	lockTimeoutMs: number,
): Promise<Report & { prepared: Prepared }> {
	const timings: Record<string, number> = {};
	const time = stopwatch(system, timings);
	const lock = request.dryRun
		? undefined
		: await acquireLock(system, lockTimeoutMs);
	time("lock");
	try {
		const means = chooseMeans(system, settings);
		const observed = await observe(system, request, settings);
		time("observe");
		const desired = desire(observed, request, settings);
		const prepared: Prepared = {
			observed,
			desired,
			plan: makePlan(observed, desired, means),
			means,
		};
		time("plan");
		const report = request.dryRun
			? planned(prepared)
			: await carryOut(system, prepared, request, settings, lock?.fd, time);
		return { ...report, timings, prepared };
	} finally {
		lock?.release();
	}
}

// Before anything is asked of the network: a host that is not supported is refused as it is.
function chooseMeans(system: System, settings: Settings): Means {
	const { backend, why } = detectBackend(
		observeFacts(system.fs),
		settings.backend,
	);
	system.log("debug", `backend: ${why}`);
	if (!backend) throw new AgentError("refused", why);
	return {
		backend,
		renderer: createRenderer(loadTemplates(system)),
		restart: settings.restart,
	};
}

function planned(prepared: Prepared): Report {
	const { desired, plan } = prepared;
	const changed = plan.steps.map((step) => step.link);
	return reportOf(
		prepared,
		(name) => (changed.includes(name) ? "planned" : "unchanged"),
		{
			steps:
				desired.interfaces.length + desired.gone.length > 0
					? plan.steps.map((step) => ({ step, ms: 0 }))
					: [],
		},
	);
}

async function carryOut(
	system: System,
	prepared: Prepared,
	request: Request,
	settings: Settings,
	lock: number | undefined,
	time: (phase: string) => void,
): Promise<Report> {
	const { observed, desired, plan } = prepared;
	const execution: Execution = {
		system,
		lock,
		force: false,
		done: [],
		backups: [],
	};
	const bootId = readValue(system.fs, paths.bootId) ?? "";
	const commit = (
		kept = desired.interfaces,
		failed: Desired["interfaces"] = [],
	) =>
		writeState(
			system,
			nextState(observed, desired, request, settings, {
				kept,
				failed,
				backups: execution.backups,
				bootId,
			}),
		);
	if (desired.interfaces.length + desired.gone.length === 0)
		return reportOf(prepared, () => "unchanged", {});
	if (plan.steps.length === 0) {
		commit();
		time("commit");
		return reportOf(prepared, () => "unchanged", {});
	}
	guardServiceRestart(observed, plan, request.force);
	if (
		settings.restart !== "none" &&
		(await isNetworkBusy(system, observed.facts))
	) {
		const reason =
			"the network service is starting or stopping: try again, or use --wait";
		return reportOf(prepared, () => "pending", {
			error: reason,
			exitCode: exitCodes.refused,
		});
	}

	const run = {
		system,
		observed,
		desired,
		plan,
		means: prepared.means,
		execution,
	};
	let result = await transact(run, time);
	try {
		const isBack = ({ name }: { name: string }) =>
			result.rolledBack.includes(name);
		if (result.rolledBack.length === 0) commit();
		else if (desired.gone.length === 0)
			commit(
				desired.interfaces.filter((spec) => !isBack(spec)),
				desired.interfaces.filter(isBack),
			);
		time("commit");
	} catch (error) {
		if (result.rolledBack.length === 0)
			result = await giveUp(run, result, error);
	}
	return reportTransaction(prepared, result, execution);
}

// What cannot be recorded cannot be taken back later, so it must not stand.
async function giveUp(
	run: Parameters<typeof undo>[0],
	result: Transaction,
	error: unknown,
): Promise<Transaction> {
	const isClean = await undo(run);
	const names = [...run.desired.interfaces, ...run.desired.gone].map(
		(one) => one.name,
	);
	return { ...result, rolledBack: names, isRollbackFailed: !isClean, error };
}

function reportTransaction(
	prepared: Prepared,
	result: Transaction,
	execution: Execution,
): Report {
	const { plan } = prepared;
	const changed = plan.steps.map((step) => step.link);
	const outcomeOf = (name: string): Outcome => {
		if (!result.rolledBack.includes(name))
			return changed.includes(name) || changed.includes(undefined)
				? "applied"
				: "unchanged";
		return result.isRollbackFailed ? "rollback-failed" : "rolled-back";
	};
	return reportOf(prepared, outcomeOf, {
		steps: execution.done,
		findings: result.findings,
		...(result.error === undefined ? {} : { error: messageOf(result.error) }),
	});
}

const exitCodeOf: Record<Outcome, number> = {
	unchanged: exitCodes.converged,
	applied: exitCodes.converged,
	planned: exitCodes.converged,
	pending: exitCodes.metadata,
	refused: exitCodes.refused,
	"rolled-back": exitCodes.rolledBack,
	"rollback-failed": exitCodes.rollbackFailed,
};

function reportOf(
	{ observed, desired }: Prepared,
	outcomeOf: (name: string) => Outcome,
	result: {
		steps?: Report["steps"];
		findings?: Finding[];
		error?: string;
		exitCode?: number;
	},
): Report {
	const specs = desired.interfaces.map((spec) => {
		const outcome = outcomeOf(spec.name);
		return reportSpec(spec, outcome, result.exitCode ?? exitCodeOf[outcome]);
	});
	const removed = desired.gone
		.filter((managed) => !specs.some((spec) => spec.name === managed.name))
		.map((managed) => {
			const outcome = outcomeOf(managed.name);
			return {
				...reportSpec(
					{ ...managed, nmControlled: true, source: "metadata" },
					outcome,
					exitCodeOf[outcome],
				),
				source: undefined,
			};
		});
	const verdicts = desired.verdicts
		.filter(
			(verdict) =>
				![...specs, ...removed].some((one) => one.name === verdict.link),
		)
		.map((verdict) => reportVerdict(verdict, observed.links));
	const interfaces = [...specs, ...unique(removed), ...verdicts];
	return {
		outcome: worstOutcome(interfaces.map((one) => one.outcome)),
		exitCode: worstExitCode(interfaces.map((one) => one.exitCode)),
		recovered: false,
		interfaces,
		steps: result.steps ?? [],
		findings: [
			...(result.findings ?? []),
			...persistentContradictions(observed, desired),
		],
		notes: desired.notes,
		timings: {},
		error: result.error,
	};
}

// A later line or file that says otherwise is the user's: named, not fought.
function persistentContradictions(
	observed: Observed,
	desired: Desired,
): Finding[] {
	if (desired.interfaces.length + desired.others.length === 0) return [];
	return contradictions(
		observed.sysctlConf?.content,
		observed.laterSysctlFiles,
		sysctlSettings(desired),
	).map(({ path, key, want, got }) => ({
		link: undefined,
		kind: "sysctl-file",
		want: `${key} = ${want}`,
		got: `${path} says ${got}`,
	}));
}

function unique<T extends { name: string }>(items: T[]): T[] {
	return items.filter(
		(item, at) => items.findIndex((one) => one.name === item.name) === at,
	);
}

// Phase names to milliseconds; a phase that comes twice is added up.
function stopwatch(
	system: System,
	timings: Record<string, number>,
): (phase: string) => void {
	let last = system.clock.nowMs();
	return (phase) => {
		const now = system.clock.nowMs();
		timings[`${phase}Ms`] =
			Math.round(((timings[`${phase}Ms`] ?? 0) + now - last) * 10) / 10;
		last = now;
	};
}
