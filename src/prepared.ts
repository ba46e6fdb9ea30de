import type { Desired, Finding, Observed, Plan } from "./model.js";
import type { Means } from "./plan.js";

/** A reconcile as far as it has got before anything is changed. */
export interface Prepared {
	observed: Observed;
	desired: Desired;
	plan: Plan;
	means: Means;
}

/** How a run of steps ended. */
export interface Transaction {
	/** Names of links that were rolled back. */
	rolledBack: string[];
	/** The primary's further private IPs are as they were before. */
	isExtrasBack: boolean;
	isRollbackFailed: boolean;
	findings: Finding[];
	/** Why everything was given up, when it was an error and not a finding. */
	error: string | undefined;
}

/** Names of the links a run is about. */
export function linksOf({ desired }: Pick<Prepared, "desired">): string[] {
	return [
		...new Set([...desired.interfaces, ...desired.gone].map((one) => one.name)),
	];
}
