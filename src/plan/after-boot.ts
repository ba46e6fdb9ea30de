import type { Backend } from "../backends/backend.js";
import { linkFilePaths, managedOf, parseIfcfg } from "../desire/managed.js";
import { isOurs } from "../marker.js";
import type {
	InterfaceSpec,
	Journal,
	KernelState,
	Managed,
	RunStep,
	Step,
} from "../model.js";
import { hasForeign } from "./activation.js";
import { kernelDifference } from "./kernel-difference.js";

/**
 * After a boot the kernel holds what the interrupted run's files made of it. These steps, once the
 * files are back, lead to what the files and the record say: `recorded` is what they imply now.
 */
export function afterBootSteps(
	{ links, scope, interfaces, gone, recorded: earlier, before }: Journal,
	recorded: Managed[],
	now: KernelState,
): Step[] {
	const isConcerned = ({ name }: { name: string }) =>
		links.includes(name) && (scope === "all" || scope.includes(name));
	const standing = recorded.filter(
		(managed) =>
			isConcerned(managed) &&
			!managed.isLeftover &&
			managed.files.includes(linkFilePaths(managed.name)[0] ?? ""),
	);
	const claims = [
		...interfaces.map((spec) => managedOf(spec, [])),
		...gone,
		...earlier,
	].filter(isConcerned);
	const stale = claims.filter(
		({ name, mac }) =>
			!standing.some((one) => one.name === name && one.mac === mac),
	);
	const isDown = ({ name }: Managed) =>
		before.links.some((link) => link.name === name && !link.up) &&
		!hasForeign(name, now, {
			recorded: claims,
			interfaces: [],
		});
	return kernelDifference(
		{
			interfaces: standing.map(
				(managed): InterfaceSpec => ({
					...managed,
					nmControlled: true,
					source: "metadata",
				}),
			),
			recorded: [...claims, ...recorded],
			gone: stale,
			down: stale.filter(isDown).map(({ name }) => name),
			sysctls: {},
			// What stood there before the run without being ours may be what the user's file says.
			spared: Object.fromEntries(
				before.links.map(({ name, addresses }) => [
					name,
					addresses.map(({ ip, prefix }) => `${ip}/${prefix}`),
				]),
			),
			baseline: now,
			touched: [],
		},
		now,
	);
}

/**
 * Commands that bring up the user's own files that a recovery put back: the boot brought up ours
 * in their place. One that takes the machine's default route is left for its owner to bring up.
 */
export function userActivations(
	{ steps }: Journal,
	now: KernelState,
	backend: Backend,
): RunStep[] {
	return steps.flatMap((step): RunStep[] => {
		if (step.kind !== "write" && step.kind !== "remove") return [];
		const name = /\/ifcfg-([^/]+)$/.exec(step.path)?.[1];
		const content = step.before?.content;
		if (!name || content === undefined || isOurs(content)) return [];
		const { ONBOOT, GATEWAY, DEFROUTE } = parseIfcfg(content);
		const isWanted =
			ONBOOT?.toLowerCase() !== "no" &&
			(GATEWAY === undefined || DEFROUTE?.toLowerCase() === "no");
		return isWanted && now.links.some((link) => link.name === name)
			? backend.activate({ name, nmControlled: true })
			: [];
	});
}
