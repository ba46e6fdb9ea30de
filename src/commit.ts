import { backOffAfter, backOffKey } from "./back-off.js";
import { type ExtrasEnd, extrasAfter } from "./commit/extras.js";
import { isMainDefault } from "./desire/candidate.js";
import {
	linkFilePaths,
	managedOf,
	ownFiles,
	parseIfcfg,
} from "./desire/managed.js";
import type {
	Backup,
	Before,
	Desired,
	InterfaceSpec,
	Managed,
	Observed,
	Request,
	Settings,
	State,
	StateEntry,
} from "./model.js";
import { addressWords } from "./plan/addresses.js";
import { sysctlSettings } from "./plan/sysctls.js";
import { linkSysctls, sysctlKey } from "./sysctl-keys.js";

/** What a run leaves in the state record, besides what `desired` says. */
export interface Committed {
	/** Specs that hold now. */
	kept: InterfaceSpec[];
	/** Specs that were rolled back: their cached gateway is not trusted again. */
	failed: InterfaceSpec[];
	/** Entries of the record that were taken away. */
	gone: Managed[];
	extras: ExtrasEnd;
	backups: Backup[];
	/** Milliseconds since the boot, at the end of the run. */
	nowMs: number;
	/** False after `--restart none`: the kernel still holds what the record said before. */
	isKernelDone: boolean;
}

/** The record after a run that was rolled back as a whole: what it had begun is not tried again at once. */
export function stateAfterFailure(
	observed: Observed,
	desired: Desired,
	begun: { links: string[]; extras: boolean },
	nowMs: number,
): State {
	const { state } = observed;
	const tried = desired.interfaces.filter(({ name }) =>
		begun.links.includes(name),
	);
	const failed = tried.map((spec) => {
		const old = state.interfaces[spec.mac];
		const key = backOffKey(spec, observed);
		const backOff = backOffAfter(key, old?.backOff, observed.bootId, nowMs);
		return [spec.mac, { ...(old ?? { name: spec.name }), backOff }];
	});
	const end = begun.extras ? "rolled-back" : "untouched";
	return prune({
		...state,
		interfaces: { ...state.interfaces, ...Object.fromEntries(failed) },
		extras: extrasAfter(observed, desired, end, nowMs),
	});
}

/** The state record after a run. Pure: the old record and the run's result in, the new record out. */
export function nextState(
	observed: Observed,
	desired: Desired,
	request: Request,
	settings: Settings,
	committed: Committed,
): State {
	const { state, cloud } = observed;
	const interfaces: Record<string, StateEntry> = { ...state.interfaces };
	for (const managed of committed.gone) {
		const entry = interfaces[managed.mac];
		const table = entry?.table ?? managed.table;
		if (request.verb === "remove") {
			interfaces[managed.mac] = { name: managed.name, table, released: true };
		} else if (entry) {
			const rest = unpluggedEntry(entry, committed.kept);
			if (rest) interfaces[managed.mac] = rest;
			else delete interfaces[managed.mac];
		}
	}
	for (const spec of committed.kept) {
		interfaces[spec.mac] = entryOf(spec, observed, desired, request, committed);
	}
	for (const spec of committed.failed) {
		const { cache: _, ...old } = interfaces[spec.mac] ?? { name: spec.name };
		interfaces[spec.mac] = {
			...old,
			backOff: backOffAfter(
				backOffKey(spec, observed),
				old.backOff,
				observed.bootId,
				committed.nowMs,
			),
		};
	}
	// Released, or backing off, until it is named again or unbound.
	for (const [mac, entry] of Object.entries(interfaces)) {
		// Unbound: the cloud says so, or the daemon has seen it go.
		const isUnbound =
			!observed.links.some((link) => link.mac === mac) &&
			((cloud?.listed !== undefined && !cloud.listed.includes(mac)) ||
				request.daemon?.gone.includes(mac));
		if (!isUnbound || (!entry.released && !entry.backOff)) continue;
		const { released: _, backOff: __, ...rest } = entry;
		if (entry.managed) interfaces[mac] = rest;
		else delete interfaces[mac];
	}
	// Remembered only when the kernel agrees: one wrong answer would make a secondary the primary for good.
	const primary =
		cloud?.primaryMac &&
		cloud.instanceId &&
		isUsedAsPrimary(cloud.primaryMac, observed)
			? { instanceId: cloud.instanceId, mac: cloud.primaryMac }
			: state.primary;
	const isGone = (managed: Managed) => committed.gone.includes(managed);
	const isManaging =
		committed.kept.length > 0 || desired.recorded.some((one) => !isGone(one));
	return prune({
		version: 1,
		interfaces,
		extras: extrasAfter(observed, desired, committed.extras, committed.nowMs),
		primary,
		sysctls: isManaging ? sharedSysctls(observed, desired) : {},
		rpFilter: isManaging ? desired.rpFilter : undefined,
		pinned: pinnedNames(observed, committed.kept, settings),
	});
}

// What outlives an unbinding: addresses given by flags, and copies of files that --force replaced, for
// the case that the NIC comes back. Another NIC under its name has taken the copies over.
function unpluggedEntry(
	{ name, table, flags, backups }: StateEntry,
	kept: InterfaceSpec[],
): StateEntry | undefined {
	const own = kept.some((spec) => spec.name === name) ? undefined : backups;
	return flags || own
		? {
				name,
				table,
				...(flags ? { flags } : {}),
				...(own ? { backups: own } : {}),
			}
		: undefined;
}

