import { guardTargets } from "./apply/atomic.js";
import type { Execution } from "./apply/execute.js";
import { chooseCopies } from "./apply/file-steps.js";
import { hasJournal, newJournalId } from "./apply/journal.js";
import { acquireLock, type Lock } from "./apply/lock.js";
import { recover } from "./apply/recover.js";
import { backOffKey, specKey } from "./back-off.js";
import { type Committed, nextState, stateAfterFailure } from "./commit.js";
import { findPrimary } from "./desire/candidate.js";
import { desire } from "./desire.js";
import { AgentError, exitCodes, isAgentError } from "./errors.js";
import { chooseMeans } from "./means.js";
import type {
	Desired,
	InterfaceSpec,
	Journal,
	Observed,
	Request,
	Settings,
} from "./model.js";
import { observeFacts } from "./observe/facts.js";
import { observeHealth } from "./observe/health.js";
import { observe } from "./observe/observe.js";
import { changesExtras } from "./plan/extras.js";
import { touchableKernel } from "./plan/revert.js";
import { makePlan, touchedBy } from "./plan.js";
import { linksOf, type Prepared } from "./prepared.js";
import {
	type Report,
	reportPlan,
	reportTransaction,
	reportUnchanged,
} from "./report.js";
import { isNetworkBusy, serviceObstacle } from "./service.js";
import { readRecord, writeState } from "./state.js";
import type { System } from "./system.js";
import { type Commit, transact } from "./transact.js";

const healthProbeMs = 1000;

/** What a caller has taken beforehand. */
export interface Held {
	lock: Lock;
	/** What showKernel() has printed since, if that was just now. */
	shown?: string | undefined;
	/** A gateway that was asked for with it, and the link by which the kernel would go there. */
	way?: { to: string; link: string | undefined } | undefined;
}

/**
 * Recover, observe, desire, plan, apply, verify, commit or roll back. The only function that knows this
 * order; every front end calls it. Releases the lock, also one that the caller held. Throws AgentError for what concerns the whole run.
 */
export async function reconcile(
	system: System,
	request: Request,
	settings: Settings,
	lockTimeoutMs: number,
	held?: Held,
): Promise<Report & { prepared: Prepared }> {
	const { timings, time } = stopwatch(system);
	const lock = request.dryRun
		? undefined
		: (held?.lock ?? (await acquireLock(system, lockTimeoutMs)));
	time("lock");
	let recovered = false;
	try {
		if (lock) recovered = await recover(system, lock.fd, lockTimeoutMs);
		if (recovered) time("recover");
		// Before anything is asked of the network: a host that is not supported is refused as it is.
		const means = await chooseMeans(system, request, settings);
		const hasNews = request.daemon?.hasNews && settings.restart !== "none";
		const busy = hasNews
			? isNetworkBusy(system, { facts: observeFacts(system.fs) })
			: undefined;
		busy?.catch(() => {});
		const shown = recovered ? undefined : held?.shown;
		const observed = await observe(
			system,
			request,
			settings,
			shown === undefined ? {} : { shown },
		);
		time("observe");
		const primary = findPrimary(observed);
		const health = hasNews
			? probe(system, observed, primary, shown && held?.way)
			: undefined;
		health?.catch(() => {});
		const desired = desire(observed, request, settings);
		if (request.daemon) means.calm = calmLinks(observed, desired);
		let plan = makePlan(observed, desired, means);
		const obstacle = serviceObstacle(observed, plan, request.force);
		if (obstacle && !request.daemon) throw new AgentError("refused", obstacle);
		if (obstacle) {
			const text = `${obstacle}: NICs are brought up one by one instead`;
			desired.notes.push({ link: undefined, text });
			means.restart = "auto";
			plan = makePlan(observed, desired, means);
		}
		time("plan");
		const prepared: Prepared = { observed, desired, plan, means };
		if (request.dryRun && hasJournal(system.fs)) {
			const text =
				"an earlier run was interrupted: the next one first undoes it, so this plan may differ from what it then does";
			desired.notes.push({ link: undefined, text });
		}
		guardTargets(system.fs, plan);
		const report = request.dryRun
			? reportPlan(prepared)
			: await carryOut(system, prepared, request, lock?.fd, settings, time, {
					busy,
					health,
				});
		return { ...report, recovered, timings, prepared };
	} catch (error) {
		if (isAgentError(error)) error.recovered = recovered;
		throw error;
	} finally {
		lock?.release();
	}
}

type Probe = ReturnType<typeof observeHealth>;

// What works on the primary before anything is touched.
function probe(
	system: System,
	observed: Observed,
	primary: Desired["primary"],
	way?: Held["way"] | "",
): Probe {
	const before = undefined;
	const known = way || undefined;
	return observeHealth(system, observed, primary, before, healthProbeMs, known);
}

