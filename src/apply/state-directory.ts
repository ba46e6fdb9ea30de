import { AgentError } from "../errors.js";
import { exists } from "../files.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";
import { ensureDirectory, moveFile } from "./atomic.js";

const mode = 0o755;

/**
 * Makes /var/lib/eni-configure where it is missing. One that is no directory, or that somebody else
 * can write to, is refused: root acts on what stands in there. Throws an AgentError that says what
 * to do.
 */
export function openStateDirectory(fs: FileSystem): void {
	ensureDirectory(fs, paths.stateDirectory, mode);
	for (const path of [
		paths.stateDirectory,
		paths.undoDirectory,
		paths.backups,
		paths.parked,
		paths.journal,
		paths.undo,
		paths.state,
		paths.lock,
		paths.daemonLock,
	]) {
		const isDirectory = [
			paths.stateDirectory,
			paths.undoDirectory,
			paths.backups,
			paths.parked,
		].includes(path as typeof paths.backups);
		guardEntry(fs, path, isDirectory);
	}
}

/** Moves a file that cannot be understood out of the way, and says where it is now. */
export function setAside(fs: FileSystem, path: string): string {
	let number = 1;
	while (exists(fs, `${path}.damaged-${number}`)) number += 1;
	const aside = `${path}.damaged-${number}`;
	moveFile(fs, path, aside);
	return aside;
}

function guardEntry(fs: FileSystem, path: string, isDirectory: boolean): void {
	const problem = exists(fs, path)
		? entryProblem(fs, path, isDirectory)
		: undefined;
	if (problem) throw new AgentError("refused", `${path} ${problem}`);
}

function entryProblem(
	fs: FileSystem,
	path: string,
	isDirectory: boolean,
): string | undefined {
	const stat = fs.lstatSync(path);
	if (!stat || !(isDirectory ? stat.isDirectory() : stat.isFile()))
		return `is no ${isDirectory ? "directory" : "regular file"}: move it away`;
	if (stat.uid !== 0)
		return `belongs to uid ${stat.uid}, who could have root do anything: look at what is in it, then chown it to root or move it away`;
	if ((stat.mode & 0o022) !== 0)
		return `can be written by others than root (mode ${(stat.mode & 0o7777).toString(8)}): look at what is in it, then \`chmod go-w\` it or move it away`;
	return undefined;
}
