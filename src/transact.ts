import { execute } from "./apply/execute.js";
import {
	commitJournal,
	dropJournal,
	keepJournal,
	writeJournal,
} from "./apply/journal.js";
import { rollBack } from "./apply/roll-back.js";
import { AgentError, isAgentError, messageOf } from "./errors.js";
import { exists } from "./files.js";
import type { Desired, Finding, Journal, State, Step } from "./model.js";
import { observeKernel } from "./observe/kernel.js";
import { paths } from "./paths.js";
import { hasForeign } from "./plan/activation.js";
import { changesExtras, isExtraFinding, isExtraStep } from "./plan/extras.js";
import { kernelDifference } from "./plan/kernel-difference.js";
import { sysctlSettings } from "./plan/sysctls.js";
import { touchedBy } from "./plan.js";
import { linksOf, type Transaction } from "./prepared.js";
import type { Run } from "./run.js";
import {
	readRecord,
	restoreRecord,
	serializeState,
	writeState,
} from "./state.js";
import { editSysctlConf } from "./sysctl-conf.js";
import { lookAgain, wantOf } from "./verify/look-again.js";
import { failedLinks, isNeighbourOnly } from "./verify.js";

/** Parts of a run: links by name, and whether the primary's further private IPs are among them. */
export interface Parts {
	links: string[];
	extras: boolean;
}

/** The record of what holds, as the last thing that can fail. */
export interface Commit {
	/** The record after a run; what could not be taken back is still ours, for a later run to mend or remove. */
	stateAfter(rolledBack: Parts, isClean: boolean): State;
	/** The record after a run that was rolled back as a whole; `begun` is what it had got to. */
	stateAfterFailure(begun: Parts): State;
}

/** What is rolled back; "all" links with what they share. */
interface Failed {
	links: string[] | "all";
	extras: boolean;
}
const everything: Failed = { links: "all", extras: true };

/**
 * Journals a plan, applies it, verifies, climbs the ladder while something differs, rolls back the
 * links that still fail, and commits the rest. What cannot be recorded cannot be taken back later,
 * so a commit that fails rolls everything back.
 */
export async function transact(
	run: Run,
	commit: Commit,
	time: (phase: string) => void,
): Promise<Transaction> {
	const { system, plan } = run;
	let findings: Finding[] = [];
	try {
		const troubles = await executeJournaled(run, plan.steps);
		time("apply");
		const { seen, open } = await climb(run, troubles);
		findings = markMended(seen, open);
		time("verify");
		const failed = toRollBack(run, open);
		const isFailed = failed.links.length > 0 || failed.extras;
		const isClean = !isFailed || (await undo(run, failed));
		if (isFailed) time("rollback");
		record(run, commit, failed, isClean);
		time("commit");
		return {
			rolledBack: failed.links === "all" ? linksOf(run) : failed.links,
			isExtrasBack: failed.extras,
			isRollbackFailed: !isClean,
			findings,
			error: undefined,
		};
	} catch (error) {
		keepJournal(system, run.journal);
		const isClean = await undo(run, everything);
		if (isClean) recordFailure(run, commit, error);
		time("rollback");
		return {
			rolledBack: linksOf(run),
			isExtrasBack: true,
			isRollbackFailed: !isClean,
			findings,
			error: messageOf(error),
		};
	}
}

// On disk before it happens: whatever ends the agent now, the next start knows what to undo.
async function executeJournaled(run: Run, steps: Step[]): Promise<Finding[]> {
	const { system, journal, execution } = run;
	journal.steps.push(...steps);
	writeJournal(system.fs, journal);
	return execute(steps, execution);
}

async function undo(run: Run, { links, extras }: Failed): Promise<boolean> {
	const { system, journal, execution } = run;
	// What was not begun needs no undoing; the journal cannot know where that was.
	const steps = execution.done.map(({ step }) => step);
	const isShared = links !== "all" && links.length > 0;
	const shared = isShared ? sysctlConfFor(run, links) : [];
	const isClean = await rollBack(
		system,
		{
			...journal,
			steps,
			scope: links,
			...(extras ? {} : { extras: undefined }),
		},
		execution.lock,
		shared,
	);
	// What /etc/sysctl.conf holds by now is what a later roll back will find.
	const [file] = shared;
	if (file?.kind === "write") {
		const { path, content } = file;
		journal.steps = journal.steps.map((step) =>
			step.kind === "write" && step.path === path ? { ...step, content } : step,
		);
	}
	const { backups } = execution;
	execution.backups = backups.filter(({ copy }) =>
		exists(system.fs, `${paths.backups}/${copy}`),
	);
	return isClean;
}

