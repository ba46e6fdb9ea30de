import { guardTargets } from "./apply/atomic.js";
import type { Execution } from "./apply/execute.js";
import { acquireLock } from "./apply/lock.js";
import { detectBackend } from "./backends/detect.js";
import { type Committed, nextState } from "./commit.js";
import { desire } from "./desire.js";
import { AgentError, exitCodes } from "./errors.js";
import { readValue } from "./files.js";
import type { Request, Settings } from "./model.js";
import { observeFacts } from "./observe/facts.js";
import { observe } from "./observe/observe.js";
import { paths } from "./paths.js";
import { type Means, makePlan } from "./plan.js";
import { linksOf, type Prepared } from "./prepared.js";
import { createRenderer } from "./render.js";
import {
	type Report,
	reportPlan,
	reportTransaction,
	reportUnchanged,
} from "./report.js";
import { guardServiceRestart, isNetworkBusy } from "./service.js";
import { restoreState, writeState } from "./state.js";
import type { System } from "./system.js";
import { loadTemplates } from "./templates.js";
import { type Commit, transact } from "./transact.js";

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
	const { timings, time } = stopwatch(system);
	const lock = request.dryRun
		? undefined
		: await acquireLock(system, lockTimeoutMs);
	time("lock");
	try {
		const means = chooseMeans(system, request, settings);
		const observed = await observe(system, request, settings);
		time("observe");
		const desired = desire(observed, request, settings);
		const plan = makePlan(observed, desired, means);
		time("plan");
		const prepared: Prepared = { observed, desired, plan, means };
		guardTargets(system.fs, plan);
		guardServiceRestart(observed, plan, request.force);
		const report = request.dryRun
			? reportPlan(prepared)
			: await carryOut(system, prepared, request, lock?.fd, settings, time);
		return { ...report, timings, prepared };
	} finally {
		lock?.release();
	}
}

// Before anything is asked of the network: a host that is not supported is refused as it is.
function chooseMeans(
	system: System,
	{ verb }: Request,
	settings: Settings,
): Means {
	const facts = observeFacts(system.fs);
	const { backend, why } = detectBackend(facts, settings.backend);
	system.log("debug", `backend: ${why}`);
	if (!backend) throw new AgentError("refused", why);
	const renderer = createRenderer(loadTemplates(system));
	// What is taken away is taken away whole, whatever a change would restart.
	const restart = verb === "remove" ? "auto" : settings.restart;
	return { backend, renderer, restart };
}

// Apply, verify, commit or roll back; without steps only the record is brought up to date.
async function carryOut(
	system: System,
	prepared: Prepared,
	request: Request,
	lock: number | undefined,
	settings: Settings,
	time: (phase: string) => void,
): Promise<Report> {
	const { observed, desired, plan, means } = prepared;
	// Named NICs that are all refused leave no trace, not even in the record.
	const isAbout = linksOf(prepared).length > 0;
	if (!isAbout && request.targets !== "all") return reportUnchanged(prepared);
	const execution: Execution = {
		system,
		lock,
		force: false,
		done: [],
		backups: [],
	};
	const commit: Commit = {
		record: (rolledBack, isClean) => {
			// What could not be taken back is still ours, for a later run to mend or remove.
			const isBack = ({ name }: { name: string }) =>
				isClean && rolledBack.includes(name);
			const committed: Committed = {
				kept: desired.interfaces.filter((spec) => !isBack(spec)),
				failed: desired.interfaces.filter(isBack),
				gone: desired.gone.filter(({ name }) => !rolledBack.includes(name)),
				backups: execution.backups,
				isKernelDone: means.restart !== "none",
				bootId: readValue(system.fs, paths.bootId) ?? "",
			};
			writeState(
				system,
				nextState(observed, desired, request, settings, committed),
			);
		},
		restore: () => restoreState(system, observed.state),
	};
	if (!isAbout || plan.steps.length === 0) {
		commit.record([], true);
		time("commit");
		return reportUnchanged(prepared);
	}
	if (means.restart !== "none" && (await isNetworkBusy(system, observed))) {
		return {
			...reportUnchanged(prepared),
			outcome: "pending",
			exitCode: exitCodes.refused,
			error:
				"the network service is starting or stopping: try again, or use --wait",
		};
	}
	const run = { ...prepared, system, execution };
	return reportTransaction(
		prepared,
		await transact(run, commit, time),
		execution.done,
	);
}

// Phase names to milliseconds; a phase that comes twice is added up.
function stopwatch(system: System) {
	const timings: Record<string, number> = {};
	let last = system.clock.nowMs();
	const time = (phase: string) => {
		const now = system.clock.nowMs();
		const ms = (timings[`${phase}Ms`] ?? 0) + now - last;
		timings[`${phase}Ms`] = Math.round(ms * 10) / 10;
		last = now;
	};
	return { timings, time };
}
