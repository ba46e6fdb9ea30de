import { initscripts } from "../backends/initscripts.js";
import { defaultRoutes } from "../desire/candidate.js";
import { managedBy } from "../desire/managed.js";
import { AgentError, messageOf } from "../errors.js";
import { listDirectory, readBootId } from "../files.js";
import type { Journal, KernelState, Step } from "../model.js";
import { observeFacts } from "../observe/facts.js";
import { observeKernel } from "../observe/kernel.js";
import { observeLinkFiles } from "../observe/link-files.js";
import { observeLinks } from "../observe/links.js";
import { paths } from "../paths.js";
import { afterBootSteps, userActivations } from "../plan/after-boot.js";
import { isNetworkBusy } from "../service.js";
import {
	emptyState,
	parseState,
	restoreRecord,
	setAsideDamagedState,
} from "../state.js";
import type { System } from "../system.js";
import { sweepTemporaries } from "./atomic.js";
import { execute } from "./execute.js";
import { dropJournal, readJournal, readUndo } from "./journal.js";
import {
	backwardsOf,
	dropCopies,
	isBack,
	mend,
	rollBack,
	rollBackFiles,
	rollBackSysctls,
} from "./roll-back.js";

const busyPollMs = 250;

/**
 * What every changing run does first, with the lock held: undoes a run that SIGKILL or a power cut
 * ended, so that the machine is as it was before it. True when there was one. In the same boot files
 * and kernel go back to what the journal recorded; after another boot the files do, and what that boot
 * made of them in the kernel is brought in line. Throws an AgentError when the machine is not as
 * before afterwards; the journal then stays for the next start.
 */
export async function recover(
	system: System,
	lock: number,
	waitMs: number,
): Promise<boolean> {
	const journal = findInterrupted(system);
	if (!journal) return false;
	await waitForNetwork(system, waitMs);
	const isSameBoot = journal.bootId === readBootId(system.fs);
	if (isSameBoot) guardDefaultRoute(journal, await observeKernel(system));
	const isClean = isSameBoot
		? await rollBack(system, { ...journal, isLater: true }, lock)
		: await recoverAfterBoot(system, journal, lock);
	if (!isClean) {
		throw new AgentError(
			"rollbackFailed",
			`${nameOf(journal)} was interrupted and cannot be undone: look at the machine; the next start tries again (moving ${paths.journal} away ends that)`,
		);
	}
	close(system, journal, isSameBoot ? "" : " before this boot");
	return true;
}

/**
 * The same before the network service has started, with the lock held: puts files, sysctls and record
 * back as they were before a run that an earlier boot has interrupted. Addresses, routes and rules need
 * nothing, for the kernel has none yet, so this starts no `ip` and waits for nobody. Returns the links of
 * a run whose journal stays for the next ordinary start: one of this boot, one whose NIC is up already,
 * one that cannot be undone.
 */
export async function recoverBeforeNetwork(
	system: System,
	lock: number,
): Promise<string[]> {
	const journal = findInterrupted(system);
	if (!journal) return [];
	const { bootId, links } = journal;
	const hasStarted =
		bootId === readBootId(system.fs) ||
		observeLinks(system.fs).some(({ name, up }) => up && links.includes(name));
	if (hasStarted) {
		system.log(
			"warning",
			`${nameOf(journal)} was interrupted, and the network is up already: left to the next start`,
		);
		return links;
	}
	const undo = { ...journal, isLater: true };
	const backwards = backwardsOf(system, lock);
	try {
		await rollBackFiles(undo, backwards);
		await rollBackSysctls(undo, backwards);
		if (!isBack(system, undo)) throw new Error("not all files are as before");
		close(system, journal, " before this boot");
		return [];
	} catch (error) {
		system.log(
			"error",
			`${nameOf(journal)} was interrupted and cannot be undone now (${messageOf(error)}): the next start tries again`,
		);
		return links;
	}
}

