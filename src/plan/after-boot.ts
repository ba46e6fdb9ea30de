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
 * files are back, lead to what the files and the record say: `recorded` is what they imply now. A NIC
 * that the boot has given the machine's default route (`carrier`) is left as it is.
 */
export function afterBootSteps(
	journal: Journal,
	recorded: Managed[],
	now: KernelState,
	carrier: string | undefined,
): Step[] {
	const { links, scope, interfaces, gone, recorded: earlier, before } = journal;
	const isConcerned = ({ name }: { name: string }) =>
		name !== carrier &&
		links.includes(name) &&
		(scope === "all" || scope.includes(name));
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
	const difference = kernelDifference(
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
			left: [],
		},
		now,
	);
	return [...difference, ...zeroconfSteps(journal, standing, now)];
}

// The boot brought up a user's file that the run had given back: without NOZEROCONF ifup adds
// 169.254.0.0/16 with metric 1000 + ifindex, which our file would not have.
function zeroconfSteps(
	{ steps }: Journal,
	standing: Managed[],
	now: KernelState,
): Step[] {
	const isGivenBack = (name: string) =>
		steps.some(
			(step) =>
				step.kind === "write" &&
				step.path === linkFilePaths(name)[0] &&
				!isOurs(step.content),
		);
	return standing
		.filter(({ name }) => isGivenBack(name))
		.flatMap(({ name }) => {
			const ifindex =
				now.links.find((link) => link.name === name)?.ifindex ?? 0;
			return now.routes
				.filter(
					({ dst, devs, metric, table }) =>
						dst === "169.254.0.0/16" &&
						devs.join() === name &&
						metric === 1000 + ifindex &&
						table === 254,
				)
				.map(
					({ words }): Step => ({
						kind: "route",
						link: name,
						op: "del",
						words,
					}),
				);
		});
}

/**
 * Commands that bring up the user's own files that a recovery put back: the boot brought up ours
 * in their place. `left` names those that are left for their owner to bring up: with a GATEWAY that
 * takes the machine's default route, or with a DHCP client, which would keep our lock.
 */
export function userActivations(
	{ steps }: Journal,
	now: KernelState,
	backend: Backend,
): { activations: RunStep[]; left: string[] } {
	const left: string[] = [];
	const activations = steps.flatMap((step): RunStep[] => {
		if (step.kind !== "write" && step.kind !== "remove") return [];
		const name = /\/ifcfg-([^/]+)$/.exec(step.path)?.[1];
		const content = step.before?.content;
		if (!name || content === undefined || isOurs(content)) return [];
		const { ONBOOT, GATEWAY, DEFROUTE, BOOTPROTO } = parseIfcfg(content);
		const isThere = now.links.some((link) => link.name === name);
		if (ONBOOT?.toLowerCase() === "no" || !isThere) return [];
		const isHarmless =
			(GATEWAY === undefined || DEFROUTE?.toLowerCase() === "no") &&
			["", "none", "static"].includes(BOOTPROTO?.toLowerCase() ?? "");
		if (!isHarmless) left.push(name);
		return isHarmless ? backend.activate({ name, nmControlled: true }) : [];
	});
	return { activations, left };
}
