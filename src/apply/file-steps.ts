import { AgentError } from "../errors.js";
import { listDirectory, readFile } from "../files.js";
import type {
	FileState,
	Finding,
	RemoveStep,
	Step,
	WriteStep,
} from "../model.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";
import {
	ensureDirectory,
	removeFile,
	type Unsynced,
	writeAtomically,
} from "./atomic.js";
import type { Execution } from "./execute.js";

/** Puts a file in place; what somebody else has saved since it was looked at is refused. */
export async function writeFileStep(
	step: WriteStep,
	execution: Execution,
	unsynced: Unsynced,
): Promise<Finding[]> {
	refuseChanged(step, execution);
	if (step.keepCopy && step.before) keepCopy(step.path, step.before, execution);
	const owner = step.owner ?? step.before;
	const { content, mode } = step;
	writeAtomically(
		execution.system.fs,
		step.path,
		{ content, mode, owner },
		unsynced,
	);
	return [];
}

/** Removes a file; what somebody else has saved since it was looked at is refused. */
export async function removeFileStep(
	step: RemoveStep,
	execution: Execution,
	unsynced: Unsynced,
): Promise<Finding[]> {
	refuseChanged(step, execution);
	if (step.keepCopy) keepCopy(step.path, step.before, execution);
	removeFile(execution.system.fs, step.path, unsynced);
	return [];
}

// Somebody saved the file between our look and now: what they wrote is not ours to replace.
function refuseChanged(
	{ path, before }: WriteStep | RemoveStep,
	{ system, force }: Execution,
): void {
	if (force) return;
	if (readFile(system.fs, path)?.content !== before?.content) {
		throw new AgentError(
			"refused",
			`${path} was changed by somebody else meanwhile: run it again`,
		);
	}
}

function keepCopy(
	path: string,
	before: FileState,
	{ system, backups, copies }: Execution,
): void {
	const copy = copies[path];
	if (copy === undefined)
		throw new AgentError("internal", `no place for a copy of ${path}`);
	ensureDirectory(system.fs, paths.backups, 0o700);
	writeAtomically(system.fs, `${paths.backups}/${copy}`, {
		content: before.content,
		mode: before.mode,
		owner: before,
	});
	const { mode, uid, gid } = before;
	backups.push({ path, copy, mode, uid, gid });
	system.log(
		"info",
		`${path} was not ours: a copy is in ${paths.backups}/${copy}`,
	);
}

/** Free names in backup/ for the copies that steps are going to make, by the path of the file. */
export function chooseCopies(
	fs: FileSystem,
	steps: Step[],
): Record<string, string> {
	const taken = listDirectory(fs, paths.backups);
	const copies: Record<string, string> = {};
	for (const step of steps) {
		const isKept =
			(step.kind === "write" || step.kind === "remove") && step.keepCopy;
		if (!isKept || step.before === undefined) continue;
		const base = step.path.split("/").at(-1) ?? "file";
		let copy = base;
		for (let number = 2; taken.includes(copy); number += 1)
			copy = `${base}.${number}`;
		taken.push(copy);
		copies[step.path] = copy;
	}
	return copies;
}
