// What esbuild puts into the bundle in place of files as they stand.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { transform } from "esbuild";
import { precompiledModule } from "./precompile.mjs";

/** The plugins for the sources below `root`. */
export function pluginsFor(root) {
	return [
		instead("build-digest", /\/src\/trace\/build\.ts$/, () => {
			return `export const build = "${digestOfSources(root)}";`;
		}),
		instead("templates", /\/src\/precompiled-templates\.ts$/, () =>
			precompiledModule(path.join(root, "templates")),
		),
		// Handlebars' compiler looks for it, and does without where it is not to be had.
		instead("no-source-map", /\/node_modules\/source-map\//, () => ""),
		instead(
			"linux-only",
			/\/node_modules\/systeminformation\/.*\.js$/,
			linuxOnly,
		),
	];
}

/** A plugin that puts something else in place of the files that `filter` matches. */
export function instead(name, filter, contentsOf) {
	const onFile = async ({ path: file }) => ({
		contents: await contentsOf(file),
	});
	return { name, setup: ({ onLoad }) => onLoad({ filter }, onFile) };
}

// An agent goes by what another one has written down only where both were built from the same.
function digestOfSources(root) {
	const hash = createHash("sha256");
	const files = ["src", "templates"].flatMap((folder) =>
		readdirSync(path.join(root, folder), {
			recursive: true,
			withFileTypes: true,
		})
			.filter((one) => one.isFile())
			.map((one) => path.join(one.parentPath ?? one.path, one.name)),
	);
	for (const file of [...files.sort(), path.join(root, "package-lock.json")])
		hash.update(path.relative(root, file)).update(readFileSync(file));
	return hash.digest("hex");
}

// The guests run Linux: what systeminformation would do elsewhere, two thirds of it, is left out.
const others = ["darwin", "windows", "freebsd", "openbsd", "netbsd", "sunos"];
const platforms = new RegExp(
	`^const _(linux|${others.join("|")}) = .*;$`,
	"gm",
);

async function linuxOnly(file) {
	const source = await readFile(file, "utf8");
	const define = Object.fromEntries(
		others.map((name) => [`_${name}`, "false"]),
	);
	const { code } = await transform(source.replace(platforms, ""), {
		minifySyntax: true,
		define: { _linux: "true", ...define },
	});
	return code;
}