function entryOf(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
	request: Request,
	committed: Committed,
): StateEntry {
	const old = observed.state.interfaces[spec.mac];
	const isKnown = desired.recorded.some((managed) => managed.mac === spec.mac);
	const eni = observed.cloud?.enis[spec.mac];
	const instanceId = observed.cloud?.instanceId;
	const flags =
		request.flags ?? (request.fromMetadata ? undefined : old?.flags);
	// Another ENI under this name takes over what --force replaced there.
	const inherited = committed.gone
		.filter((managed) => managed.mac !== spec.mac)
		.flatMap((managed) => observed.state.interfaces[managed.mac]?.backups ?? [])
		.filter(({ path }) => linkFilePaths(spec.name).includes(path));
	const backups = [
		...(old?.backups ?? []),
		...inherited,
		...committed.backups.filter((backup) => concerns(backup, spec, observed)),
	];
	return {
		name: spec.name,
		table: spec.table ?? old?.table,
		managed: managedOf(spec, []),
		leftover: committed.isKernelDone ? undefined : leftoverOf(old),
		before:
			isKnown && old?.before
				? renamed(old.before, old.name, spec.name)
				: beforeOf(spec, observed, desired),
		// The first copy of a path is what stood there before the agent came: that one is given back.
		backups:
			backups.length > 0
				? backups.filter(
						(one, at) =>
							backups.findIndex((other) => other.path === one.path) === at,
					)
				: undefined,
		flags,
		cache:
			eni?.state === "ok" && instanceId
				? {
						instanceId,
						primaryAddress: eni.eni.primaryAddress,
						prefix: eni.eni.prefix,
						gateway: eni.eni.gateway,
					}
				: old?.cache,
	};
}

function isUsedAsPrimary(mac: string, { links, routes }: Observed): boolean {
	return links.some(
		(link) =>
			link.mac === mac &&
			(link.dhcp ||
				routes.some(
					(route) => isMainDefault(route) && route.devs.includes(link.name),
				)),
	);
}

function leftoverOf(old: StateEntry | undefined): Managed | undefined {
	const managed = old?.leftover ?? old?.managed;
	return managed && { ...managed, files: [] };
}

function concerns(
	backup: Backup,
	spec: InterfaceSpec,
	observed: Observed,
): boolean {
	if (backup.path.endsWith(`-${spec.name}`)) return true;
	const file = observed.files.find((one) => one.path === backup.path);
	return (
		file !== undefined &&
		(parseIfcfg(file.content).DEVICE === spec.name ||
			parseIfcfg(file.content).HWADDR?.toLowerCase() === spec.mac)
	);
}

// A link that was renamed, or plugged in again under another name, is to look as before under that one.
function renamed(before: Before, from: string, to: string): Before {
	if (from === to) return before;
	const sysctls = Object.entries(before.sysctls).map(([key, value]) => [
		key.replace(`conf/${from}/`, `conf/${to}/`),
		value,
	]);
	const routes = before.routes.map((words) =>
		words.map((word) => (word === from ? to : word)),
	);
	return { ...before, routes, sysctls: Object.fromEntries(sysctls) };
}

// How the link looked before: addresses and routes that are not ours, and the sysctls we set.
function beforeOf(
	spec: InterfaceSpec,
	observed: Observed,
	desired: Desired,
): Before {
	const link = observed.links.find((one) => one.name === spec.name);
	const ours = desired.recorded
		.filter((managed) => managed.mac === spec.mac)
		.flatMap((managed) => managed.addresses);
	const keys = linkSysctls.map((leaf) => sysctlKey(spec.name, leaf));
	const isManaged = ownFiles(observed.files, spec.name).length > 0;
	return {
		up: (link?.up ?? false) && !isManaged,
		addresses: (link?.addresses ?? [])
			.filter(
				({ family, scope, ip, prefix }) =>
					family === 4 && scope !== "link" && !ours.includes(`${ip}/${prefix}`),
			)
			.map((address) => addressWords(address).join(" ")),
		routes: observed.routes
			.filter(
				(route) =>
					route.devs.includes(spec.name) &&
					route.proto !== "kernel" &&
					!isMainDefault(route) &&
					route.table !== spec.table,
			)
			.map((route) => route.words),
		sysctls: Object.fromEntries(
			keys.flatMap((key) =>
				observed.sysctls[key] === undefined
					? []
					: [[key, observed.sysctls[key] as string]],
			),
		),
		bootId: observed.bootId,
	};
}

function sharedSysctls(
	observed: Observed,
	desired: Desired,
): Record<string, string> {
	const names = [...desired.interfaces, ...desired.others].map(
		(one) => one.name,
	);
	const keys = sysctlSettings(desired)
		.filter(({ link }) => !names.includes(link))
		.map(({ link, leaf }) => sysctlKey(link, leaf));
	const first = Object.fromEntries(
		keys.flatMap((key) =>
			observed.sysctls[key] === undefined
				? []
				: [[key, observed.sysctls[key] as string]],
		),
	);
	return { ...first, ...observed.state.sysctls };
}

function pinnedNames(
	observed: Observed,
	kept: InterfaceSpec[],
	settings: Settings,
): Record<string, string> {
	const pinned = { ...observed.state.pinned };
	for (const spec of kept) {
		if (spec.source === "config" && settings.interfaces[spec.mac] === undefined)
			pinned[spec.name] ??= spec.mac;
	}
	return pinned;
}

// Without undefined members, so that the record compares equal to what was read from disk.
function prune(state: State): State {
	return JSON.parse(JSON.stringify(state)) as State;
}
