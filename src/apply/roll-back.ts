import { messageOf } from "../errors.js";
import { isOurs } from "../marker.js";
import type {
	InterfaceSpec,
	ObservedFile,
	RemoveStep,
	Step,
	WriteStep,
} from "../model.js";
import { observeKernel } from "../observe/kernel.js";
import { observeFile } from "../observe/link-files.js";
import { paths } from "../paths.js";
import { revertKernel, revertSteps } from "../plan/revert.js";
import { sysctlSettings } from "../plan/sysctls.js";
import { touchedBy } from "../plan.js";
import type { Run } from "../run.js";
import { editSysctlConf } from "../sysctl-conf.js";
import type { System } from "../system.js";
import { removeFile } from "./atomic.js";
import { type Execution, execute } from "./execute.js";

const attempts = 3;

/**
 * Undoes a run for some links, or for all: files to what they were, then the kernel. True when a
 * last look finds both as before. Never throws: a roll back that fails is an outcome of its own.
 */
export async function rollBack(
	run: Run,
	links: string[] | "all",
): Promise<boolean> {
	const { system, observed, desired, execution } = run;
	const done = execution.done.map(({ step }) => step);
	const scope = { links, touched: touchedBy(done) };
	const backwards: Execution = { ...execution, force: true, done: [] };
	const left = async () =>
		revertKernel(observed, await observeKernel(system), desired, scope);
	for (const step of revertSteps(done, scope)) {
		// A file that cannot be put back must not keep the NIC from its addresses.
		try {
			if (isInPlace(system, step)) continue;
			const saved = savedByOthers(run, step);
			if (saved === undefined) await execute([step], backwards);
			else if (saved.path === paths.sysctlConf) {
				await execute(withoutOurs(run, saved), backwards);
			} else {
				system.log(
					"warning",
					`roll back: ${saved.path} was changed by somebody else meanwhile: left as it is`,
				);
			}
		} catch (error) {
			system.log("error", `roll back: ${messageOf(error)}`);
		}
	}
	try {
		dropCopies(run);
		if (links !== "all") {
			const survivors = desired.interfaces.filter(
				(spec) => !links.includes(spec.name),
			);
			await execute(sysctlConfFor(run, survivors), backwards);
		}
		let steps = await left();
		for (
			let attempt = 0;
			attempt < attempts && steps.length > 0;
			attempt += 1
		) {
			await execute(steps, backwards);
			steps = await left();
		}
		return steps.length === 0 && areFilesBack(run, links);
	} catch (error) {
		system.log("error", `roll back: ${messageOf(error)}`);
		return false;
	}
}

// Copies that --force kept of files which are in their place again.
function dropCopies({ system, execution }: Run): void {
	for (const backup of [...execution.backups]) {
		const [file] = observeFile(system.fs, backup.path);
		const [kept] = observeFile(system.fs, `${paths.backups}/${backup.copy}`);
		if (kept === undefined || file?.content !== kept.content) continue;
		removeFile(system.fs, kept.path);
		execution.backups.splice(execution.backups.indexOf(backup), 1);
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

// A file that holds neither what we wrote nor what stood there before is somebody's who saved it meanwhile.
function savedByOthers(
	{ system, execution }: Run,
	step: Step,
): ObservedFile | undefined {
	if (step.kind !== "write" && step.kind !== "remove") return undefined;
	const [file] = observeFile(system.fs, step.path);
	const own = execution.done
		.map((one) => one.step)
		.find(
			(one): one is WriteStep | RemoveStep =>
				(one.kind === "write" || one.kind === "remove") &&
				one.path === step.path,
		);
	const isKnown =
		file?.content === own?.before?.content ||
		(own?.kind === "write" && file?.content === own.content);
	return isKnown ? undefined : file;
}

// Their text with the block as it was: the lines of what was managed before the run.
function withoutOurs(
	{ desired, means }: Run,
	{ content, mode, uid, gid }: ObservedFile,
): Step[] {
	const before = { ...desired, interfaces: [], others: desired.recorded };
	const settings = sysctlSettings(before);
	const rendered = settings.length > 0 ? means.renderer.sysctl(settings) : "";
	return [
		{
			kind: "write",
			link: undefined,
			path: paths.sysctlConf,
			content: editSysctlConf(content, settings, rendered) ?? "",
			mode,
			owner: { uid, gid },
			before: undefined,
			keepCopy: false,
		},
	];
}

function areFilesBack({ system, execution }: Run, links: string[] | "all") {
	return execution.done.every(({ step }) => {
		if (step.kind !== "write" && step.kind !== "remove") return true;
		const isConcerned =
			links === "all" || (step.link !== undefined && links.includes(step.link));
		const [file] = observeFile(system.fs, step.path);
		const isTheirs =
			file !== undefined &&
			!isOurs(file.content) &&
			(step.kind === "remove" || file.content !== step.content);
		return !isConcerned || file?.content === step.before?.content || isTheirs;
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
	// Survivors are managed, so there is always a block to write.
	return content === undefined ? [] : [{ ...written, content }];
}