// What has only drifted, or is tried again, is put right with as little as will do.
function calmLinks(observed: Observed, desired: Desired): string[] {
	const steady = steadyLinks(observed, desired);
	return desired.interfaces
		.filter((spec) => {
			const { backOff } = observed.state.interfaces[spec.mac] ?? {};
			const isRetry = backOff?.spec === backOffKey(spec, observed);
			return isRetry || steady.includes(spec.name);
		})
		.map(({ name }) => name);
}

// Apply, verify, commit or roll back; without steps only the record is brought up to date.
async function carryOut(
	system: System,
	prepared: Prepared,
	request: Request,
	lock: number | undefined,
	settings: Settings,
	time: (phase: string) => void,
	early: { busy?: Promise<boolean> | undefined; health?: Probe | undefined },
): Promise<Report> {
	const { observed, desired, plan, means } = prepared;
	const isExtrasChanged = changesExtras(plan, desired.extras);
	// Named NICs that are all refused leave no trace, not even in the record.
	const isAbout = linksOf(prepared).length > 0 || isExtrasChanged;
	if (!isAbout && request.targets !== "all") return reportUnchanged(prepared);
	const execution: Execution = {
		system,
		lock,
		force: false,
		done: [],
		backups: [],
		copies: {},
	};
	const commit: Commit = {
		stateAfter: ({ links: rolledBack, extras }, isClean) => {
			const isKernelDone = means.restart !== "none";
			const isBack = ({ name }: { name: string }) =>
				isClean && rolledBack.includes(name);
			const committed: Committed = {
				kept: desired.interfaces.filter((spec) => !isBack(spec)),
				// One that had nothing to change is not to blame for what the others had.
				failed: desired.interfaces.filter(
					({ name }) =>
						rolledBack.includes(name) &&
						plan.steps.some(({ link }) => link === name),
				),
				gone: desired.gone.filter(({ name }) => !rolledBack.includes(name)),
				extras: !isKernelDone
					? "untouched"
					: !(extras && isExtrasChanged)
						? "kept"
						: isClean
							? "rolled-back"
							: "rollback-failed",
				backups: execution.backups,
				isKernelDone,
				nowMs: system.clock.nowMs(),
			};
			return nextState(observed, desired, request, settings, committed);
		},
		stateAfterFailure: (begun) =>
			stateAfterFailure(observed, desired, begun, system.clock.nowMs()),
	};
	if (!isAbout || plan.steps.length === 0) {
		writeState(system, commit.stateAfter({ links: [], extras: false }, true));
		time("commit");
		return reportUnchanged(prepared);
	}
	// Both are a program each: side by side.
	const [isBusy, health] =
		means.restart === "none"
			? [false, undefined]
			: await Promise.all([
					early.busy ?? isNetworkBusy(system, observed),
					early.health ?? probe(system, observed, desired.primary),
				]);
	time("probe");
	if (isBusy) {
		return {
			...reportUnchanged(prepared),
			outcome: "pending",
			exitCode: exitCodes.refused,
			error: `the network service is starting or stopping${request.daemon ? "" : ": try again, or use --wait"}`,
		};
	}
	execution.copies = chooseCopies(system.fs, plan.steps);
	const journal = journalOf(prepared, request.verb, execution.copies, system);
	const steady = request.daemon ? steadyLinks(observed, desired) : [];
	const run = { ...prepared, system, execution, journal, steady, health };
	return reportTransaction(
		prepared,
		await transact(run, commit, time),
		execution.done,
	);
}

// The run as it is to be undone, before its first step.
function journalOf(
	prepared: Prepared,
	command: Request["verb"],
	copies: Record<string, string>,
	system: System,
): Journal {
	const { observed, desired, plan } = prepared;
	const { interfaces, gone, recorded } = desired;
	const { bootId } = observed;
	return {
		version: 1,
		id: newJournalId(),
		bootId,
		command,
		links: linksOf(prepared),
		scope: "all",
		steps: [],
		before: touchableKernel(observed, desired, touchedBy(plan.steps)),
		interfaces,
		gone,
		recorded,
		extras: changesExtras(plan, desired.extras) ? desired.extras : undefined,
		record: readRecord(system),
		copies,
	};
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

function steadyLinks({ state }: Observed, { interfaces }: Desired): string[] {
	const isSteady = (spec: InterfaceSpec) => {
		const managed = state.interfaces[spec.mac]?.managed;
		return managed !== undefined && specKey(managed) === specKey(spec);
	};
	return interfaces.filter(isSteady).map(({ name }) => name);
}
