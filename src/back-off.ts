import type {
	BackOff,
	InterfaceSpec,
	Managed,
	Observed,
	PrimaryExtras,
} from "./model.js";

const delaysMs = [60_000, 120_000, 300_000, 600_000];

/** What makes a spec another one than that which failed: not the throws, which follow containers' networks. */
export function specKey({
	name,
	mac,
	addresses,
	subnet,
	gateway,
	table,
}: Omit<Managed, "files" | "throws" | "demoteMetric">): string {
	return JSON.stringify([name, mac, addresses, subnet, gateway, table]);
}

/** The same of the primary's further private IPs. */
export function extrasKey({ mac, addresses }: PrimaryExtras): string {
	return JSON.stringify([mac, addresses]);
}

/**
 * What a back-off is about: a spec on one NIC. One that was unplugged in the middle of a run and is
 * plugged in again has not failed: it is another one, with another index.
 */
export function backOffKey(
	spec: InterfaceSpec,
	{ links }: Pick<Observed, "links">,
): string {
	const { name, mac } = spec;
	const link = links.find((one) => one.name === name && one.mac === mac);
	return `${specKey(spec)} ${link?.ifindex ?? "-"}`;
}

/** The back-off after one more failure of what `key` stands for: 1, 2, 5, then 10 minutes. */
export function backOffAfter(
	key: string,
	last: BackOff | undefined,
	bootId: string,
	nowMs: number,
): BackOff {
	const earlier = last?.spec === key ? last.attempts : 0;
	const delayMs = delaysMs[Math.min(earlier, delaysMs.length - 1)] ?? 0;
	return { spec: key, attempts: earlier + 1, bootId, untilMs: nowMs + delayMs };
}

/** Milliseconds until what `key` stands for may be tried again; 0 where it may be tried now. */
export function backOffLeftMs(
	key: string,
	backOff: BackOff | undefined,
	{ bootId, nowMs }: Pick<Observed, "bootId" | "nowMs">,
): number {
	const isSame = backOff?.spec === key && backOff.bootId === bootId;
	return isSame ? Math.max(backOff.untilMs - nowMs, 0) : 0;
}
