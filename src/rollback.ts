import { execute } from "./apply/execute.js";
import {
	commitJournal,
	dropJournal,
	keepJournal,
	newJournalId,
	readUndo,
	restoreUndo,
	writeJournal,
} from "./apply/journal.js";
import { acquireLock } from "./apply/lock.js";
import {
	activationsAfterBoot,
	guardDefaultRoute,
	recover,
	stepsAfterBoot,
} from "./apply/recover.js";
import {
	backwardsOf,
	changedByOthers,
	dropCopies,
	fileStepsBack,
	isBack,
	kernelStepsBack,
	mend,
	rollBack,
	sysctlStepsBack,
	type Undo,
} from "./apply/roll-back.js";
import { defaultRoutes } from "./desire/candidate.js";
import { managedOf, parseIfcfg } from "./desire/managed.js";
import { AgentError, exitCodes, isAgentError, messageOf } from "./errors.js";
import { readBootId, readValue } from "./files.js";
import { isOurs } from "./marker.js";
import type { Journal, KernelState, State, Step, WriteStep } from "./model.js";
import { hasSelinux, observeFacts } from "./observe/facts.js";
import { observeHealth } from "./observe/health.js";
import { observeKernel, sysctlPath } from "./observe/kernel.js";
import { observeFile } from "./observe/link-files.js";
import { paths } from "./paths.js";
import { claimedExtras } from "./plan/extras.js";
import { labelSteps } from "./plan/labels.js";
import { touchableKernel } from "./plan/revert.js";
import type { Report } from "./report.js";
import {
	nothingToUndo,
	recoveredInstead,
	reportOf,
} from "./rollback-report.js";
import { isNetworkBusy } from "./service.js";
import {
	emptyState,
	parseState,
	readRecord,
	readState,
	restoreRecord,
	writeState,
} from "./state.js";
import type { System } from "./system.js";
import { healthFindings } from "./verify.js";

const healthProbeMs = 1000;
const neighbourLimitMs = 9000;

/**
 * `rollback`: undoes the last committed change by its journal, files and kernel, and is journaled
 * itself. What somebody else has added since stays; a file that somebody else has saved since, or a
 * NIC that carries the machine's default route by now, is refused. Afterwards --all and the daemon
 * leave the NICs alone until they are named again or unbound. Throws AgentError where nothing was begun.
 */
export async function rollBackLast(
	system: System,
	lockTimeoutMs: number,
): Promise<Report> {
	const lock = await acquireLock(system, lockTimeoutMs);
	let recovered = false;
	try {
		recovered = await recover(system, lock.fd, lockTimeoutMs);
		// Who asked for it meant the run that had just been interrupted, and that is undone by now.
		if (recovered) return { ...recoveredInstead(), recovered };
		const last = readUndo(system);
		const report =
			last === undefined || last.command === "rollback"
				? nothingToUndo(last)
				: await undoChange(system, last, lock.fd);
		return report;
	} catch (error) {
		if (isAgentError(error)) error.recovered = recovered;
		throw error;
	} finally {
		lock.release();
	}
}

async function undoChange(
	system: System,
	last: Journal,
	lock: number,
): Promise<Report> {
	const start = system.clock.nowMs();
	const kernel = await observeKernel(system);
	// What its commands dropped was put back when it was committed: what is missing by now, its owner took.
	const steps = last.steps.filter(({ kind }) => kind !== "run");
	const undo: Undo = { ...last, steps, scope: "all", isLater: true };
	await guard(system, undo, last, kernel);
	const journal = journalOf(system, undo, last, kernel);
	const [primary] = defaultRoutes(kernel.routes).flatMap(({ devs }) =>
		kernel.links.filter(({ name }) => devs.includes(name)),
	);
	const health = await observeHealth(
		system,
		kernel,
		primary,
		undefined,
		healthProbeMs,
	);
	const backwards = backwardsOf(system, lock);
	const { fs } = system;
	const journaled = async (more: Step[]) => {
		journal.steps.push(...more);
		writeJournal(fs, journal);
		await execute(more, backwards);
	};
	const isSameBoot = last.bootId === readBootId(system.fs);
	const left = async () =>
		isSameBoot
			? kernelStepsBack(undo, await observeKernel(system))
			: stepsAfterBoot(system, last);
	let problem: string | undefined;
	try {
		const files = withBefore(system, fileStepsBack(system, undo));
		await journaled([...files, ...labelSteps(hasSelinux(fs), files)]);
		await journaled(await left());
		const isMended = await mend(backwards, left);
		if (!isSameBoot) await journaled(await activationsAfterBoot(system, last));
		await journaled(withBefore(system, sysctlStepsBack(system, undo)));
		const isDone = isMended && isBack(system, undo);
		const after = await observeHealth(
			system,
			await observeKernel(system),
			primary,
			health,
			neighbourLimitMs,
		);
		const [worse] = healthFindings(health, after, claimedExtras(last.extras));
		problem = !isDone
			? "not everything could be put back"
			: worse &&
				`${worse.link}: ${worse.kind}: expected ${worse.want}, found ${worse.got}`;
		if (problem === undefined) {
			writeState(system, stateAfter(readState(system), last));
			commitJournal(fs);
		}
	} catch (error) {
		problem = messageOf(error);
	}
	const result =
		problem === undefined
			? reportOf(last, "applied", exitCodes.converged)
			: await giveUp(system, journal, last, lock, problem);
	if (problem === undefined) dropLater(system, last);
	const done = backwards.done.filter(({ step }) => step.kind !== "run");
	const rollbackMs = Math.round((system.clock.nowMs() - start) * 10) / 10;
	return { ...result, steps: done, timings: { rollbackMs } };
}

