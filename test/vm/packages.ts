import { execFile as execFileCallback, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	accessSync,
	constants,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const execFile = promisify(execFileCallback);

export const root = join(__dirname, "../..");

/** A Linux that there is a package for: CentOS 7 or 8. */
export type Target = "el7" | "el8";

// What goes into no package: a change there is no reason to build anew.
const elsewhere = /^(test|fixtures|bench|\.ci)\//;

/**
 * The path of an RPM of the work tree as it is, dirty or not; a higher release is an upgrade of a lower one.
 * What has been built of the same files is not built again, by whichever test file. Takes about 10 s, and
 * the first time as long as it takes to download a Node.
 */
export async function buildPackages({
	target,
	release = 1,
}: {
	target: Target;
	release?: number;
}): Promise<string> {
	requirePrograms({ rpmbuild: "rpm", flock: "util-linux", git: "git" });
	const key = digestOf(target, release);
	const place = join(root, ".build/test-packages", key);
	mkdirSync(join(root, ".build/test-packages"), { recursive: true });
	// Test files run side by side: the second one waits, and finds what the first has built.
	const build = `[ -d "$0" ] || { rm -rf "$0.part" && "$@" --out "$0.part" && mv "$0.part" "$0"; }`;
	await execFile(
		"flock",
		[
			...[`${place}.lock`, "sh", "-c", build, place],
			...[process.execPath, join(root, "packaging/build.mjs")],
			...["--target", target, "--release", String(release)],
		],
		{ cwd: root },
	);
	const [name = ""] = readdirSync(place);
	return join(place, name);
}

/** Throws an error that says what to install where a program is missing: a test that cannot run has not passed. */
export function requirePrograms(packages: Record<string, string>): void {
	const folders = `${process.env.PATH}:/usr/sbin:/sbin`.split(":");
	const missing = Object.keys(packages).filter(
		(name) => !folders.some((folder) => isExecutable(join(folder, name))),
	);
	if (missing.length > 0)
		throw new Error(
			`${missing.join(", ")} not found. On Debian: apt-get install ${[...new Set(missing.map((name) => packages[name]))].join(" ")}`,
		);
}

/** The files of the work tree that git knows or would take, relative to the root. */
export function sourceFiles(): string[] {
	const listed = execFileSync(
		"git",
		["-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
		{ encoding: "utf8", maxBuffer: 16 * 1024 * 1024 },
	);
	return [...new Set(listed.split("\0"))]
		.filter((file) => file !== "" && isThere(join(root, file)))
		.sort();
}

function digestOf(target: Target, release: number): string {
	const hash = createHash("sha256");
	const commit = execFileSync(
		"git",
		["-C", root, "log", "-1", "--format=%ct"],
		{
			encoding: "utf8",
		},
	);
	hash.update(JSON.stringify([commit, process.env.SOURCE_DATE_EPOCH ?? ""]));
	for (const file of sourceFiles().filter((one) => !elsewhere.test(one))) {
		const content = readFileSync(join(root, file));
		hash.update(`${file}\0${content.length}\0`).update(content);
	}
	return `${target}-${release}-${hash.digest("hex").slice(0, 16)}`;
}

function isThere(file: string): boolean {
	return lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
}

function isExecutable(file: string): boolean {
	try {
		accessSync(file, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}
