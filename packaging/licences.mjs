// The licence texts that go with what was bundled: found from the files that went into the bundle, so that
// no list has to be kept.
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

const isLicence = /^(licen[cs]e|copying|notice)([.-]|$)/i;

/**
 * The npm packages that the given files belong to, sorted by name and version: { name, version, licence,
 * texts }, where texts are paths of files. Throws where a package has no licence text.
 */
export function licencesOf(files) {
	const folders = new Set(files.map(packageFolder).filter(Boolean));
	return [...folders]
		.map((folder) => {
			const { name, version, license } = JSON.parse(
				readFileSync(path.join(folder, "package.json"), "utf8"),
			);
			const texts = readdirSync(folder)
				.filter((file) => isLicence.test(file))
				.sort()
				.map((file) => path.join(folder, file))
				.filter((file) => statSync(file).isFile() && statSync(file).size > 0);
			if (texts.length === 0)
				throw new Error(
					`${folder}: ${name} ${version} is bundled and has no licence text: expected LICENSE, COPYING or NOTICE in it`,
				);
			if (typeof license !== "string")
				throw new Error(
					`${folder}/package.json: ${name} ${version} is bundled and does not name its licence`,
				);
			return { name, version, licence: license, texts };
		})
		.sort((one, other) => (label(one) < label(other) ? -1 : 1));
}

/** How a package is called in a file name. */
export function label({ name, version }) {
	return `${name.replace("/", "-")}-${version}`;
}

// The innermost node_modules counts: a package may bring its own copy of another.
function packageFolder(file) {
	return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0];
}
