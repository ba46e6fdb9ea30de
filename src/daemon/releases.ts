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
	nowMs: number,
): { releases: Releases; settled: string[] } {
	const next: Releases = {};
	const settled: string[] = [];
	for (const { mac, name, addresses, gateway } of recorded) {
		const answer = view.enis[mac];
		const earlier = releases[mac];
		if (view.listed === undefined || answer?.state !== "ok") {
			if (earlier) next[mac] = earlier;
			continue;
		}
		const { eni } = answer;
		const lost = addresses.filter(
			(cidr) => !eni.addresses.includes(ipOf(cidr)),
		);
		const isMoved =
			gateway !== eni.gateway ||
			addresses[0] !== `${eni.primaryAddress}/${eni.prefix}`;
		if (lost.length === 0 && !isMoved) continue;
		const text = JSON.stringify([
			eni.primaryAddress,
			eni.prefix,
			eni.gateway,
			[...eni.addresses].sort(),
		]);
		const isSame = earlier?.answer === text;
		const sinceMs = isSame ? earlier.sinceMs : nowMs;
		next[mac] = { link: name, answer: text, sinceMs, addresses: lost };
		if (isSame && nowMs - sinceMs >= settleMs) settled.push(mac);
	}
	return { releases: next, settled };
}
