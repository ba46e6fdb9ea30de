import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * The top of the repository. Looked for upwards, because this module runs from two places: as it
 * stands under vitest, and inside a bundle in .build.
 */
export const root = findRoot(__dirname);
export const sandboxFolder = join(root, "test/sandbox");
export const programsFolder = join(root, ".build/sandbox");
export const agentBundle = join(root, "dist/eni-configure.cjs");

/** The name of what the entry of a bundle starts, in the bundle's folder. */
export function mainOf(folder: string): string {
	const [name, ...more] = readdirSync(folder).filter((one) =>
		/^main-\w+\.cjs$/.test(one),
	);
	if (name === undefined || more.length > 0)
		throw new Error(`expected one main-*.cjs in ${folder}`);
	return name;
}

function findRoot(from: string): string {
	if (existsSync(join(from, "test/sandbox/holder.sh"))) return from;
	const parent = dirname(from);
	if (parent === from) {
		throw new Error(`no test/sandbox/holder.sh above ${__dirname}`);
	}
	return findRoot(parent);
}
