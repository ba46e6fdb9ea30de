import type { Backend } from "../backends/backend.js";
import { foreignFiles } from "../desire/foreign-files.js";
import { linkFilePaths, ownFiles } from "../desire/managed.js";
import { AgentError } from "../errors.js";
import { mark } from "../marker.js";
import type {
	Desired,
	FileState,
	InterfaceSpec,
	Managed,
	Observed,
	Step,
} from "../model.js";
import { paths } from "../paths.js";
import type { Renderer } from "../render.js";
import { editSysctlConf, maxSysctlConf } from "../sysctl-conf.js";
import { sysctlSettings } from "./sysctls.js";

/** The files of a spec that are not as they should be; --force replaces the user's and keeps a copy. */
export function fileSteps(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
	{ backend, renderer }: { backend: Backend; renderer: Renderer },
): Step[] {
	const files = backend
		.files(spec, renderer)
		.map(({ path, body }) => ({ path, content: mark(body) }));
	const writes = files.flatMap(({ path, content }): Step[] => {
		const before = stateOf(observed, path);
		if (before?.content === content) return [];
		const keepCopy = desired.overridden.includes(path);
		return [
			{
				kind: "write",
				link: spec.name,
				path,
				content,
				mode: before?.mode ?? 0o644,
				before,
				keepCopy,
			},
		];
	});
	// With `routing: none` our route and rule files go; other files that claim the link go only by --force.
	const surplus = [
		...ownFiles(observed.files, spec.name),
		...foreignFiles(spec.name, spec.mac, observed)
			.map((file) => file.path)
			.filter((path) => desired.overridden.includes(path)),
	].filter((path) => !files.some((file) => file.path === path));
	return [
		...removeFiles(surplus, spec.name, observed, desired.overridden),
		...writes,
	];
}

/** Takes the files of a record away, or gives back what --force replaced. */
// ifcfg first: from then on network-scripts no longer sees the link.
export function removeSteps(
	managed: Managed,
	observed: Observed,
	desired: Desired,
): Step[] {
	const rewritten = desired.interfaces
		.filter((spec) => spec.name === managed.name)
		.flatMap((spec) => linkFilePaths(spec.name));
	const paths = linkFilePaths(managed.name).filter(
		(path) =>
			ownFiles(observed.files, managed.name).includes(path) &&
			!rewritten.includes(path),
	);
	const removals = removeFiles(paths, managed.name, observed, []);
	const backups = observed.state.interfaces[managed.mac]?.backups ?? [];
	return removals
		.map((step) => {
			const backup = backups.find(
				(one) => step.kind === "remove" && one.path === step.path,
			);
			return backup
				? giveBack(step, backup.path, observed.backups[backup.copy])
				: step;
		})
		.concat(
			backups
				.filter(
					(backup) =>
						!paths.includes(backup.path) &&
						!observed.files.some((file) => file.path === backup.path),
				)
				.flatMap((backup) => {
					const copy = observed.backups[backup.copy];
					return copy
						? [
								{
									kind: "write",
									link: managed.name,
									path: backup.path,
									content: copy.content,
									mode: copy.mode,
									owner: copy,
									before: undefined,
									keepCopy: false,
								} as Step,
							]
						: [];
				}),
		);
}

function giveBack(step: Step, path: string, copy: FileState | undefined): Step {
	if (!copy || step.kind !== "remove") return step;
	return {
		kind: "write",
		link: step.link,
		path,
		content: copy.content,
		mode: copy.mode,
		owner: copy,
		before: step.before,
		keepCopy: false,
	};
}

function removeFiles(
	files: string[],
	link: string,
	observed: Observed,
	overridden: string[],
): Step[] {
	return files.flatMap((path): Step[] => {
		const before = stateOf(observed, path);
		return before
			? [
					{
						kind: "remove",
						link,
						path,
						before,
						keepCopy: overridden.includes(path),
					},
				]
			: [];
	});
}

function stateOf(observed: Observed, path: string): FileState | undefined {
	const file = observed.files.find((one) => one.path === path);
	return (
		file && {
			content: file.content,
			mode: file.mode,
			uid: file.uid,
			gid: file.gid,
		}
	);
}

/** What /etc/sysctl.conf needs for all managed ENIs together. */
export function sysctlConfSteps(
	observed: Observed,
	desired: Desired,
	renderer: Renderer,
): Step[] {
	const before = observed.sysctlConf && { ...observed.sysctlConf };
	const settings = sysctlSettings(desired);
	const content = editSysctlConf(
		before?.content,
		settings,
		settings.length > 0 ? renderer.sysctl(settings) : "",
	);
	if (content === before?.content) return [];
	if (content !== undefined && content.length > maxSysctlConf)
		throw new AgentError(
			"refused",
			`${paths.sysctlConf} would become larger than ${maxSysctlConf} bytes with our lines: shorten it`,
		);
	const state = before && {
		content: before.content,
		mode: before.mode,
		uid: before.uid,
		gid: before.gid,
	};
	if (content === undefined)
		return state
			? [
					{
						kind: "remove",
						link: undefined,
						path: paths.sysctlConf,
						before: state,
						keepCopy: false,
					},
				]
			: [];
	return [
		{
			kind: "write",
			link: undefined,
			path: paths.sysctlConf,
			content,
			mode: state?.mode ?? 0o644,
			before: state,
			keepCopy: false,
		},
	];
}
