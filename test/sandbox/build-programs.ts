import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { programsFolder, sandboxFolder } from "./paths";

const programs = ["metadata-server", "udp", "ordinary-user"];
let built: Promise<void> | undefined;

/**
 * Bundles the sandbox's helper programs into .build/sandbox/*.cjs. Call it before the tests
 * (vitest's globalSetup); a second call does nothing. What is there already is replaced only when
 * it differs, and in one step: another run may be using it.
 */
export function buildPrograms(): Promise<void> {
	built ??= bundle();
	return built;
}

async function bundle(): Promise<void> {
	const { outputFiles } = await build({
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
		write: false,
	});
	await mkdir(programsFolder, { recursive: true });
	for (const { path, text } of outputFiles) {
		const present = await readFile(path, "utf8").catch(() => undefined);
		if (present === text) continue;
		await writeFile(`${path}.${process.pid}`, text);
		await rename(`${path}.${process.pid}`, path);
	}
}
