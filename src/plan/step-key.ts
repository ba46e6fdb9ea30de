import type { Step } from "../model.js";

/** What a step is about, as text: the same for two steps that put the same thing right. */
export function stepKey(step: Step): string {
	const link = step.link ?? "-";
	switch (step.kind) {
		case "write":
		case "remove":
			return `file ${step.path}`;
		case "sysctl":
			return `sysctl ${step.key}`;
		case "run":
			return `run ${step.argv.join(" ")}`;
		case "link":
			return `link ${link}`;
		case "addr":
			return `addr ${link} ${step.words[0]}`;
		default:
			return `${step.kind} ${link} ${step.words.join(" ")}`;
	}
}