// The journal of an interrupted run, once what is half-written or damaged is out of the way.
function findInterrupted(system: System): Journal | undefined {
	for (const directory of [
		paths.stateDirectory,
		paths.backups,
		paths.undoDirectory,
		paths.parked,
		paths.networkScripts,
		"/etc",
	])
		sweepTemporaries(system.fs, directory);
	setAsideDamagedState(system);
	const journal = readJournal(system);
	if (!journal) dropLeftCopies(system);
	return journal;
}

// The record first: a start in between undoes the run once more.
function close(system: System, journal: Journal, when: string): void {
	restoreRecord(system, journal.record);
	dropJournal(system, journal);
	system.log(
		"warning",
		`recovered: ${nameOf(journal)} was interrupted${when}; the machine is as it was before it`,
	);
}

function nameOf({ command, links, extras }: Journal): string {
	const names = extras ? [...links, extras.name] : links;
	return `\`eni-configure ${command}\` of ${names.join(", ")}`;
}

/**
 * Refuses to undo what would cut the machine off: a NIC of the run carries the machine's default
 * route now and did not before. Our files never take it (DEFROUTE=no), so somebody moved it.
 */
export function guardDefaultRoute(journal: Journal, now: KernelState): void {
	const carrier = defaultCarrier(journal, now);
	if (carrier === undefined) return;
	const { command } = journal;
	throw new AgentError(
		"refused",
		`${carrier} carries the machine's default route by now: undoing the ${command} of it would cut the machine off; give the route back first`,
	);
}

/** The NIC of a run that carries the machine's default route now and did not before; mostly none. */
function defaultCarrier(
	{ links, before }: Journal,
	now: KernelState,
): string | undefined {
	const carries = ({ routes }: KernelState, name: string) =>
		defaultRoutes(routes).some(({ devs }) => devs.includes(name));
	return links.find((name) => carries(now, name) && !carries(before, name));
}

/** The kernel steps that undoing a run of an earlier boot still takes, once its files are back. */
export async function stepsAfterBoot(
	system: System,
	journal: Journal,
): Promise<Step[]> {
	const record = parseState(journal.record?.content ?? "");
	const state = typeof record === "string" ? emptyState() : record;
	const recorded = managedBy(observeLinkFiles(system.fs), state);
	const now = await observeKernel(system);
	return afterBootSteps(journal, recorded, now, defaultCarrier(journal, now));
}

async function recoverAfterBoot(
	system: System,
	journal: Journal,
	lock: number,
): Promise<boolean> {
	const backwards = backwardsOf(system, lock);
	const undo = { ...journal, isLater: true };
	await rollBackFiles(undo, backwards);
	const isInLine = await mend(backwards, () => stepsAfterBoot(system, journal));
	await execute(await activationsAfterBoot(system, journal), backwards);
	await rollBackSysctls(undo, backwards);
	return isInLine && isBack(system, undo);
}

/** Commands that bring up the user's own files that are back, as the boot would have. */
export async function activationsAfterBoot(
	system: System,
	journal: Journal,
): Promise<Step[]> {
	const { activations, left } = userActivations(
		journal,
		await observeKernel(system),
		initscripts,
	);
	for (const name of left) {
		system.log(
			"warning",
			`ifcfg-${name} is yours again, and is not brought up by itself, for it may take the default route or ask for a lease: \`ifup ${name}\` when it suits`,
		);
	}
	return activations;
}

// A roll back that was killed at its very end left the copies of what it had put back.
function dropLeftCopies(system: System): void {
	if (listDirectory(system.fs, paths.backups).length === 0) return;
	const last = readUndo(system);
	if (last?.command === "rollback") dropCopies(system, last);
}

// The network service brings links up and down: what it does at the same time would be undone by half.
async function waitForNetwork(system: System, waitMs: number): Promise<void> {
	const facts = observeFacts(system.fs);
	const limit = system.clock.nowMs() + waitMs;
	while (await isNetworkBusy(system, { facts })) {
		if (system.clock.nowMs() >= limit || system.stopSignal()) {
			throw new AgentError(
				"refused",
				"an interrupted run is to be undone, and the network service is starting or stopping: try again when it has",
			);
		}
		await system.clock.sleep(busyPollMs);
	}
}
