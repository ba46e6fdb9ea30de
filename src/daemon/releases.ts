import { ipOf } from "../ipv4.js";
import type { CloudView, Managed } from "../model.js";

/** An answer without addresses that are configured, on its way to being believed. */
export interface Release {
	link: string;
	/** The answer, as text to compare with. */
	answer: string;
	/** When it was given first. */
	sinceMs: number;
	/** When it was given last, with no other usable answer in between. */
	confirmedMs: number;
	/** Addresses that go when it is believed. */
	addresses: string[];
}

export type Releases = Record<string, Release>;

/** How long an answer has to stay the same before it takes anything away. */
export const settleMs = 30_000;

/**
 * What the latest answer of the metadata service makes of the releases under way, by MAC. Only a
 * usable answer counts: a 404, an error, an ENI that was not asked about leave everything as it was;
 * another usable answer starts anew.
 */
export function nextReleases(
	releases: Releases,
	view: CloudView,
	recorded: Managed[],
	extras: Extras | undefined,
	nowMs: number,
): Releases {
	const next: Releases = {};
	for (const { mac, link, answer } of answersTo(recorded, extras, view)) {
		const earlier = releases[mac];
		if (answer === undefined) {
			if (earlier) next[mac] = earlier;
			continue;
		}
		if (!answer.isDifferent) continue;
		const { text, lost: addresses } = answer;
		const sinceMs = earlier?.answer === text ? earlier.sinceMs : nowMs;
		const confirmedMs = nowMs;
		next[mac] = { link, answer: text, sinceMs, confirmedMs, addresses };
	}
	return next;
}

/**
 * MACs whose answer in this view may take addresses away: it was given twice, 30 s apart, and it is
 * what the view says.
 */
export function settledIn(releases: Releases, view: CloudView): string[] {
	return Object.entries(releases).flatMap(
		([mac, { answer, sinceMs, confirmedMs }]) =>
			confirmedMs - sinceMs >= settleMs && answerText(mac, view) === answer
				? [mac]
				: [],
	);
}

/** The releases that are still under way by what is recorded now: a pass may have carried some out. */
export function openReleases(
	releases: Releases,
	view: CloudView,
	recorded: Managed[],
	extras: Extras | undefined,
): Releases {
	const open = answersTo(recorded, extras, view)
		.filter(({ answer }) => answer === undefined || answer.isDifferent)
		.map(({ mac }) => mac);
	return Object.fromEntries(
		Object.entries(releases).filter(([mac]) => open.includes(mac)),
	);
}

function answersTo(
	recorded: Managed[],
	extras: Extras | undefined,
	view: CloudView,
) {
	return [
		...recorded.map((managed) => ({
			mac: managed.mac,
			link: managed.name,
			answer: answerOf(managed, view),
		})),
		...(extras ? [{ ...extras, answer: answerOfPrimary(extras, view) }] : []),
	];
}

// What the service says of an ENI, or of the primary's private IPs; undefined for nothing usable.
function answerText(mac: string, view: CloudView): string | undefined {
	const { listed, primaryMac, primaryAddresses, enis } = view;
	if (!listed) return undefined;
	if (mac === primaryMac)
		return primaryAddresses && JSON.stringify([...primaryAddresses].sort());
	const answer = enis[mac];
	if (answer?.state !== "ok") return undefined;
	const { primaryAddress, prefix, gateway, addresses } = answer.eni;
	const sorted = [...addresses].sort();
	return JSON.stringify([primaryAddress, prefix, gateway, sorted]);
}

/** What stands on the primary by `managePrimary`. */
export interface Extras {
	link: string;
	mac: string;
	addresses: string[];
}

interface Usable {
	/** The answer as text to compare with. */
	text: string;
	/** It lacks something that is configured, or has another base. */
	isDifferent: boolean;
	lost: string[];
}

function answerOf(
	{ mac, addresses, gateway }: Managed,
	view: CloudView,
): Usable | undefined {
	const answer = view.enis[mac];
	if (view.listed === undefined || answer?.state !== "ok") return undefined;
	const { eni } = answer;
	const lost = addresses.filter((cidr) => !eni.addresses.includes(ipOf(cidr)));
	const isMoved =
		gateway !== eni.gateway ||
		addresses[0] !== `${eni.primaryAddress}/${eni.prefix}`;
	const text = answerText(mac, view) ?? "";
	return { text, isDifferent: lost.length > 0 || isMoved, lost };
}

function answerOfPrimary(
	{ mac, addresses }: Extras,
	view: CloudView,
): Usable | undefined {
	const { listed, primaryMac, primaryAddresses } = view;
	if (!listed || primaryMac !== mac || !primaryAddresses) return undefined;
	const lost = addresses.filter(
		(cidr) => !primaryAddresses.includes(ipOf(cidr)),
	);
	const text = answerText(mac, view) ?? "";
	return { text, isDifferent: lost.length > 0, lost };
}
