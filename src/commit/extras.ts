import { backOffAfter, extrasKey } from "../back-off.js";
import type { Desired, Observed, StateExtras } from "../model.js";
import { claimedExtras } from "../plan/extras.js";

/** How a run ended for the primary's further private IPs. */
export type ExtrasEnd =
	/** They are as desired. */
	| "kept"
	/** They are as before, for now. */
	| "rolled-back"
	/** They should be as before, and are not. */
	| "rollback-failed"
	/** The run did not get to them. */
	| "untouched";

/** The record of the primary's further private IPs after a run. */
export function extrasAfter(
	{ state, bootId }: Observed,
	{ extras }: Desired,
	end: ExtrasEnd,
	nowMs: number,
): StateExtras | undefined {
	const { extras: old } = state;
	if (!extras || end === "untouched") return old;
	const { mac, addresses } = extras;
	if (end === "kept") {
		return addresses.length > 0 ? { mac, addresses, bootId } : undefined;
	}
	const last = old?.mac === mac ? old : { mac, addresses: [], bootId };
	const backOff = backOffAfter(extrasKey(extras), last.backOff, bootId, nowMs);
	return end === "rolled-back"
		? { ...last, backOff }
		: { ...last, addresses: claimedExtras(extras), bootId, backOff };
}
