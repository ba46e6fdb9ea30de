import type { Execution } from "./apply/execute.js";
import type { Health, Journal } from "./model.js";
import type { Prepared } from "./prepared.js";
import type { System } from "./system.js";

/** A plan on its way: what it started from and what has been done of it. */
export interface Run extends Prepared {
	system: System;
	execution: Execution;
	/** What is on disk of it while it is under way. */
	journal: Journal;
	/**
	 * Links that are only put right, by the daemon: their specs stand on record. What somebody undoes
	 * again at once is no reason to restart them, nor to go back to what had drifted.
	 */
	steady: string[];
	/** What worked on the primary before; undefined where it is not looked at. */
	health: Health | undefined;
}