async function guard(
	system: System,
	undo: Undo,
	last: Journal,
	kernel: KernelState,
): Promise<void> {
	const saved = changedByOthers(system, undo).filter(
		(path) => path !== paths.sysctlConf,
	);
	if (saved.length > 0) {
		throw new AgentError(
			"refused",
			`${saved.join(", ")} ${saved.length > 1 ? "were" : "was"} changed by somebody else since: not rolled back; move ${saved.length > 1 ? "them" : "it"} away first`,
		);
	}
	guardDefaultRoute(last, kernel);
	const lost = fileStepsBack(system, undo).find(
		(step) =>
			step.kind === "write" && isOurs(step.content) && !hasLink(step, kernel),
	);
	if (lost) {
		throw new AgentError(
			"refused",
			`${lost.link}: its NIC is gone: files for it would make the network service fail at the next boot; bind it again first`,
		);
	}
	if (await isNetworkBusy(system, { facts: observeFacts(system.fs) })) {
		throw new AgentError(
			"refused",
			"the network service is starting or stopping: try again when it has",
		);
	}
}

// Of the three files for a NIC the ifcfg alone says which one it is.
function hasLink({ content, link }: WriteStep, { links }: KernelState) {
	const mac = parseIfcfg(content).HWADDR?.toLowerCase();
	return links.some(
		(one) => one.name === link && (mac === undefined || one.mac === mac),
	);
}

// The roll back as it is to be undone itself, should it be interrupted.
function journalOf(
	system: System,
	undo: Undo,
	last: Journal,
	kernel: KernelState,
): Journal {
	const bootId = readBootId(system.fs);
	const { links, interfaces, gone, extras } = last;
	const recorded = [
		...last.recorded,
		...interfaces.map((spec) => managedOf(spec, [])),
	];
	return {
		version: 1,
		id: newJournalId(),
		bootId,
		command: "rollback",
		links,
		scope: "all",
		steps: [],
		before: touchableKernel(kernel, undo, []),
		interfaces,
		gone,
		recorded,
		extras,
		record: readRecord(system),
		copies: last.copies,
	};
}

// Each step with what it finds, so that it has an inverse.
function withBefore(system: System, steps: Step[]): Step[] {
	return steps.map((step): Step => {
		if (step.kind === "sysctl") {
			const before = readValue(system.fs, sysctlPath(step.key));
			return { ...step, before };
		}
		if (step.kind !== "write" && step.kind !== "remove") return step;
		const [file] = observeFile(system.fs, step.path);
		if (!file) return step;
		const { content, mode, uid, gid } = file;
		return { ...step, before: { content, mode, uid, gid } };
	});
}

async function giveUp(
	system: System,
	journal: Journal,
	last: Journal,
	lock: number,
	problem: string,
): Promise<Report> {
	keepJournal(system, journal);
	const isClean = await rollBack(system, journal, lock);
	try {
		if (isClean) {
			restoreRecord(system, journal.record);
			dropJournal(system, journal);
			restoreUndo(system, last);
		}
	} catch (error) {
		// The journal that stays has the next start put the record back.
		system.log("error", `roll back: ${messageOf(error)}`);
	}
	return isClean
		? {
				...reportOf(journal, "rolled-back", exitCodes.rolledBack),
				error: `the last change was not undone, and holds as before: ${problem}`,
			}
		: {
				...reportOf(journal, "rollback-failed", exitCodes.rollbackFailed),
				error: `the last change was undone in part: ${problem}; look at the machine; the next start tries again`,
			};
}

// The copies are back in their places; one that cannot be removed only takes room.
function dropLater(system: System, last: Journal): void {
	try {
		dropCopies(system, last);
	} catch (error) {
		system.log("warning", messageOf(error));
	}
}

/** The record after a roll back: that of before, with what was configured released. */
function stateAfter(now: State, last: Journal): State {
	const parsed = parseState(last.record?.content ?? "");
	const earlier = typeof parsed === "string" ? emptyState() : parsed;
	const interfaces = { ...now.interfaces };
	for (const { mac, name } of [...last.gone, ...last.interfaces]) {
		const entry = earlier.interfaces[mac];
		const { table } = now.interfaces[mac] ?? {};
		const isConfigured = last.interfaces.some((spec) => spec.mac === mac);
		delete interfaces[mac];
		if (isConfigured)
			interfaces[mac] = { ...(entry ?? { name, table }), released: true };
		else if (entry) interfaces[mac] = entry;
	}
	const { sysctls, rpFilter } = earlier;
	const extras = extrasAfter(now, earlier, last);
	return { ...now, interfaces, extras, sysctls, rpFilter };
}

// Undone for good only if the next pass does not bring the same again.
function extrasAfter(
	now: State,
	earlier: State,
	{ extras, bootId }: Journal,
): State["extras"] {
	if (!extras) return now.extras;
	const { mac, isManaged } = extras;
	const old = earlier.extras?.mac === mac ? earlier.extras : undefined;
	const { addresses } = old ?? { addresses: [] };
	return { mac, addresses, bootId, rolledBack: isManaged };
}
