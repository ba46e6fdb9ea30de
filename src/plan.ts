import type { Backend } from "./backends/backend.js";
import { isMainDefault } from "./desire/candidate.js";
import { linkFilePaths, ownFiles, ruleSource } from "./desire/managed.js";
import { foreignFiles } from "./desire.js";
import { mark } from "./marker.js";
import type {
	Before,
	Desired,
	FileState,
	InterfaceSpec,
	KernelState,
	Link,
	Managed,
	Observed,
	Plan,
	RunStep,
	Settings,
	Step,
} from "./model.js";
import {
	hasAddress,
	type KernelWant,
	kernelDifference,
} from "./plan/kernel-difference.js";
import type { Renderer, SysctlSetting } from "./render.js";
import { editSysctlConf } from "./sysctl-conf.js";

/** What a plan is made with, besides what is and what should be. */
export interface Means {
	backend: Backend;
	renderer: Renderer;
	restart: Settings["restart"];
}

const sysctlConf = "/etc/sysctl.conf";

/** The steps from observed to desired, in the order they are done. Same input, same steps; nothing to do, no steps. */
export function makePlan(
	observed: Observed,
	desired: Desired,
	means: Means,
): Plan {
	const writes = desired.interfaces.flatMap((spec) =>
		fileSteps(spec, observed, desired, means),
	);
	const removals = desired.gone.flatMap((managed) =>
		removeSteps(managed, observed, desired),
	);
	const sysctlFile = sysctlConfSteps(observed, desired, means.renderer);
	const files = [...removals, ...writes, ...sysctlFile];
	if (means.restart === "none") return { steps: files };

	const want = kernelWant(observed, desired);
	const direct = kernelDifference(want, observed);
	const isChanged = (name: string) =>
		[...files, ...direct].some((step) => step.link === name);
	const goneLinks = desired.gone.filter(
		(managed) =>
			isLive(managed, observed) && !hasForeign(managed.name, observed, desired),
	);
	const restarted = desired.interfaces.filter(
		(spec) =>
			isChanged(spec.name) &&
			needsActivation(spec, observed, desired, means.restart),
	);
	const down = [
		...goneLinks.map((managed) => managed.name),
		...restarted
			.filter((spec) => isOurLinkUp(spec, observed, desired))
			.map((spec) => spec.name),
	];
	const isService =
		means.restart === "service" &&
		files.length + direct.length > 0 &&
		desired.interfaces.length > 0;
	const deactivations = isService
		? []
		: [...new Set(down)].flatMap((name) => means.backend.deactivate(name));
	const activations = isService
		? means.backend.restartService()
		: restarted.flatMap((spec) => means.backend.activate(spec));
	const runs = [...deactivations, ...activations];
	const predicted = predict(
		observed,
		deactivations,
		isService ? desired.interfaces : restarted,
		desired,
	);
	const rest =
		runs.length === 0
			? direct
			: kernelDifference(
					kernelWant(observed, desired, touchedBy(runs)),
					predicted,
				);
	return {
		steps: [
			...deactivations,
			...files,
			...rest.filter((step) => step.kind === "sysctl"),
			...activations,
			...rest.filter((step) => step.kind !== "sysctl"),
			...restoreUserLinks(observed, desired, predicted),
		],
	};
}

/** What verify and the ladder compare the kernel with, for the same run. */
export function kernelWant(
	observed: Observed,
	desired: Desired,
	touched: KernelWant["touched"] = [],
): KernelWant {
	return {
		interfaces: desired.interfaces,
		recorded: desired.recorded,
		gone: desired.gone,
		sysctls: {
			...wantedSysctls(observed, desired),
			// `network stop` sets it to 0, whatever was meant.
			...(touched === "all" && observed.sysctls.ip_forward !== undefined
				? { ip_forward: observed.sysctls.ip_forward }
				: {}),
		},
		spared: Object.fromEntries(
			desired.gone.map((managed) => [
				managed.name,
				beforeFor(managed, observed)?.addresses.map(
					(words) => words.split(" ")[0] ?? "",
				) ?? [],
			]),
		),
		baseline: observed,
		touched,
	};
}

/** Links that the commands among steps may have bounced. */
export function touchedBy(steps: Step[]): KernelWant["touched"] {
	const runs = steps.filter((step): step is RunStep => step.kind === "run");
	return runs.some((step) => step.touches === "all")
		? "all"
		: [...new Set(runs.flatMap((step) => step.touches as string[]))];
}

