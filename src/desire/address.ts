import {
	compareIps,
	ipOf,
	isInside,
	isIpv4,
	maxAddresses,
	parseCidr,
	subnetOf,
} from "../ipv4.js";
import type { Eni, Link, Request, StaticSource, Verdict } from "../model.js";
import type { Address, Context } from "./context.js";
import { isOurRule } from "./managed.js";
import { leavingExtras } from "./owned-extras.js";

/** The addresses of a link by flags, config or metadata, in this order; or why there are none. */
export function chooseAddress(
	link: Link,
	configured: StaticSource | undefined,
	context: Context,
): Address | { kind: Verdict["kind"]; reason: string; exitCode: number } {
	const { observed, request } = context;
	const remembered = request.fromMetadata
		? undefined
		: observed.state.interfaces[link.mac]?.flags;
	const flags = request.flags ?? remembered;
	if (flags) return { ...flags, source: "flags" };
	if (configured && !request.fromMetadata)
		return { ...configured, source: "config" };

	const eni = answerFor(link, context);
	if ("kind" in eni) {
		const standing = request.daemon && recordedAddress(link, context);
		return standing ?? eni;
	}
	const found: Address = {
		addresses: eni.addresses.map(
			(ip, index) => `${ip}/${index === 0 ? eni.prefix : 32}`,
		),
		gateway: eni.gateway,
		source: "metadata",
	};
	if (request.prune || request.daemon?.settled.includes(link.mac)) return found;
	// --from-metadata gives up what flags or the config said, and nothing that metadata itself said before.
	const givenUp = request.fromMetadata
		? [observed.state.interfaces[link.mac]?.flags, configured]
		: [];
	return keepRecorded(link, found, givenUp, context);
}

function answerFor(
	{ mac }: Link,
	{ observed: { cloud }, request }: Context,
): Eni | { kind: Verdict["kind"]; reason: string; exitCode: number } {
	if (!cloud?.listed) {
		return {
			kind: "pending",
			reason: `the metadata service: ${cloud?.problem ?? "was not asked"}`,
			exitCode: 4,
		};
	}
	const answer = cloud.enis[mac];
	if (cloud.listed.includes(mac) && answer === undefined && request.daemon) {
		const reason = `the metadata service has not answered about ${mac} yet`;
		return { kind: "pending", reason, exitCode: 4 };
	}
	if (!cloud.listed.includes(mac) || answer === undefined) {
		const reason = `the metadata service does not list its MAC ${mac}`;
		if (request.daemon) return { kind: "unlisted", reason, exitCode: 0 };
		return request.targets === "all"
			? { kind: "unmanaged", reason, exitCode: 0 }
			: { kind: "unlisted", reason, exitCode: 4 };
	}
	return answer.state === "ok"
		? answer.eni
		: { kind: "pending", reason: answer.reason, exitCode: 4 };
}

// What is managed is kept as it is recorded while the metadata service has nothing usable to say of it.
function recordedAddress(
	{ mac }: Link,
	{ recorded }: Context,
): Address | undefined {
	const managed = recorded.find((one) => one.mac === mac && !one.isLeftover);
	return (
		managed && {
			addresses: managed.addresses,
			gateway: managed.gateway,
			source: "metadata",
		}
	);
}

// One answer adds; taking away needs --prune (or, in the daemon, the same answer twice).
function keepRecorded(
	link: Link,
	found: Address,
	givenUp: (StaticSource | undefined)[],
	{ recorded, notes, request }: Context,
): Address | { kind: Verdict["kind"]; reason: string; exitCode: number } {
	const own = recorded.filter(
		(managed) =>
			managed.mac === link.mac &&
			// One that was renamed, or plugged in as another, keeps what it had until its answer has settled.
			(managed.name === link.name || request.daemon !== undefined) &&
			!managed.isLeftover &&
			!givenUp.some(
				(source) => source && isSameList(source.addresses, managed.addresses),
			),
	);
	const moved = own.find(
		(managed) =>
			managed.gateway !== found.gateway ||
			managed.addresses[0] !== found.addresses[0],
	);
	if (moved) {
		const said = `the metadata service now says ${found.addresses[0]} via ${found.gateway}, configured is ${moved.addresses[0]} via ${moved.gateway}`;
		if (!request.daemon)
			return {
				kind: "pending",
				reason: `${said}: --prune accepts the change`,
				exitCode: 4,
			};
		notes.push({
			link: link.name,
			text: `${said}: kept until that has stayed the answer`,
		});
		const { addresses, gateway } = moved;
		return { addresses, gateway, source: "metadata" };
	}
	const listed = new Set(found.addresses.map(ipOf));
	const extra = [
		...new Set(own.flatMap((managed) => managed.addresses)),
	].filter((cidr) => !listed.has(ipOf(cidr)));
	const count = found.addresses.length + extra.length;
	if (count > maxAddresses) {
		return {
			kind: "pending",
			reason: `${count} addresses, with those kept from before, are more than the ${maxAddresses} that one NIC can have`,
			exitCode: 4,
		};
	}
	for (const cidr of extra) {
		notes.push({
			link: link.name,
			text: keptNote(cidr, request),
		});
	}
	const [first = "", ...further] = found.addresses;
	return {
		...found,
		addresses: [
			first,
			...[...further, ...extra].sort((a, b) => compareIps(ipOf(a), ipOf(b))),
		],
	};
}