// The record first, then the journal's end: a start in between undoes a run that nobody has heard of yet.
function record(
	{ system, journal, desired }: Run,
	commit: Commit,
	{ links, extras }: Failed,
	isClean: boolean,
): void {
	const parts = { links: links === "all" ? journal.links : links, extras };
	const isAll = links === "all" && (extras || journal.extras === undefined);
	if (!isClean && !isAll) {
		// The others hold: the next start is to try again for what failed alone.
		journal.scope = links;
		if (!extras) journal.extras = undefined;
		const content = serializeState(commit.stateAfter(parts, true));
		journal.record = { content, mode: 0o644, uid: 0, gid: 0 };
		writeJournal(system.fs, journal);
	}
	writeState(system, commit.stateAfter(parts, isClean));
	if (!isClean) return;
	const rest = isAll ? undefined : without(journal, { links, extras }, desired);
	if (rest === undefined || rest.steps.length === 0) {
		dropJournal(system, journal);
		return;
	}
	if (rest !== journal) writeJournal(system.fs, rest);
	commitJournal(system.fs);
}

// What was rolled back is no part of the change that holds.
function without(
	journal: Journal,
	{ links, extras }: Failed,
	desired: Desired,
): Journal {
	if (links.length === 0 && !extras) return journal;
	const isKept = ({ name }: { name: string }) =>
		links !== "all" && !links.includes(name);
	const isExtra = (step: Step) => isExtraStep(step, desired.extras);
	return {
		...journal,
		links: journal.links.filter((name) => isKept({ name })),
		interfaces: journal.interfaces.filter(isKept),
		gone: journal.gone.filter(isKept),
		extras: extras ? undefined : journal.extras,
		steps: journal.steps.filter((step) =>
			isExtra(step)
				? !extras
				: links !== "all" &&
					(step.link === undefined || !links.includes(step.link)),
		),
	};
}

function recordFailure(
	{ system, journal, execution, desired }: Run,
	commit: Commit,
	error: unknown,
): void {
	// Interrupted by a person, or put off because somebody else was at work: the spec is not to blame.
	const isSpecs = !isAgentError(error) || error.kind === "internal";
	let isRecorded = false;
	try {
		const done = execution.done.map(({ step }) => step);
		const begun: Parts = {
			links: done.flatMap(({ link }) => link ?? []),
			extras: changesExtras({ steps: done }, desired.extras),
		};
		if (isSpecs) writeState(system, commit.stateAfterFailure(begun));
		else restoreRecord(system, journal.record);
		isRecorded = true;
	} catch (problem) {
		system.log("error", `roll back: ${messageOf(problem)}`);
	}
	try {
		// A record that says otherwise is put back by the next start, so that has to find the journal.
		isRecorded ||= readRecord(system)?.content === journal.record?.content;
		if (isRecorded) dropJournal(system, journal);
		else keepJournal(system, journal);
	} catch (problem) {
		system.log("error", `roll back: ${messageOf(problem)}`);
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
		seen = merge(seen, await executeApart(run, steps));
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
			!run.steady.includes(spec.name) &&
			!isNeighbourOnly(own) &&
			!hasForeign(spec.name, observed, desired)
		);
	});
	if (specs.length === 0) return undefined;
	const restarts = specs.flatMap((spec) => [
		...means.backend.deactivate(spec.name),
		...means.backend.activate(spec),
	]);
	for (const { want, got } of await executeJournaled(run, restarts)) {
		system.log("debug", `${want}: ${got}`);
	}
	return kernelDifference(wantOf(run), await observeKernel(system));
}

// One batch per link: a line that fails for one must not keep the others from theirs.
async function executeApart(run: Run, steps: Step[]): Promise<Finding[]> {
	const names = [...new Set(steps.map((step) => step.link))];
	const findings: Finding[] = [];
	for (const name of names) {
		const own = steps.filter((step) => step.link === name);
		findings.push(...(await executeJournaled(run, own)));
	}
	return findings;
}

// What is shared is undone only when nobody is left who needs it; the primary's further IPs need nothing of it.
function toRollBack(run: Run, all: Finding[]): Failed {
	const { desired, execution } = run;
	const open = all.filter((finding) => !isOnlyDrift(finding, run));
	const ofExtras = open.filter((one) => isExtraFinding(one, desired.extras));
	const others = open.filter((one) => !ofExtras.includes(one));
	const links = others.length === 0 ? [] : failedLinks(others, desired);
	if (links === "all") return everything;
	const hasSurvivors =
		links.length === 0 ||
		desired.interfaces.some((spec) => !links.includes(spec.name));
	// A roll back puts back on every link what a service restart has dropped, these as well.
	const isTouched = touchedBy(execution.done.map(({ step }) => step)) === "all";
	return {
		links: hasSurvivors ? links : "all",
		extras: ofExtras.length > 0 || (links.length > 0 && isTouched),
	};
}

function isOnlyDrift(
	{ link, kind }: Finding,
	{ steady, desired: { interfaces, gone } }: Run,
): boolean {
	const isAllSteady = steady.length === interfaces.length && gone.length === 0;
	const isShared = kind === "rp_filter" || kind === "file";
	return link !== undefined && steady.includes(link)
		? true
		: isShared && isAllSteady;
}

// /etc/sysctl.conf is shared: with some links rolled back it keeps the lines of the others.
function sysctlConfFor(
	{ observed, desired, means, execution }: Run,
	failed: string[],
): Step[] {
	const survivors = desired.interfaces.filter(
		(spec) => !failed.includes(spec.name),
	);
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
	// Survivors are managed, so there is always a block to write.
	return content === undefined ? [] : [{ ...written, content }];
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
