import type { Stats } from "node:fs";
import { AgentError, isAgentError } from "./errors.js";
import type { FileState } from "./model.js";
import { paths } from "./paths.js";
import type { FileSystem } from "./system.js";

/** O_RDONLY | O_NONBLOCK: a FIFO somebody put in the way must not hang the agent. */
export const readFlags = 0o4000;

/** The `code` of a file-system error, such as ENOENT. */
export function errorCode(error: unknown): string | undefined {
	return (error as { code?: string } | undefined)?.code;
}

/**
 * Reads at most `limit` bytes as latin1, so that every byte survives a round trip.
 * Undefined when there is no such file; throws an AgentError when it is larger or no regular file.
 */
export function readFile(
	fs: FileSystem,
	path: string,
	limit?: number,
): FileState | undefined {
	return readWith(fs, path, limit, (bytes, { mode, uid, gid }) => ({
		content: bytes.toString("latin1"),
		...{ mode: mode & 0o7777, uid, gid },
	}));
}

/** The same as bytes, without the attributes. */
export function readBytes(
	fs: FileSystem,
	path: string,
	limit?: number,
): Buffer | undefined {
	return readWith(fs, path, limit, (bytes) =>
		bytes.buffer === usual.buffer ? Buffer.from(bytes) : bytes,
	);
}

// Most files are small, and dozens of them are read one after the other.
const usual = Buffer.allocUnsafe(32 * 1024);

function readWith<T>(
	fs: FileSystem,
	path: string,
	limit = 1024 * 1024,
	use: (bytes: Buffer, stat: Stats) => T,
): T | undefined {
	let fd: number;
	try {
		fd = fs.openSync(path, readFlags);
	} catch (error) {
		if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR")
			return undefined;
		const code = errorCode(error) ?? "unknown error";
		throw new AgentError(
			"refused",
			`${path} cannot be read: ${explanations[code] ?? code}`,
			error,
		);
	}
	try {
		const stat = fs.fstatSync(fd);
		if (!stat.isFile())
			throw new AgentError(
				"refused",
				`${path} is not a regular file: expected one, move it away`,
			);
		// Files in /proc say they are empty, so the size is no guide but for the first buffer.
		let buffer =
			stat.size < usual.length
				? usual
				: Buffer.allocUnsafe(Math.min(stat.size, limit) + 1);
		let size = 0;
		for (;;) {
			const count = fs.readSync(fd, buffer, size, buffer.length - size, null);
			if (count === 0) break;
			size += count;
			if (size > limit)
				throw new AgentError(
					"refused",
					`${path} is larger than the ${limit} bytes such a file may have`,
				);
			if (size === buffer.length)
				buffer = Buffer.concat([
					buffer,
					Buffer.alloc(Math.min(buffer.length, limit + 1 - size)),
				]);
		}
		return use(buffer.subarray(0, size), stat);
	} finally {
		fs.closeSync(fd);
	}
}

const explanations: Record<string, string> = {
	ELOOP: "its symbolic links lead in a circle",
	EACCES: "permission denied",
	ENXIO: "it is no regular file",
};

/** A file that people write for the agent: what is wrong with it is of kind `usage`, and so is a link that leads nowhere. */
export function readUserFile(
	fs: FileSystem,
	path: string,
	limit: number,
): FileState | undefined {
	try {
		const file = readFile(fs, path, limit);
		if (file || !exists(fs, path)) return file;
	} catch (error) {
		if (isAgentError(error))
			throw new AgentError("usage", error.message, error);
		throw error;
	}
	throw new AgentError(
		"usage",
		`${path} is a symbolic link to nothing: expected a regular file`,
	);
}

// Hundreds of them are read one after the other.
const values = Buffer.allocUnsafe(4096);
const newline = 10;

/** A small kernel file (/sys, /proc) without its final newline; undefined when it cannot be read. */
export function readValue(fs: FileSystem, path: string): string | undefined {
	let fd: number | undefined;
	try {
		fd = fs.openSync(path, readFlags);
		const count = fs.readSync(fd, values, 0, values.length, null);
		const isEnded = count > 0 && values[count - 1] === newline;
		return values.toString("latin1", 0, isEnded ? count - 1 : count);
	} catch {
		return undefined;
	} finally {
		if (fd !== undefined) fs.closeSync(fd);
	}
}

/** The code of the error that keeps a small kernel file from being read, such as EINVAL; undefined when it can be read. */
export function readValueError(
	fs: FileSystem,
	path: string,
): string | undefined {
	let fd: number | undefined;
	try {
		fd = fs.openSync(path, readFlags);
		fs.readSync(fd, Buffer.alloc(1), 0, 1, null);
		return undefined;
	} catch (error) {
		return errorCode(error) ?? "unknown error";
	} finally {
		if (fd !== undefined) fs.closeSync(fd);
	}
}

/** Names in a directory, sorted; empty when there is no such directory. */
export function listDirectory(fs: FileSystem, path: string): string[] {
	try {
		return (fs.readdirSync(path) as string[]).sort();
	} catch {
		return [];
	}
}

/** Whether something exists at path. */
export function exists(fs: FileSystem, path: string): boolean {
	try {
		// An error takes longer to make than a look that finds nothing.
		return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
	} catch {
		return false;
	}
}

/** The kernel's random id of this boot; empty where it does not say. */
export function readBootId(fs: FileSystem): string {
	return readValue(fs, paths.bootId) ?? "";
}
