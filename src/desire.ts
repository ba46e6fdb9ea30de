import {
	findPrimary,
	notCandidate,
	primaryReason,
} from "./desire/candidate.js";
import type { Context } from "./desire/context.js";
import { decide } from "./desire/decide.js";
import { decideExtras } from "./desire/extras.js";
import { foreignFiles } from "./desire/foreign-files.js";
import { managedBy } from "./desire/managed.js";
import { placesOf } from "./desire/places.js";
import { exitCodes } from "./errors.js";
import { ipOf } from "./ipv4.js";
import type {
	Desired,
	InterfaceSpec,
	Managed,
	Note,
	Observed,
	Request,
	Settings,
	Verdict,
} from "./model.js";
import { nameFew, printable } from "./quote.js";

// Bound and not here yet: up to so many are named one by one.
const maxWithoutLink = 8;

/** What should be, from what is, what was asked and what the cloud says. Pure: no outcome depends on anything else. */
export function desire(
	observed: Observed,
	request: Request,
	settings: Settings,
): Desired {
	const recorded = managedBy(observed.files, observed.state).map((managed) =>
		withThrows(managed, observed),
	);
	const primaries = observed.links.filter((link) =>
		primaryReason(link, observed),
	);
	const context: Context = {
		observed,
		request,
		settings,
		recorded,
		primaries,
		places: placesOf(observed),
		notes: [],
		taken: [],
	};
	const results = targetNames(context).map((name) => decide(name, context));
	const { kept, refused } = withoutSharedAddresses(
		results.flatMap((result) => ("spec" in result ? [result.spec] : [])),
	);
	const interfaces = request.verb === "remove" ? [] : kept;
	const { extras, verdict: ofExtras } = decideExtras(context, interfaces);
	const gone = recorded.filter((managed) =>
		isGone(managed, interfaces, context, results),
	);
	const isElsewhere = (managed: Managed) =>
		!gone.includes(managed) &&
		!interfaces.some((spec) => spec.mac === managed.mac) &&
		// A line for a NIC that is not there makes `sysctl -p` fail.
		observed.links.some(
			({ name, mac }) => name === managed.name && mac === managed.mac,
		);
	return {
		interfaces,
		gone,
		recorded,
		others: recorded.filter(isElsewhere),
		// A NIC whose files somebody has edited since gets no sysctls either.
		held: recorded
			.filter(
				({ name, mac }) =>
					!request.force && foreignFiles(name, mac, observed).length > 0,
			)
			.map(({ name }) => name),
		extras,
		verdicts: [
			...results
				.flatMap((result) => ("verdict" in result ? [result.verdict] : []))
				.map((verdict) =>
					verdict.link === ofExtras?.link ? ofExtras : verdict,
				),
			...refused,
			...withoutLink(context),
		],
		notes: [
			...context.notes,
			...gone.flatMap((managed) => [
				...lostCopies(managed, observed),
				...editedFiles(managed, observed, request),
			]),
		],
		primary: findPrimary(observed),
		rpFilter:
			request.verb === "remove"
				? (observed.state.rpFilter ?? settings.rpFilter)
				: settings.rpFilter,
		overridden: request.force
			? interfaces.flatMap((spec) =>
					foreignFiles(spec.name, spec.mac, observed).map(({ path }) => path),
				)
			: [],
		left: request.daemon?.left ?? [],
	};
}

// A record from files alone (state lost) does not know its throw routes: those in its table.
function withThrows(managed: Managed, observed: Observed): Managed {
	if (observed.state.interfaces[managed.mac] || managed.table === undefined) {
		return managed;
	}
	const throws = observed.routes
		.filter(({ table, type }) => table === managed.table && type === "throw")
		.map(({ dst }) => dst);
	return { ...managed, throws };
}

function targetNames({ observed, request, settings }: Context): string[] {
	if (request.targets !== "all") return request.targets;
	return observed.links
		.filter((link) => notCandidate(link, settings.exclude) === undefined)
		.map((link) => link.name)
		.filter((name) => !request.skip.includes(name));
}