function fileSteps(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
	{ backend, renderer }: Means,
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
				mode: 0o644,
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

// ifcfg first: from then on network-scripts no longer sees the link.
function removeSteps(
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

function sysctlConfSteps(
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
						path: sysctlConf,
						before: state,
						keepCopy: false,
					},
				]
			: [];
	return [
		{
			kind: "write",
			link: undefined,
			path: sysctlConf,
			content,
			mode: state?.mode ?? 0o644,
			before: state,
			keepCopy: false,
		},
	];
}

/**
 * The sysctl settings of a run, for the file and the kernel alike. The kernel uses the larger of
 * `all` and the link's own rp_filter, so both are set; a line for a link stands only while it is managed.
 */
export function sysctlSettings(desired: Desired): SysctlSetting[] {
	const names = [
		...new Set(
			[...desired.interfaces, ...desired.others].map((one) => one.name),
		),
	].sort();
	if (names.length === 0) return [];
	const primary = desired.primary ? [desired.primary.name] : [];
	const value = String(desired.rpFilter);
	return [
		...["default", "all", ...primary, ...names].map((link) => ({
			link,
			leaf: "rp_filter",
			value,
		})),
		...names.flatMap((link) => [
			// Without it eth1 answers ARP requests for the primary's address.
			{ link, leaf: "arp_ignore", value: "1" },
			{ link, leaf: "promote_secondaries", value: "1" },
		]),
	];
}

/** The running kernel's sysctls of a run by key: those of managed links, and old values for what nobody needs any more. */
export function wantedSysctls(
	observed: Observed,
	desired: Desired,
): Record<string, string> {
	const wanted: Record<string, string> = {};
	for (const { link, leaf, value } of sysctlSettings(desired)) {
		const isThere =
			link === "all" ||
			link === "default" ||
			observed.links.some((one) => one.name === link);
		if (isThere) wanted[`conf/${link}/${leaf}`] = value;
	}
	// What no managed ENI needs any more returns to what it was, unless somebody has changed it since.
	const giveBack = Object.fromEntries(
		Object.entries({
			...observed.state.sysctls,
			...Object.assign(
				{},
				...desired.gone.map(
					(managed) =>
						observed.state.interfaces[managed.mac]?.before?.sysctls ?? {},
				),
			),
		}).filter(
			([key]) =>
				wanted[key] === undefined && isStillOurs(key, observed, desired),
		),
	);
	return { ...wanted, ...(giveBack as Record<string, string>) };
}

function isStillOurs(
	key: string,
	observed: Observed,
	desired: Desired,
): boolean {
	const now = observed.sysctls[key];
	const ours = key.endsWith("/rp_filter") ? String(desired.rpFilter) : "1";
	return now === ours;
}

/** Whether the link carries addresses or routes that neither the kernel nor our record put there: ifdown would flush them. */
export function hasForeign(
	name: string,
	observed: KernelState & Pick<Observed, "links">,
	desired: Desired,
): boolean {
	const own = [...desired.recorded, ...desired.interfaces].filter(
		(one) => one.name === name,
	);
	const link = observed.links.find((one) => one.name === name);
	const hasAddresses = link?.addresses.some(
		({ ip, prefix, scope, dynamic }) =>
			scope !== "link" &&
			!dynamic &&
			!own.some((one) =>
				one.addresses.some((cidr) => cidr === `${ip}/${prefix}`),
			),
	);
	const hasRoutes = observed.routes.some(
		(route) =>
			route.devs.includes(name) &&
			route.proto !== "kernel" &&
			!isMainDefault(route) &&
			!own.some((one) => one.table === route.table),
	);
	return Boolean(hasAddresses || hasRoutes);
}

// `auto` restarts a link only where a difference will not do: it is new, down, or in another subnet.
function needsActivation(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
	restart: Settings["restart"],
): boolean {
	if (restart === "interface") return true;
	if (restart !== "auto" || hasForeign(spec.name, observed, desired))
		return false;
	const link = observed.links.find((one) => one.name === spec.name);
	return !link?.up || !hasAddress(link, spec.addresses[0] ?? "");
}

