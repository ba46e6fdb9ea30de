import type { RunStep, Step } from "../model.js";

/**
 * The command that gives rewritten files their SELinux label: a file that took another one's place
 * has the label of its directory. No step where SELinux is off, or no file was written.
 */
export function labelSteps(isSelinux: boolean, steps: Step[]): RunStep[] {
	const written = steps.flatMap((step) =>
		step.kind === "write" ? [step.path] : [],
	);
	if (!isSelinux || written.length === 0) return [];
	return [
		{
			kind: "run",
			link: undefined,
			argv: ["restorecon", ...new Set(written)],
			timeoutMs: 10_000,
			touches: [],
		},
	];
}
