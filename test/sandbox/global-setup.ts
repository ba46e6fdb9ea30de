import { execFileSync } from "node:child_process";
import { buildPrograms } from "./build-programs";
import { root } from "./paths";

/** Builds the agent and the sandbox's programs once for all test files. */
export default async function setup(): Promise<void> {
	execFileSync(process.execPath, ["build.mjs"], {
		cwd: root,
		stdio: "inherit",
	});
	await buildPrograms();
}
