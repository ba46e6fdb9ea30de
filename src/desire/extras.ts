import { backOffLeftMs, extrasKey } from "../back-off.js";
import { exitCodes } from "../errors.js";
import {
	compareIps,
	hostAddressProblem,
	ipOf,
	isInside,
	maxAddresses,
	subnetOf,
} from "../ipv4.js";
import type {
	InterfaceSpec,
	Link,
	Managed,
	PrimaryExtras,
	Verdict,
} from "../model.js";
import { nameFew } from "../quote.js";
import { addressHolder, keptNote } from "./address.js";
import { findPrimary, notCandidate } from "./candidate.js";
import type { Context } from "./context.js";
import {
	fileNaming,
	isAboutExtras,
	isListOf,
	leavingExtras,
	ownedExtras,
} from "./owned-extras.js";

const reported = "reported, not configured";

interface Decision {
	extras?: PrimaryExtras;
	/** Takes the place of what is said of the primary otherwise. */
	verdict?: Verdict;
}

/**
 * The primary's further private IPs: with `managePrimary` they stand on its link, live and each as
 * /32, so that none depends on another; without it they are reported, and what an earlier run added
 * goes. `specs` are what the other NICs get. A run that names NICs is not about the primary.
 */
export function decideExtras(
	context: Context,
	specs: InterfaceSpec[],
): Decision {
	const { observed, request, settings } = context;
	const primary = findPrimary(observed);
	const isForAll = request.verb === "configure" && request.targets === "all";
	const why = isForAll && primary ? whyNot(primary, context) : undefined;
	if (primary && (why || !settings.managePrimary)) {
		report(primary, missingOn(primary, context), context, why ?? reported);
	}
	if (!isForAll) return {};
	const link = settings.managePrimary ? primary : recordedLink(context);
	if (!link || why || request.skip.includes(link.name)) return {};
	return settings.managePrimary
		? decideManaged(link, context, specs)
		: unlessBackingOff(link, [], context);
}

// Why the further private IPs are left as they are, whatever the setting says.
function whyNot(primary: Link, context: Context): string | undefined {
	const { observed, settings } = context;
	const record = observed.state.extras;
	if (!isAboutExtras(context)) {
		return "rolled back, and left alone until managePrimary is changed";
	}
	if (!settings.managePrimary) return undefined;
	const wrong = notCandidate(primary, settings.exclude);
	if (wrong) return `not configured, for ${primary.name} ${wrong}`;
	const { tkeCni } = observed.facts;
	if (tkeCni) {
		return `not configured, for the container network ${tkeCni} owns addresses of ENIs here`;
	}
	// One wrong answer must not take from one NIC what was given to it as the primary.
	const other = observed.links.find(
		({ mac }) => mac === record?.mac && mac !== primary.mac,
	);
	return other && record?.addresses.length
		? `not configured, for ${other.name} was the primary when addresses were added to it`
		: undefined;
}

function recordedLink({ observed, settings }: Context): Link | undefined {
	return observed.links.find(
		(link) =>
			link.mac === observed.state.extras?.mac &&
			notCandidate(link, settings.exclude) === undefined,
	);
}

function decideManaged(
	link: Link,
	context: Context,
	specs: InterfaceSpec[],
): Decision {
	const { observed, notes, request } = context;
	const { cloud } = observed;
	const listed = cloud?.primaryAddresses ?? [];
	// Said once already, of all NICs.
	if (!cloud?.listed) return {};
	if (!isListOf(link, context) || listed.length > maxAddresses) {
		const reason = whyUnsettled(link, context);
		return {
			verdict: {
				link: link.name,
				mac: link.mac,
				kind: "pending",
				reason: `its further private IPs: ${reason}`,
				exitCode: exitCodes.metadata,
			},
		};
	}
	const owned = ownedExtras(link, observed);
	const leaving = leavingExtras(link, context);
	const stands = (cidr: string) =>
		link.addresses.some(({ ip }) => ip === ipOf(cidr));
	const unlisted = owned.filter(
		(cidr) => !listed.includes(ipOf(cidr)) && !leaving.includes(cidr),
	);
	// One that is gone from the link as well is not brought back for a cloud that does not have it.
	const kept = unlisted.filter(stands);
	for (const cidr of kept)
		notes.push({ link: link.name, text: keptNote(cidr, request) });
	const candidates = [
		...owned.filter((cidr) => listed.includes(ipOf(cidr))),
		...missingOn(link, context)
			.map((ip) => `${ip}/32`)
			.filter((cidr) => !owned.includes(cidr)),
	];
	const inSubnet = candidates.filter((cidr) =>
		subnetAround(ipOf(cidr), link, owned),
	);
	const outside = candidates.filter((cidr) => !inSubnet.includes(cidr));
	report(link, outside.map(ipOf), context, reported);
	const free = inSubnet.filter((cidr) => {
		const reason = holder(ipOf(cidr), link, context, specs);
		if (reason) {
			const text = `${ipOf(cidr)} ${reason}: held, not configured`;
			notes.push({ link: link.name, text });
		}
		return reason === undefined;
	});
	return unlessBackingOff(link, [...free, ...kept], context);
}

