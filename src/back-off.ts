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
	observed: Pick<Observed, "bootId" | "links">,
	nowMs: number,
): BackOff {
	const { backOff } = entry ?? {};
	const earlier = isAbout(backOff, spec, observed) ? backOff.attempts : 0;
	const delayMs = delaysMs[Math.min(earlier, delaysMs.length - 1)] ?? 0;
	return {
		spec: specKey(spec),
		ifindex: ifindexOf(spec, observed),
		attempts: earlier + 1,
		bootId: observed.bootId,
		untilMs: nowMs + delayMs,
	};
}

/** Milliseconds until a spec may be tried again; 0 where it may be tried now. */
export function backOffLeftMs(
	spec: InterfaceSpec,
	entry: StateEntry | undefined,
	observed: Pick<Observed, "bootId" | "links" | "nowMs">,
): number {
	const { backOff } = entry ?? {};
	return isAbout(backOff, spec, observed)
		? Math.max(backOff.untilMs - observed.nowMs, 0)
		: 0;
}

// A NIC that was unplugged in the middle of a run, and is plugged in again, has not failed: it is another one.
function isAbout(
	backOff: BackOff | undefined,
	spec: InterfaceSpec,
	observed: Pick<Observed, "bootId" | "links">,
): backOff is BackOff {
	return (
		backOff?.spec === specKey(spec) &&
		backOff.bootId === observed.bootId &&
		backOff.ifindex === ifindexOf(spec, observed)
	);
}

function ifindexOf(
	{ name, mac }: InterfaceSpec,
	{ links }: Pick<Observed, "links">,
): number | undefined {
	return links.find((link) => link.name === name && link.mac === mac)?.ifindex;
}
