import { join } from "node:path";
import { build } from "esbuild";
import { programsFolder, sandboxFolder } from "./paths";

const programs = ["metadata-server", "udp", "ordinary-user"];
let built: Promise<void> | undefined;

/**
 * Bundles the sandbox's helper programs into .build/sandbox/*.cjs. Call it before the tests, in
 * one process (vitest's globalSetup); a second call does nothing.
 */
export function buildPrograms(): Promise<void> {
	built ??= build({
		entryPoints: programs.map((name) =>
			join(sandboxFolder, `programs/${name}.ts`),
		),
		outdir: programsFolder,
		outExtension: { ".js": ".cjs" },
		bundle: true,
		platform: "node",
		target: "node16",
		format: "cjs",
		logLevel: "error",
	}).then(() => {});
	return built;
}
