import type { LogLevel, System } from "../system.js";

/** Something that lasts: said when it begins, and again when it has ended and begins anew. */
export interface Condition {
	/** What makes it the same as before, whatever its text says of the seconds left. */
	key: string;
	level: LogLevel;
	text: string;
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
