import { addressHolder, chooseAddress } from "./desire/address.js";
import {
	defaultRoutes,
	findPrimary,
	notCandidate,
	primaryReason,
} from "./desire/candidate.js";
import { configuredSource, pinnedElsewhere } from "./desire/configured.js";
import type { Address, Context } from "./desire/context.js";
import { foreignFiles, heldAdvice } from "./desire/foreign-files.js";
import { managedBy } from "./desire/managed.js";
import { chooseTable, demotedMetric, throwPrefixes } from "./desire/routing.js";
import { exitCodes } from "./errors.js";
import { ipOf, isInside, parseCidr, subnetOf } from "./ipv4.js";
import type {
	Desired,
	InterfaceSpec,
	Link,
	Managed,
	Note,
	Observed,
	Request,
	Settings,
	Verdict,
} from "./model.js";

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
		notes: [],
		taken: [],
	};
	const results = targetNames(context).map((name) => decide(name, context));
	const { kept, refused } = withoutSharedAddresses(
		results.flatMap((result) => ("spec" in result ? [result.spec] : [])),
	);
	const interfaces = request.verb === "remove" ? [] : kept;
	const gone = recorded.filter((managed) =>
		isGone(managed, interfaces, context),
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
		verdicts: [
			...results.flatMap((result) =>
				"verdict" in result ? [result.verdict] : [],
			),
			...refused,
			...withoutLink(context),
		],
		notes: [
			...context.notes,
			...primaryNotes(observed),
			...gone.flatMap((managed) => lostCopies(managed, observed)),
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
	return cloud.listed
		.filter(
			(mac) =>
				mac !== cloud.primaryMac && !links.some((link) => link.mac === mac),
		)
		.map((mac) => ({
			link: "-",
			mac,
			kind: "pending",
			reason: `the ENI ${mac} is bound, but its NIC has not come up yet`,
			exitCode: exitCodes.metadata,
		}));
}

function decide(
	name: string,
	context: Context,
): { spec: InterfaceSpec } | { verdict: Verdict } {
	const { observed, request, settings, recorded } = context;
	const link = observed.links.find((candidate) => candidate.name === name);
	const stop = (kind: Verdict["kind"], reason: string, exitCode: number) => ({
		verdict: { link: name, mac: link?.mac, kind, reason, exitCode },
	});
	if (request.verb === "remove") {
		const isManaged = recorded.some((managed) => managed.name === name);
		return isManaged
			? stop("released", "is removed", exitCodes.converged)
			: stop(
					"unmanaged",
					link
						? "is not managed: nothing to remove"
						: "is not managed, and there is no such NIC",
					link ? exitCodes.converged : exitCodes.usage,
				);
	}
	if (!link)
		return stop(
			"missing",
			`there is no such NIC: the machine has ${observed.links.map((other) => other.name).join(", ")}`,
			exitCodes.usage,
		);
	const wrong = notCandidate(link, settings.exclude);
	if (wrong) return stop("wrong-kind", wrong, exitCodes.usage);
	const primary = primaryReason(link, observed);
	if (primary)
		return stop(
			"primary",
			primaryAdvice(link, primary, observed),
			request.targets === "all" ? exitCodes.converged : exitCodes.refused,
		);
	if (!findPrimary(observed)) {
		return stop(
			"refused",
			"which NIC is the primary is not known (no default route, and no word of it from the metadata service): nothing is touched",
			exitCodes.refused,
		);
	}
	const twins = observed.links.filter(
		(other) =>
			other.mac === link.mac &&
			notCandidate(other, settings.exclude) === undefined,
	);
	if (twins.length > 1) {
		return stop(
			"refused",
			`shares the MAC ${link.mac} with ${twins
				.filter((twin) => twin !== link)
				.map((twin) => twin.name)
				.join(", ")}: neither is touched`,
			exitCodes.refused,
		);
	}
	const entry = observed.state.interfaces[link.mac];
	if (entry?.released && request.targets === "all") {
		return stop(
			"released",
			`was removed; \`eni-configure ${name}\` takes it back`,
			exitCodes.converged,
		);
	}
	const configured = configuredSource(link, settings, observed.state);
	const pinned = pinnedElsewhere(link, settings, observed.state);
	if (pinned)
		context.notes.push({
			link: name,
			text: `the config's ${name} meant the NIC ${pinned}, and this one is ${link.mac}: not used`,
		});
	if (observed.facts.tkeCni && request.targets === "all" && !configured) {
		return stop(
			"refused",
			`the container network ${observed.facts.tkeCni} owns ENIs here: name the NIC under \`interfaces:\` in the config to have it configured`,
			exitCodes.refused,
		);
	}
	const address = chooseAddress(link, configured, context);
	if ("kind" in address)
		return stop(address.kind, address.reason, address.exitCode);

	const foreign = foreignFiles(name, link.mac, observed);
	if (foreign.length > 0 && !request.force)
		return stop("held", heldAdvice(name, foreign), exitCodes.refused);

	const held = address.addresses.flatMap((cidr) => {
		const reason = addressHolder(ipOf(cidr), link, context);
		return reason ? [{ cidr, reason }] : [];
	});
	const [first] = held;
	if (
		first &&
		(first.cidr === address.addresses[0] || address.source !== "metadata")
	) {
		return stop(
			"held",
			`${ipOf(first.cidr)} ${first.reason}: held, not configured`,
			exitCodes.refused,
		);
	}
	for (const { cidr, reason } of held)
		context.notes.push({
			link: name,
			text: `${ipOf(cidr)} ${reason}: held, not configured`,
		});

	const addresses = address.addresses.filter(
		(cidr) => !held.some((one) => one.cidr === cidr),
	);
	return { spec: specOf(link, { ...address, addresses }, context) };
}

function specOf(link: Link, address: Address, context: Context): InterfaceSpec {
	const { observed, settings, recorded, primaries } = context;
	const [first = "", ...further] = address.addresses;
	const primary = parseCidr(first) ?? { ip: first, prefix: 32 };
	const subnet = subnetOf(primary.ip, primary.prefix);
	const table = chooseTable(link, observed, recorded, context.taken);
	context.taken.push(table);
	const isShared = primaries.some((other) =>
		other.addresses.some(
			({ family, ip, prefix }) =>
				family === 4 && subnetOf(ip, prefix) === subnet,
		),
	);
	return {
		name: link.name,
		mac: link.mac,
		addresses: [first, ...further.map((cidr) => `${ipOf(cidr)}/32`)],
		subnet,
		gateway: address.gateway,
		table: settings.routing === "none" ? undefined : table,
		throws: settings.routing === "none" ? [] : throwPrefixes(observed, subnet),
		demoteMetric: isShared ? demotedMetric(table) : undefined,
		nmControlled: !observed.facts.networkManagerRunning,
		source: address.source,
	};
}

function primaryAdvice(link: Link, reason: string, observed: Observed): string {
	const mac = observed.cloud?.primaryMac ?? observed.state.primary?.mac;
	const isStolen =
		reason.includes("default route") && mac !== undefined && mac !== link.mac;
	const route = defaultRoutes(observed.routes)[0];
	return isStolen
		? `${reason}, though the primary ENI is ${mac}: never touched; give the default route back first (now: default via ${route?.via ?? "nothing"} dev ${link.name})`
		: `${reason}: the primary is never touched but for its rp_filter`;
}

// What the record holds and this run takes away: `remove`, and stale entries of a spec's name or MAC.
function isGone(
	managed: Managed,
	interfaces: InterfaceSpec[],
	{ request }: Context,
): boolean {
	if (request.verb === "remove")
		return request.targets !== "all" && request.targets.includes(managed.name);
	return interfaces.some(
		(spec) => (spec.mac === managed.mac) !== (spec.name === managed.name),
	);
}

// Two ENIs with one address: which one the cloud means cannot be known, so neither is configured.
function withoutSharedAddresses(specs: InterfaceSpec[]): {
	kept: InterfaceSpec[];
	refused: Verdict[];
} {
	const refused = specs.flatMap((spec): Verdict[] => {
		for (const other of specs) {
			const shared = spec.addresses
				.map(ipOf)
				.find((ip) => other !== spec && other.addresses.map(ipOf).includes(ip));
			if (shared) {
				const reason = `${shared} is given to ${other.name} as well: neither is configured`;
				return [
					{
						link: spec.name,
						mac: spec.mac,
						kind: "pending",
						reason,
						exitCode: exitCodes.metadata,
					},
				];
			}
		}
		return [];
	});
	return {
		kept: specs.filter(
			(spec) => !refused.some((verdict) => verdict.link === spec.name),
		),
		refused,
	};
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

function primaryNotes(observed: Observed): Note[] {
	const link = findPrimary(observed);
	const own = link?.addresses.map((address) => address.ip) ?? [];
	const extra = (observed.cloud?.primaryAddresses ?? []).filter(
		(ip) => !own.includes(ip),
	);
	const first = link?.addresses.find((address) => address.family === 4);
	if (!link || extra.length === 0) return [];
	const place =
		first && extra.every((ip) => isInside(ip, subnetOf(first.ip, first.prefix)))
			? ""
			: " (another subnet)";
	return [
		{
			link: link.name,
			text: `the primary ENI has ${extra.join(", ")} in the cloud and not in the guest${place}: reported, not configured`,
		},
	];
}
