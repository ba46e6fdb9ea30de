import type { Step } from "../model.js";

/** Steps that one `ip -batch` can do together. */
export type BatchStep = Extract<
	Step,
	{ kind: "link" | "addr" | "rule" | "route" }
>;

/** The `ip` batch line of a kernel step. */
export function batchLine(step: BatchStep): string {
	switch (step.kind) {
		case "link":
			return `link set dev ${step.link} ${step.op}`;
		case "addr":
			return `addr ${step.op} ${step.words.join(" ")} dev ${step.link}`;
		case "rule":
			return `rule ${step.op} ${step.words.join(" ")}`;
		case "route":
			return `route ${step.op} ${step.words.join(" ")}`;
	}
}

// What `ip -batch` would not take as it stands: # begins a comment, \ joins lines, quotes and blanks divide words.
const plainWord = /^[A-Za-z0-9_.:,+@%/=~-]+$/;

/** A word of the step that may not stand in a batch; undefined for a step that can be done. */
export function unfitWord(step: BatchStep): string | undefined {
	const words = step.kind === "link" ? [] : step.words;
	const all = step.link === undefined ? words : [...words, step.link];
	return all.find((word) => !plainWord.test(word));
}