// `--all` also stands for what the cloud lists and the guest does not show yet.
function withoutLink({ observed, request }: Context): Verdict[] {
	const { cloud, links } = observed;
	if (request.targets !== "all" || request.verb === "remove") return [];
	if (!cloud?.listed) {
		return [
			{
				link: "-",
				mac: undefined,
				kind: "pending",
				reason: `the metadata service: ${cloud?.problem ?? "was not asked"}`,
				exitCode: exitCodes.metadata,
			},
		];
	}
	const macs = cloud.listed.filter(
		(mac) =>
			mac !== cloud.primaryMac && !links.some((link) => link.mac === mac),
	);
	const pending = (mac: string | undefined, reason: string): Verdict => ({
		link: "-",
		mac,
		kind: "pending",
		reason,
		exitCode: exitCodes.metadata,
	});
	// Even a listing of thousands is one answer: no size has more than a handful of ENIs.
	if (macs.length > maxWithoutLink) {
		const reason = `the metadata service lists ${macs.length} ENIs without a NIC here: ${nameFew(macs)}`;
		return [pending(undefined, reason)];
	}
	return macs.map((mac) =>
		pending(mac, `the ENI ${mac} is bound, but its NIC has not come up yet`),
	);
}

// What the record holds and this run takes away: `remove`, what was unplugged, and stale entries of a spec's name or MAC.
function isGone(
	managed: Managed,
	interfaces: InterfaceSpec[],
	context: Context,
	results: ReturnType<typeof decide>[],
): boolean {
	const { request } = context;
	if (request.verb === "remove") {
		return results.some(
			(result) =>
				"verdict" in result &&
				result.verdict.kind === "released" &&
				result.verdict.link === managed.name,
		);
	}
	return (
		isUnplugged(managed, context) ||
		interfaces.some(
			(spec) => (spec.mac === managed.mac) !== (spec.name === managed.name),
		)
	);
}

// The daemon has seen the NIC go. A single run also wants to hear that the ENI is bound no more: the
// NIC may just be late. A port has its master's MAC, so a NIC of that name that is one has not gone.
function isUnplugged(
	{ name, mac }: Managed,
	{ observed: { links, cloud }, request }: Context,
): boolean {
	const isThere = links.some(
		(link) =>
			link.mac === mac || (link.name === name && link.master !== undefined),
	);
	if (request.targets !== "all" || isThere) return false;
	// Where not even the loopback was seen, nothing was.
	return request.daemon
		? links.length > 0 && !request.daemon.present.includes(mac)
		: cloud?.listed !== undefined && !cloud.listed.includes(mac);
}

// Two ENIs with one address, or one's address the other's gateway: which one the cloud means cannot
// be known, so neither is configured.
function withoutSharedAddresses(specs: InterfaceSpec[]): {
	kept: InterfaceSpec[];
	refused: Verdict[];
} {
	const ownersOf = new Map<string, InterfaceSpec[]>();
	for (const spec of specs)
		for (const ip of spec.addresses.map(ipOf))
			ownersOf.set(ip, [...(ownersOf.get(ip) ?? []), spec]);
	const clashOf = (spec: InterfaceSpec): string | undefined => {
		for (const ip of spec.addresses.map(ipOf)) {
			const other = ownersOf.get(ip)?.find((one) => one !== spec);
			if (other) return `${ip} is given to ${other.name} as well`;
			const behind = specs.find(({ gateway }) => gateway === ip);
			if (behind) return `${ip} is the gateway of ${behind.name} as well`;
		}
		const owner = ownersOf.get(spec.gateway)?.[0];
		return (
			owner && `its gateway ${spec.gateway} is given to ${owner.name} as well`
		);
	};
	const refused = specs.flatMap((spec): Verdict[] => {
		const clash = clashOf(spec);
		return clash
			? [
					{
						link: spec.name,
						mac: spec.mac,
						kind: "pending",
						reason: `${clash}: neither is configured`,
						exitCode: exitCodes.metadata,
					},
				]
			: [];
	});
	return {
		kept: specs.filter(
			(spec) => !refused.some((verdict) => verdict.link === spec.name),
		),
		refused,
	};
}

// A file of ours that somebody edited is theirs: `remove` leaves it, and says so.
function editedFiles(
	{ name, mac }: Managed,
	observed: Observed,
	{ verb }: Request,
): Note[] {
	if (verb !== "remove") return [];
	return foreignFiles(name, mac, observed).map(({ path }) => ({
		link: name,
		text: `${printable(path)} is not ours (made or edited by hand): left as it is`,
	}));
}

// The copy of a user's file that no record names any more cannot be given back by itself.
function lostCopies(managed: Managed, observed: Observed): Note[] {
	const known = Object.values(observed.state.interfaces).flatMap(
		({ backups }) => backups?.map(({ copy }) => copy) ?? [],
	);
	const lost = observed.copies.filter(
		(copy) =>
			!known.includes(copy) &&
			new RegExp(`^(ifcfg|route|rule)-${managed.name}(\\.\\d+)?$`).test(copy),
	);
	return lost.map((copy) => ({
		link: managed.name,
		text: `a copy of a file that --force replaced is in the backup directory as ${copy}: not given back, because the record of it is lost`,
	}));
}
