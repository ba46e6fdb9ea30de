import { ipOf } from "../ipv4.js";
import type { CloudView, Managed } from "../model.js";

/** An answer without addresses that are configured, on its way to being believed. */
export interface Release {
	link: string;
	/** The answer, as text to compare with. */
	answer: string;
	sinceMs: number;
	/** Addresses that go when it is believed. */
	addresses: string[];
}

export type Releases = Record<string, Release>;

/** How long an answer has to stay the same before it takes anything away. */
export const settleMs = 30_000;

/**
 * What the latest answer of the metadata service makes of the releases under way, by MAC. Only a
 * usable answer counts: a 404, an error, an ENI that was not asked about leave everything as it was;
 * another usable answer starts anew. `settled` are MACs whose answer is the same as 30 s ago.
 */
export function nextReleases(
	releases: Releases,
	view: CloudView,
	recorded: Managed[],
	extras: Extras | undefined,
	nowMs: number,
): { releases: Releases; settled: string[] } {
	const next: Releases = {};
	const settled: string[] = [];
	const all = [
		...recorded.map((managed) => ({
			mac: managed.mac,
			link: managed.name,
			answer: answerOf(managed, view),
		})),
		...(extras ? [{ ...extras, answer: answerOfPrimary(extras, view) }] : []),
	];
	for (const { mac, link, answer } of all) {
		const earlier = releases[mac];
		if (answer === undefined) {
			if (earlier) next[mac] = earlier;
			continue;
		}
		if (!answer.isDifferent) continue;
		const { text, lost: addresses } = answer;
		const isSame = earlier?.answer === text;
		const sinceMs = isSame ? earlier.sinceMs : nowMs;
		next[mac] = { link, answer: text, sinceMs, addresses };
		if (isSame && nowMs - sinceMs >= settleMs) settled.push(mac);
	}
	return { releases: next, settled };
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
	const text = JSON.stringify([
		eni.primaryAddress,
		eni.prefix,
		eni.gateway,
		[...eni.addresses].sort(),
	]);
	return { text, isDifferent: lost.length > 0 || isMoved, lost };
}

function answerOfPrimary(
	{ mac, addresses }: Extras,
	{ listed, primaryMac, primaryAddresses }: CloudView,
): Usable | undefined {
	if (!listed || primaryMac !== mac || !primaryAddresses) return undefined;
	const lost = addresses.filter(
		(cidr) => !primaryAddresses.includes(ipOf(cidr)),
	);
	const text = JSON.stringify([...primaryAddresses].sort());
	return { text, isDifferent: lost.length > 0, lost };
}