/** What is said of an address that one answer of the metadata service lacks. */
export function keptNote(cidr: string, { daemon }: Request): string {
	const until = daemon
		? "until that has stayed the answer"
		: "; --prune removes it";
	return `${ipOf(cidr)} is no longer listed by the metadata service: kept${daemon ? " " : ""}${until}`;
}

function isSameList(a: string[], b: string[]): boolean {
	return a.length === b.length && a.every((one) => b.includes(one));
}

/**
 * Why this gateway or subnet cannot be an ENI's in this guest; undefined when it can. Metadata that
 * lies about them must not cost the primary its own subnet.
 */
export function gatewayHolder(
	{ addresses: [first = ""], gateway }: Address,
	{ observed, primaries, places }: Context,
): string | undefined {
	const holder = places.links.get(gateway)?.[0];
	if (holder) return `its gateway ${gateway} stands on ${holder.name}`;
	const own = parseCidr(first);
	if (!own) return undefined;
	const subnet = subnetOf(own.ip, own.prefix);
	for (const primary of primaries) {
		// A route to part of the primary's subnet wins over the primary's own, whatever its metric.
		const via = observed.routes.flatMap((route) =>
			route.devs.includes(primary.name) && route.via ? [route.via] : [],
		);
		for (const { family, ip, prefix } of primary.addresses) {
			if (family !== 4 || own.prefix <= prefix) continue;
			const taken = [ip, ...via].find(
				(one) => isIpv4(one) && isInside(one, subnet),
			);
			if (taken)
				return `its subnet ${subnet} would take ${taken} away from ${primary.name} (${ip}/${prefix})`;
		}
	}
	return undefined;
}

/** Who else in this guest has an address; undefined when it is free for the ENI. */
// Containers come first: an address that is somebody else's in this guest is not ours to configure.
export function addressHolder(
	ip: string,
	link: Link,
	context: Context,
): string | undefined {
	const { places, recorded, settings } = context;
	const elsewhere = places.links
		.get(ip)
		?.find((other) => other.name !== link.name);
	const isLeft =
		elsewhere &&
		(isLeaving(ip, elsewhere, context) ||
			leavingExtras(elsewhere, context).includes(`${ip}/32`));
	if (elsewhere && !isLeft) {
		return `stands on ${elsewhere.name}`;
	}
	const route = places.routes
		.get(`${ip}/32`)
		?.find(({ devs }) => devs.length > 0 && !devs.includes(link.name));
	if (route) return `is routed to ${route.devs.join(", ")}`;
	// On a link of this guest it would be a gateway no more.
	const behind = (places.gateways.get(ip) ?? [])
		.filter(({ devs }) => !devs.includes(link.name))
		.flatMap(({ devs }) => devs);
	if (behind.length > 0)
		return `is the gateway of ${[...new Set(behind)].sort().join(", ")}`;
	if (settings.metadataUrls.some((url) => hostOf(url) === ip))
		return "is the metadata service's own";
	// A rule that names an address which is ours already is an admin's wish for it, not a pod's claim.
	const isStanding = () =>
		link.addresses.some((address) => address.ip === ip) &&
		recorded.some(
			({ mac, addresses }) =>
				mac === link.mac && addresses.map(ipOf).includes(ip),
		);
	const rule = places.rules
		.get(`${ip}/32`)
		?.find((one) => !isOurRule(one, recorded) && !isStanding());
	if (rule)
		return `is named by the rule with priority ${rule.priority} (\`ip rule\`), which is not ours (if a rule-${link.name} of your own made it: \`ifdown ${link.name}\` first)`;
	return undefined;
}

function hostOf(url: string): string | undefined {
	return /^https?:\/\/([^/:]+)/.exec(url)?.[1];
}

// Moved in the cloud from one ENI to another: this very run takes it from where it stands.
function isLeaving(
	ip: string,
	holder: Link,
	{ observed, recorded, request }: Context,
): boolean {
	const answer = observed.cloud?.enis[holder.mac];
	const isOurs = recorded.some(
		({ name, addresses }) =>
			name === holder.name && addresses.map(ipOf).includes(ip),
	);
	const isTarget =
		request.targets === "all" || request.targets.includes(holder.name);
	return (
		request.prune &&
		isTarget &&
		isOurs &&
		answer?.state === "ok" &&
		!answer.eni.addresses.includes(ip)
	);
}
