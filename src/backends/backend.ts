import type { InterfaceSpec, RunStep } from "../model.js";
import type { Renderer } from "../render.js";

/** How one network stack is told about an ENI: a record of pure functions. */
export interface Backend {
	name: "initscripts";
	/** The files of a spec in the order they are written. */
	files(
		spec: InterfaceSpec,
		renderer: Renderer,
	): { path: string; body: string }[];
	/** Commands that make written files take effect. */
	activate(spec: Pick<InterfaceSpec, "name" | "nmControlled">): RunStep[];
	/** Commands that take a link down by the files that are still there. */
	deactivate(name: string): RunStep[];
	/** The guide's literal Step 7. */
	restartService(): RunStep[];
}
