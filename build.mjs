// Builds dist/: a small entry (yargs only) and one chunk for each dynamic import of src, as
// CommonJS for Node 16. dist/ needs nothing beside it and can be copied anywhere.
// `--out DIR` builds there instead; `--inputs FILE` writes down the files that went into it, as JSON:
// the package has to carry the licences of those that came from npm.
import { chmod, cp, mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(option("--out") ?? path.join(root, "dist"));
const inputs = new Set();

function option(name) {
	const at = process.argv.indexOf(name);
	return at < 0 ? undefined : process.argv[at + 1];
}

// esbuild splits ES modules only, so each dynamically imported module of ours becomes an entry of its own.
function chunks(found) {
	return {
		name: "chunks",
		setup({ onResolve }) {
			onResolve(
				{ filter: /^\.\.?\// },
				({ kind, path: request, resolveDir }) => {
					if (kind !== "dynamic-import") return undefined;
					const source = path.resolve(
						resolveDir,
						request.replace(/\.js$/, ".ts"),
					);
					const name = path.basename(source, ".ts");
					found.set(name, source);
					return { path: `./${name}.cjs`, external: true };
				},
			);
		},
	};
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const pending = new Map([["eni-configure", path.join(root, "src/main.ts")]]);
const built = new Set();
while (pending.size > 0) {
	const [name, source] = pending.entries().next().value;
	pending.delete(name);
	if (built.has(name)) continue;
	built.add(name);
	const found = new Map();
	const { metafile } = await build({
		absWorkingDir: root,
		metafile: true,
		entryPoints: { [name]: source },
		outdir: out,
		outExtension: { ".js": ".cjs" },
		bundle: true,
		platform: "node",
		format: "cjs",
		target: "node16",
		// A real import() of a chunk would start the ES module loader for nothing.
		supported: { "dynamic-import": false },
		minifySyntax: true,
		minifyWhitespace: true,
		legalComments: "none",
		banner: name === "eni-configure" ? { js: "#!/usr/bin/env node" } : {},
		// The ES module build of yargs leaves out the word wrap that its help needs.
		alias: { yargs: createRequire(import.meta.url).resolve("yargs") },
		plugins: [chunks(found)],
		logLevel: "warning",
	});
	for (const [chunk, file] of found) pending.set(chunk, file);
	for (const input of Object.keys(metafile.inputs))
		inputs.add(path.resolve(root, input));
}
if (option("--inputs"))
	await writeFile(option("--inputs"), JSON.stringify([...inputs].sort()));
await chmod(path.join(out, "eni-configure.cjs"), 0o755);
await cp(path.join(root, "templates"), path.join(out, "templates"), {
	recursive: true,
});

// `node build.mjs --demo` bundles the demonstration as well.
if (process.argv.includes("--demo")) {
	await build({
		entryPoints: [path.join(root, "test/sandbox/demo.ts")],
		outfile: path.join(root, ".build/demo.cjs"),
		bundle: true,
		platform: "node",
		format: "cjs",
		target: "node16",
		external: ["esbuild"],
		logLevel: "warning",
	});
}
