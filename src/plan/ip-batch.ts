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
