import { messageOf } from "../errors.js";
import { readValue } from "../files.js";
import { isOurs } from "../marker.js";
import type {
	Claim,
	Journal,
	KernelState,
	ObservedFile,
	RemoveStep,
	Step,
	WriteStep,
} from "../model.js";
import { hasSelinux } from "../observe/facts.js";
import { observeKernel, sysctlPath } from "../observe/kernel.js";
import { observeFile } from "../observe/link-files.js";
import { paths } from "../paths.js";
import { labelSteps } from "../plan/labels.js";
import { revertKernel, revertSteps } from "../plan/revert.js";
import { touchedBy } from "../plan.js";
import { withBlockOf } from "../sysctl-conf.js";
import type { System } from "../system.js";
import { removeFile } from "./atomic.js";
import { type Execution, execute } from "./execute.js";

const attempts = 3;

/** What is known of a run that is to be undone: from memory, or from the journal. */
export interface Undo
	extends Claim,
		Pick<Journal, "steps" | "before" | "copies" | "scope"> {
	/** Time has passed since: see RevertScope. */
	isLater?: boolean;
}

/**
 * Undoes a run, as far as its scope goes: files to what they were, then the kernel. `shared` are
 * steps for what survivors share. True when a last look finds both as before. Never throws: a roll
 * back that fails is an outcome of its own.
 */
export async function rollBack(
	system: System,
	undo: Undo,
	lock: number | undefined,
	shared: Step[] = [],
): Promise<boolean> {
	const backwards = backwardsOf(system, lock);
	await rollBackFiles(undo, backwards);
	try {
		await execute(shared, backwards);
		const left = async () => kernelStepsBack(undo, await observeKernel(system));
		const isMended = await mend(backwards, left);
		await rollBackSysctls(undo, backwards);
		return isMended && isBack(system, undo);
	} catch (error) {
		system.log("error", `roll back: ${messageOf(error)}`);
		return false;
	}
}

/** How steps of a roll back are done: on and on, whatever fails; the state decides at the end. */
export function backwardsOf(
	system: System,
	lock: number | undefined,
): Execution {
	return { system, lock, force: true, done: [], backups: [], copies: {} };
}

/** The files and copies of a run back to what they were, one by one: one that cannot be put back keeps no other from it. */
export async function rollBackFiles(
	undo: Undo,
	backwards: Execution,
): Promise<void> {
	const { system } = backwards;
	const attempt = async (work: () => Promise<unknown> | unknown) => {
		try {
			await work();
		} catch (error) {
			system.log("error", `roll back: ${messageOf(error)}`);
		}
	};
	const done: Step[] = [];
	for (const step of fileStepsBack(system, undo)) {
		await attempt(() => execute([step], backwards));
		done.push(step);
	}
	await attempt(() =>
		execute(labelSteps(hasSelinux(system.fs), done), backwards),
	);
	await attempt(() => dropCopies(system, undo));
}

/**
 * The sysctls of a run back to what they were, after the addresses: without promote_secondaries the
 * kernel would drop somebody else's secondaries together with our address.
 */
export async function rollBackSysctls(
	undo: Undo,
	backwards: Execution,
): Promise<void> {
	await execute(sysctlStepsBack(backwards.system, undo), backwards);
}

/** The sysctl steps that a roll back still has to do. */
export function sysctlStepsBack(system: System, undo: Undo): Step[] {
	return inverse(undo).filter(
		(step) => step.kind === "sysctl" && !isMoved(system, undo, step),
	);
}

function inverse({ scope, steps }: Undo): Step[] {
	return revertSteps(steps, { links: scope, touched: touchedBy(steps) });
}

/** The file steps that a roll back still has to do; what somebody else has saved meanwhile is theirs. */
export function fileStepsBack(system: System, undo: Undo): Step[] {
	return inverse(undo).flatMap((step): Step[] => {
		if (step.kind === "sysctl" || isInPlace(system, step)) return [];
		const saved = savedByOthers(system, undo, step);
		if (saved === undefined) return [step];
		if (saved.path === paths.sysctlConf) return [withoutOurs(undo, saved)];
		system.log(
			"warning",
			`roll back: ${saved.path} was changed by somebody else meanwhile: left as it is`,
		);
		return [];
	});
}

/** The kernel steps that a roll back in the same boot still has to do. */
export function kernelStepsBack(undo: Undo, now: KernelState): Step[] {
	return revertKernel(undo.before, now, undo, {
		links: undo.scope,
		touched: touchedBy(undo.steps),
		isLater: undo.isLater ?? false,
	});
}

