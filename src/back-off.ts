import type {
	BackOff,
	InterfaceSpec,
	Managed,
	Observed,
	StateEntry,
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

/** The back-off after one more failure of a spec: 1, 2, 5, then 10 minutes. */
export function nextBackOff(
	spec: InterfaceSpec,
	entry: StateEntry | undefined,
	bootId: string,
	nowMs: number,
): BackOff {
	const key = specKey(spec);
	const earlier = entry?.backOff?.spec === key ? entry.backOff.attempts : 0;
	const delayMs = delaysMs[Math.min(earlier, delaysMs.length - 1)] ?? 0;
	return { spec: key, attempts: earlier + 1, bootId, untilMs: nowMs + delayMs };
}

/** Milliseconds until a spec may be tried again; 0 where it may be tried now. */
export function backOffLeftMs(
	spec: InterfaceSpec,
	entry: StateEntry | undefined,
	{ bootId, nowMs }: Pick<Observed, "bootId" | "nowMs">,
): number {
	const backOff = entry?.backOff;
	const isSame = backOff?.spec === specKey(spec) && backOff.bootId === bootId;
	return isSame ? Math.max(backOff.untilMs - nowMs, 0) : 0;
}