// What failed is not tried again at once, with nothing changed.
function unlessBackingOff(
	link: Link,
	wanted: string[],
	{ observed, settings }: Context,
): Decision {
	const { name, mac } = link;
	const extras: PrimaryExtras = {
		name,
		mac,
		addresses: wanted.sort((a, b) => compareIps(ipOf(a), ipOf(b))),
		recorded: ownedExtras(link, observed),
		isManaged: settings.managePrimary,
	};
	const backOff = observed.state.extras?.backOff;
	const waitMs = backOffLeftMs(extrasKey(extras), backOff, observed);
	if (waitMs === 0) return { extras };
	const times = backOff?.attempts === 1 ? "once" : `${backOff?.attempts} times`;
	return {
		verdict: {
			link: name,
			mac,
			kind: "backing-off",
			reason: `its further private IPs: rolled back ${times}, and nothing has changed since: tried again in ${Math.ceil(waitMs / 1000)} s`,
			exitCode: exitCodes.rolledBack,
		},
	};
}

function whyUnsettled(link: Link, { observed }: Context): string {
	const { primaryMac, primaryAddresses: listed } = observed.cloud ?? {};
	if (primaryMac !== link.mac) {
		return `the metadata service calls ${primaryMac ?? "no NIC"} the primary, and here it is ${link.mac}`;
	}
	if (!listed) return "the metadata service gave no list of them";
	return listed.length > maxAddresses
		? `the metadata service lists ${listed.length}, more than the ${maxAddresses} that one NIC can have`
		: `the metadata service lists ${nameFew(listed)}, and none that ${link.name} has`;
}

function missingOn(link: Link, { observed }: Context): string[] {
	const own = link.addresses.map(({ ip }) => ip);
	const listed = observed.cloud?.primaryAddresses ?? [];
	return listed.filter((ip) => !own.includes(ip));
}

function report(
	link: Link,
	ips: string[],
	{ notes, observed }: Context,
	why: string,
): void {
	if (ips.length === 0) return;
	const owned = ownedExtras(link, observed);
	const isNear = ips.every((ip) => subnetAround(ip, link, owned));
	notes.push({
		link: link.name,
		text: `the primary ENI has ${nameFew(ips)} in the cloud and not in the guest${isNear ? "" : " (another subnet)"}: ${why}`,
	});
}

// The link's own address, not added by us, in whose subnet an IP is.
function subnetAround(
	ip: string,
	link: Link,
	owned: string[],
): Link["addresses"][number] | undefined {
	return link.addresses.find(
		(own) =>
			own.family === 4 &&
			!owned.includes(`${own.ip}/${own.prefix}`) &&
			isInside(ip, subnetOf(own.ip, own.prefix)),
	);
}

/** Why an IP of the right subnet cannot stand on the primary all the same; undefined when it can. */
function holder(
	ip: string,
	link: Link,
	context: Context,
	specs: InterfaceSpec[],
): string | undefined {
	const { observed } = context;
	const owned = ownedExtras(link, observed);
	const prefix = subnetAround(ip, link, owned)?.prefix ?? 32;
	const isStanding = link.addresses.some((own) => own.ip === ip);
	const gateway = observed.routes.find(({ via }) => via === ip);
	// What stands here by our doing is claimed by nobody's rule.
	const recorded = [...context.recorded, asManaged(link, owned)];
	return (
		hostAddressProblem(ip, prefix) ??
		(isStanding ? undefined : otherOwner(ip, context, specs)) ??
		(gateway && `is the gateway of ${gateway.devs.join(", ")}`) ??
		addressHolder(ip, link, { ...context, recorded })
	);
}

// Given to another NIC as well: which one the cloud means cannot be known. Or somebody's own to bring up.
function otherOwner(
	ip: string,
	{ observed }: Context,
	specs: InterfaceSpec[],
): string | undefined {
	const spec = specs.find(
		({ addresses, gateway }) =>
			gateway === ip || addresses.map(ipOf).includes(ip),
	);
	if (spec) {
		return spec.gateway === ip
			? `is the gateway of ${spec.name}`
			: `is given to ${spec.name} as well`;
	}
	const answer = Object.values(observed.cloud?.enis ?? {}).find(
		(one) => one.state === "ok" && one.eni.addresses.includes(ip),
	);
	if (answer?.state === "ok") return `is listed for ${answer.eni.mac} as well`;
	const file = fileNaming(ip, observed);
	return file && `stands in ${file}, its owner's to bring up`;
}

function asManaged({ name, mac }: Link, addresses: string[]): Managed {
	return {
		name,
		mac,
		addresses,
		subnet: "",
		gateway: "",
		table: undefined,
		throws: [],
		demoteMetric: undefined,
		files: [],
	};
}
