import { AgentError, isAgentError } from "../errors.js";
import { errorCode, exists, listDirectory } from "../files.js";
import type { FileState, Plan } from "../model.js";
import type { FileSystem } from "../system.js";

const temporaryPrefix = ".eni-configure-";

// O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
const createFlags = 0o1 | 0o100 | 0o200 | 0o400000;

/** Directories whose names a power cut may still take back, each with the file that it is about. */
export type Unsynced = Map<string, string>;

/**
 * Puts content (latin1) at path so that a reader sees the old file or the new one, and so does a
 * machine after a power cut: temporary file in the same directory, fsync, rename, fsync of the
 * directory. The name begins with a dot: initscripts takes `ifcfg-eth1.tmp` for an interface.
 * With `unsynced` the last of it is left to syncNames(): which of several files are the new ones after a
 * power cut is then open until that.
 */
export function writeAtomically(
	fs: FileSystem,
	path: string,
	file: Pick<FileState, "content" | "mode"> & {
		owner?: { uid: number; gid: number } | undefined;
	},
	unsynced?: Unsynced,
): void {
	const { directory, name } = split(path);
	const temporary = `${directory}/${temporaryPrefix}${name}`;
	try {
		refuseOddTarget(fs, path);
		removeIfThere(fs, temporary);
		const fd = fs.openSync(temporary, createFlags, 0o600);
		try {
			const bytes = Buffer.from(file.content, "latin1");
			let written = 0;
			while (written < bytes.length)
				written += fs.writeSync(fd, bytes, written, bytes.length - written);
			if (file.owner) fs.fchownSync(fd, file.owner.uid, file.owner.gid);
			fs.fchmodSync(fd, file.mode);
			fs.fsyncSync(fd);
		} finally {
			fs.closeSync(fd);
		}
		fs.renameSync(temporary, path);
		if (unsynced) unsynced.set(directory, path);
		else syncDirectory(fs, directory);
	} catch (error) {
		try {
			removeIfThere(fs, temporary);
		} catch {
			// The first error is the one that says what is wrong.
		}
		throw asAgentError(error, path, "written");
	}
}

/** Makes the names of files that were written or removed survive a power cut: one fsync a directory. */
export function syncNames(fs: FileSystem, unsynced: Unsynced): void {
	for (const [directory, path] of unsynced) {
		try {
			syncDirectory(fs, directory);
		} catch (error) {
			throw asAgentError(error, path, "written");
		}
		unsynced.delete(directory);
	}
}

/** Removes the file at path for good; none is fine. `unsynced` as for writeAtomically(). */
export function removeFile(
	fs: FileSystem,
	path: string,
	unsynced?: Unsynced,
): void {
	const { directory } = split(path);
	try {
		removeIfThere(fs, path);
		if (unsynced) unsynced.set(directory, path);
		else syncDirectory(fs, directory);
	} catch (error) {
		throw asAgentError(error, path, "removed");
	}
}

/** Moves a file to a directory that is there, replacing what has the name, for good. */
export function moveFile(fs: FileSystem, from: string, to: string): void {
	try {
		refuseOddTarget(fs, to);
		fs.renameSync(from, to);
		// The new name first: between the two a power cut leaves both, never none.
		syncDirectory(fs, split(to).directory);
		syncDirectory(fs, split(from).directory);
	} catch (error) {
		throw asAgentError(error, from, `moved to ${to}`);
	}
}

/** Makes a directory and its parents for good, as far as they are missing. */
export function ensureDirectory(
	fs: FileSystem,
	path: string,
	mode: number,
): void {
	if (exists(fs, path)) return;
	const { directory: parent } = split(path);
	if (parent !== "") ensureDirectory(fs, parent, 0o755);
	try {
		fs.mkdirSync(path, { mode });
		syncDirectory(fs, parent || "/");
	} catch (error) {
		// Another run, which waits for the same lock, may have made it meanwhile.
		if (errorCode(error) === "EEXIST") return;
		throw asAgentError(error, path, "created");
	}
}

/** Removes temporary files that an interrupted run left in a directory; only with the lock held. */
export function sweepTemporaries(fs: FileSystem, directory: string): void {
	const left = listDirectory(fs, directory)
		.filter((name) => name.startsWith(temporaryPrefix))
		.map((name) => `${directory}/${name}`)
		// A directory of that name is none of ours, and in nobody's way but a write's, which will say so.
		.filter((path) => !fs.lstatSync(path)?.isDirectory());
	for (const path of left) removeFile(fs, path);
}

/** Refuses a plan that would write where no regular file can be, before its first step. */
export function guardTargets(fs: FileSystem, plan: Plan): void {
	for (const step of plan.steps) {
		if (step.kind === "write" || step.kind === "remove") {
			refuseOddTarget(fs, step.path);
		}
	}
}

function refuseOddTarget(fs: FileSystem, path: string): void {
	let stat: ReturnType<FileSystem["lstatSync"]>;
	try {
		stat = fs.lstatSync(path);
	} catch {
		return;
	}
	if (stat && !stat.isFile()) {
		const kind = stat.isSymbolicLink()
			? "a symbolic link"
			: stat.isDirectory()
				? "a directory"
				: "no regular file";
		throw new AgentError(
			"refused",
			`${path} is ${kind}: expected a regular file or none; move it away`,
		);
	}
}

function removeIfThere(fs: FileSystem, path: string): void {
	try {
		fs.unlinkSync(path);
	} catch (error) {
		if (errorCode(error) !== "ENOENT") throw error;
	}
}

function syncDirectory(fs: FileSystem, directory: string): void {
	const fd = fs.openSync(directory, 0);
	try {
		fs.fsyncSync(fd);
	} finally {
		fs.closeSync(fd);
	}
}

function split(path: string): { directory: string; name: string } {
	const at = path.lastIndexOf("/");
	return { directory: path.slice(0, at), name: path.slice(at + 1) };
}

const explanations: Record<string, string> = {
	ENOSPC: "no space left on the file system",
	EDQUOT: "the disk quota is used up",
	EROFS: "the file system is read-only",
	EACCES: "permission denied",
	EPERM: "operation not permitted",
	ENOENT: "its directory does not exist",
	EISDIR: "a directory is in the way: move it away",
};

/** Why a file operation failed, in words where there are some. */
export function explain(error: unknown): string {
	const code = errorCode(error) ?? "unknown error";
	return explanations[code] ?? code;
}

function asAgentError(error: unknown, path: string, what: string): AgentError {
	if (isAgentError(error)) return error;
	// What is in the way may be in the temporary file's place.
	const place = (error as { path?: string }).path ?? path;
	const where =
		["EISDIR", "EEXIST"].includes(errorCode(error) ?? "") && place !== path
			? ` (${place})`
			: "";
	return new AgentError(
		"internal",
		`${path} cannot be ${what}: ${explain(error)}${where}`,
		error,
	);
}
