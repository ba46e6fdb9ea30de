import { digest } from "../marker.js";
import type { Step } from "../model.js";

/**
 * What a step brings about, as text: the same for two steps that put the same thing right in the same
 * way. Taking an address away is another thing than adding it, and so is another value or content.
 */
export function stepKey(step: Step): string {
	const link = step.link ?? "-";
	switch (step.kind) {
		case "write":
			return `write ${step.path} ${digest(step.content)}`;
		case "remove":
			return `remove ${step.path}`;
		case "sysctl":
			return `sysctl ${step.key} ${step.value}`;
		case "run":
			return `run ${step.argv.join(" ")}`;
		case "link":
			return `link ${link} ${step.op}`;
		case "addr":
			return `addr ${step.op} ${link} ${step.words[0]}`;
		default:
			return `${step.kind} ${step.op === "del" ? "del" : "add"} ${link} ${step.words.join(" ")}`;
	}
}
