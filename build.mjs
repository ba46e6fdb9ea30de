// Builds dist/: a small entry, what it starts, one chunk for each dynamic import of src and one for what several of them
// share, as CommonJS for Node 16. dist/ needs nothing beside it and can be copied anywhere.
// `--out DIR` builds there instead; `--readable` leaves names and lines as they are, for looking at a stack;
// `--inputs FILE` writes down the files that went into it, as JSON: the package has to carry the licences of those that
// came from npm.
import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { instead, pluginsFor } from "./packaging/plugins.mjs";

const root = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(option("--out") ?? path.join(root, "dist"));
const inputs = new Set();

function option(name) {
	const at = process.argv.indexOf(name);
	return at < 0 ? undefined : process.argv[at + 1];
}

const require = createRequire(import.meta.url);
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const common = {
	minify: !process.argv.includes("--readable"),
	platform: "node",
	target: "node16",
	legalComments: "none",
};

/** Bundles entry points by name in memory; their files are named after what is in them, but for `eni-configure`. */
async function bundle(entryPoints, options) {
	const { metafile, outputFiles } = await build({
		...common,
		absWorkingDir: root,
		metafile: true,
		write: false,
		bundle: true,
		entryPoints,
		outdir: out,
		outExtension: { ".js": ".cjs" },
		entryNames: "[name]-[hash]",
		chunkNames: "[name]-[hash]",
		logLevel: "warning",
		...options,
		plugins: [...(options.plugins ?? []), ...pluginsFor(root)],
	});
	for (const input of Object.keys(metafile.inputs))
		inputs.add(path.resolve(root, input));
	const nameOf = (entry) => {
		const source = path.relative(root, entryPoints[entry]);
		const [name] = Object.entries(metafile.outputs).find(
			([, one]) => one.entryPoint === source,
		);
		return `./${path.basename(name)}`;
	};
	return { files: outputFiles, nameOf };
}

// esbuild splits ES modules only: so first these, what several need in a chunk of its own, and then each of them as
// CommonJS.
const rest = await bundle(
	{
		run: path.join(root, "src/commands/run.ts"),
		"command-line": path.join(root, "src/command-line.ts"),
	},
	{
		format: "esm",
		splitting: true,
		alias: {
			// The ES module build of yargs leaves out the word wrap that its help needs.
			yargs: require.resolve("yargs"),
			// The build of it that is ES modules: half of it is not needed.
			yaml: path.join(root, "node_modules/yaml/browser/dist/index.js"),
			// Without what prints syntax trees, and what loads .hbs files as modules.
			"handlebars/runtime": require.resolve("handlebars/runtime"),
			handlebars: require.resolve("handlebars/dist/cjs/handlebars.js"),
		},
	},
);
const built = {
	"./commands/run.js": rest.nameOf("run"),
	"./command-line.js": rest.nameOf("command-line"),
};
const isBuilt = {
	name: "built",
	setup({ onResolve }) {
		onResolve({ filter: /^\./ }, ({ path: file, kind }) =>
			kind === "dynamic-import" && built[file]
				? { path: built[file], external: true }
				: undefined,
		);
	},
};
// What a run takes that has nothing to do is in one file: to find one more takes longer than to compile it all.
const main = await bundle(
	{ main: path.join(root, "src/main.ts") },
	{
		format: "cjs",
		supported: { "dynamic-import": false },
		plugins: [isBuilt],
	},
);
const mainName = path.basename(main.nameOf("main"));
// What is started, and what compiles for it where it is installed.
const starters = await bundle(
	{
		"eni-configure": path.join(root, "src/entry.ts"),
		compile: path.join(root, "src/compile.ts"),
	},
	{
		format: "cjs",
		entryNames: "[name]",
		plugins: [
			instead("main-name", /\/src\/main-name\.ts$/, () => {
				return `export const mainName = "${mainName}";`;
			}),
		],
	},
);
for (const { path: file, contents } of [...main.files, ...starters.files])
	await writeFile(file, contents);
for (const { path: file, text } of rest.files) {
	const { code } = await transform(text, {
		...common,
		format: "cjs",
		// A real import() of a chunk would start the ES module loader for nothing.
		supported: { "dynamic-import": false },
	});
	await writeFile(file, code);
}
if (option("--inputs"))
	await writeFile(option("--inputs"), JSON.stringify([...inputs].sort()));
await chmod(path.join(out, "eni-configure.cjs"), 0o755);
await cp(path.join(root, "templates"), path.join(out, "templates"), {
	recursive: true,
});

// What yargs says to --help is always the same, and takes it as long as all the rest: see src/main.ts.
const help = execFileSync(
	process.execPath,
	[path.join(out, "eni-configure.cjs"), "--help"],
	{ encoding: "utf8" },
);
await writeFile(path.join(out, "help.txt"), help);

// `node build.mjs --demo` bundles the demonstration as well, `--bench` the benchmark.
const programs = { demo: "test/sandbox/demo.ts", bench: "bench/main.ts" };
for (const [name, source] of Object.entries(programs)) {
	if (!process.argv.includes(`--${name}`)) continue;
	await build({
		entryPoints: [path.join(root, source)],
		outfile: path.join(root, `.build/${name}.cjs`),
		bundle: true,
		platform: "node",
		format: "cjs",
		target: "node16",
		external: ["esbuild"],
		logLevel: "warning",
	});
}