/** Does the kernel steps that are left until there are none; false when there still are after a few times. */
export async function mend(
	backwards: Execution,
	left: () => Promise<Step[]>,
): Promise<boolean> {
	let steps = await left();
	for (let attempt = 0; attempt < attempts && steps.length > 0; attempt += 1) {
		await execute(steps, backwards);
		steps = await left();
	}
	return steps.length === 0;
}

/** Copies that --force kept of files which are in their place again are removed. */
export function dropCopies(
	system: System,
	{ copies }: Pick<Undo, "copies">,
): void {
	for (const [path, copy] of Object.entries(copies)) {
		const [file] = observeFile(system.fs, path);
		const [kept] = observeFile(system.fs, `${paths.backups}/${copy}`);
		if (kept === undefined || file?.content !== kept.content) continue;
		removeFile(system.fs, kept.path);
	}
}

// A step that failed before it changed anything leaves nothing to undo, and a read-only /etc no way to.
function isInPlace(system: System, step: Step): boolean {
	if (step.kind !== "write" && step.kind !== "remove") return false;
	const [file] = observeFile(system.fs, step.path);
	if (step.kind === "remove" || !file) return step.kind === "remove" && !file;
	const owner = step.owner ?? file;
	return (
		file.content === step.content &&
		file.mode === step.mode &&
		file.uid === owner.uid &&
		file.gid === owner.gid
	);
}

// What somebody has set otherwise since is theirs; what is as before needs nothing.
function isMoved(system: System, { isLater }: Undo, step: Step): boolean {
	return (
		step.kind === "sysctl" &&
		isLater === true &&
		readValue(system.fs, sysctlPath(step.key)) !== step.before
	);
}

/** Paths of files that hold neither what a run wrote nor what stood there before: somebody has saved them since. */
export function changedByOthers(system: System, undo: Undo): string[] {
	return undo.steps.flatMap((step) => {
		const saved = savedByOthers(system, undo, step);
		return saved ? [saved.path] : [];
	});
}

function savedByOthers(
	system: System,
	{ steps }: Undo,
	step: Step,
): ObservedFile | undefined {
	if (step.kind !== "write" && step.kind !== "remove") return undefined;
	const [file] = observeFile(system.fs, step.path);
	const own = fileStep(steps, step.path);
	const isKnown =
		file?.content === own?.before?.content ||
		(own?.kind === "write" && file?.content === own.content);
	return isKnown ? undefined : file;
}

function fileStep(
	steps: Step[],
	path: string,
): WriteStep | RemoveStep | undefined {
	return steps.find(
		(step): step is WriteStep | RemoveStep =>
			(step.kind === "write" || step.kind === "remove") && step.path === path,
	);
}

// Their text with the block as it was before the run.
function withoutOurs(
	{ steps }: Undo,
	{ path, content, mode, uid, gid }: ObservedFile,
): Step {
	const text = withBlockOf(content, fileStep(steps, path)?.before?.content);
	const link = undefined;
	if (text === undefined) {
		const before = { content, mode, uid, gid };
		return { kind: "remove", link, path, before, keepCopy: false };
	}
	return {
		kind: "write",
		link,
		path,
		content: text,
		mode,
		owner: { uid, gid },
		before: undefined,
		keepCopy: false,
	};
}

/** Whether the files and sysctls of a run are what they were, or somebody else's by now. */
export function isBack(system: System, { steps, scope }: Undo): boolean {
	const isConcerned = ({ link }: Step) =>
		scope === "all" || (link !== undefined && scope.includes(link));
	return steps.filter(isConcerned).every((step, at, all) => {
		switch (step.kind) {
			case "write":
			case "remove": {
				const [file] = observeFile(system.fs, step.path);
				const isTheirs =
					file !== undefined &&
					!isOurs(file.content) &&
					(step.kind === "remove" || file.content !== step.content);
				return file?.content === step.before?.content || isTheirs;
			}
			case "sysctl": {
				const first = all.find(
					(one): one is typeof step =>
						one.kind === "sysctl" && one.key === step.key,
				);
				// Of a NIC that went while it was looked at nothing is known, and nothing can be put back.
				if (first === undefined || first.before === undefined) return true;
				const now = readValue(system.fs, sysctlPath(step.key));
				return all[at] !== first || now !== step.value || now === step.before;
			}
			default:
				return true;
		}
	});
}
