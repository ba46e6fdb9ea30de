import type { LogLevel, System } from "../system.js";

/** Something that lasts: said when it begins, and again when it has ended and begins anew. */
export interface Condition {
	/** What makes it the same as before, whatever its text says of the seconds left. */
	key: string;
	level: LogLevel;
	text: string;
}

/**
 * The log of pass after pass: a warning or an error that the pass before has given as well is debug.
 * A full disk, say, fails every pass in the same words.
 */
export function createEcho(log: System["log"]): {
	log: System["log"];
	/** Another pass begins. */
	next(): void;
} {
	let before = new Set<string>();
	let now = new Set<string>();
	return {
		log: (level, text) => {
			const isGrave = level === "warning" || level === "error";
			if (isGrave) now.add(text);
			log(isGrave && before.has(text) ? "debug" : level, text);
		},
		next: () => {
			[before, now] = [now, new Set()];
		},
	};
}

/** Says each condition once for as long as it lasts; the rest is debug. */
export function createVoice(
	log: System["log"],
): (conditions: Condition[]) => void {
	let lasting: string[] = [];
	return (conditions) => {
		for (const { key, level, text } of conditions)
			log(lasting.includes(key) ? "debug" : level, text);
		lasting = conditions.map(({ key }) => key);
	};
}