// ifdown works by the files that are there: only where they are ours and have something up.
function isOurLinkUp(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
): boolean {
	return desired.recorded.some(
		(managed) =>
			managed.name === spec.name &&
			managed.mac === spec.mac &&
			isLive(managed, observed),
	);
}

function isLive(managed: Managed, observed: Observed): boolean {
	const link = observed.links.find((one) => one.name === managed.name);
	return (
		managed.files.some((path) => path.includes("/ifcfg-")) && link?.up === true
	);
}

// What the kernel will look like after the commands, so that the plan can name the steps that follow them.
function predict(
	observed: Observed,
	deactivations: RunStep[],
	activated: InterfaceSpec[],
	desired: Desired,
): KernelState {
	const down = deactivations.flatMap((step) => step.link ?? []);
	const ours = desired.recorded.filter((managed) =>
		down.includes(managed.name),
	);
	const isOursRule = (from: string, table: number | undefined) =>
		ours.some(
			(managed) =>
				managed.table === table &&
				managed.addresses.map(ruleSource).includes(from),
		);
	const links = observed.links.map((link): Link => {
		const spec = activated.find((one) => one.name === link.name);
		const kept = down.includes(link.name) ? [] : link.addresses;
		const added = (spec?.addresses ?? []).map((cidr) => {
			const [ip = "", prefix] = cidr.split("/");
			return {
				ip,
				prefix: Number(prefix),
				family: 4 as const,
				scope: "global",
				dynamic: false,
			};
		});
		return {
			...link,
			up: spec ? true : !down.includes(link.name) && link.up,
			addresses: [...kept, ...added],
		};
	});
	const rules = observed.rules.filter(
		(rule) => !isOursRule(rule.from, rule.table),
	);
	const routes = observed.routes.filter(
		(route) => !route.devs.some((dev) => down.includes(dev)),
	);
	for (const spec of activated) {
		const route = {
			type: "unicast",
			devs: [spec.name],
			metric: 0,
			proto: undefined,
			src: undefined,
		};
		const source = spec.addresses[0]?.split("/")[0] ?? "";
		routes.push({
			...route,
			table: 254,
			dst: spec.subnet,
			via: undefined,
			proto: "kernel",
			words: [
				spec.subnet,
				"dev",
				spec.name,
				"proto",
				"kernel",
				"scope",
				"link",
				"src",
				source,
			],
		});
		const { table } = spec;
		if (table === undefined) continue;
		routes.push({
			...route,
			table,
			dst: spec.subnet,
			via: undefined,
			words: [],
		});
		routes.push({
			...route,
			table,
			dst: "0.0.0.0/0",
			via: spec.gateway,
			words: [],
		});
		for (const from of spec.addresses.map(ruleSource)) {
			if (rules.some((rule) => rule.from === from && rule.priority === table))
				continue;
			rules.push({
				priority: table,
				from,
				to: undefined,
				table,
				words: [
					"from",
					from,
					"lookup",
					String(table),
					"priority",
					String(table),
				],
			});
		}
	}
	return { links, rules, routes, sysctls: observed.sysctls };
}

// After `remove`, a link that was up before the agent came gets its addresses and routes back.
function restoreUserLinks(
	observed: Observed,
	desired: Desired,
	now: KernelState,
): Step[] {
	return desired.gone.flatMap((managed): Step[] => {
		const before = beforeFor(managed, observed);
		const link = now.links.find(
			(one) => one.name === managed.name && one.mac === managed.mac,
		);
		const isReused = desired.interfaces.some(
			(spec) => spec.name === managed.name,
		);
		if (!before?.up || isReused || !link) return [];
		const { name } = link;
		const isPresent = (words: string[]) =>
			now.routes.some((route) => route.words.join(" ") === words.join(" "));
		return [
			...(link.up ? [] : [{ kind: "link", link: name, op: "up" } as Step]),
			...before.addresses
				.map((words) => words.split(" "))
				.filter(([cidr = ""]) => !hasAddress(link, cidr))
				.map((words): Step => ({ kind: "addr", link: name, op: "add", words })),
			...before.routes
				.filter((words) => !isPresent(words))
				.map(
					(words): Step => ({ kind: "route", link: name, op: "append", words }),
				),
		];
	});
}

function beforeFor(managed: Managed, observed: Observed): Before | undefined {
	return observed.state.interfaces[managed.mac]?.before;
}
