import type { FileSystem } from "../../src/system";
import type { Disk } from "./disk";
import type { FaultCode, OperationKind, Operations } from "./operations";

const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const procSys = "/proc/sys/net/ipv4/";

/** What the file system has to know of the machine around it. */
export interface Surroundings {
	disk: Disk;
	operations: Operations;
	/** Brings /proc and /sys in step with the kernel; called before they are looked at. */
	refresh(): void;
	/** A write below /proc/sys/net/ipv4; false when there is no such key. */
	setSysctl(key: string, value: string): boolean;
	/** Paths by open descriptor. */
	open: Map<number, string>;
	/** A descriptor was closed. */
	closed(fd: number): void;
}

/** The agent's view of the disk: every call that changes something is an operation that may fail. */
export function createGuestFs({
	disk,
	operations,
	refresh,
	setSysctl,
	closed,
	open,
}: Surroundings): FileSystem {
	const memory = disk.fs;
	// Opened by this process, and not closed since by or for it.
	const own = new Set<number>();

	function change(kind: OperationKind, path: string, tear?: () => void): void {
		const code = operations.begin(kind, path, tear);
		if (code) throw systemError(code, kind, path);
	}
	function look(path: unknown): string {
		operations.assertAlive();
		if (/^\/(proc|sys)(\/|$)/.test(String(path))) refresh();
		return String(path);
	}
	const pathOf = (fd: number) => open.get(fd) ?? `descriptor ${fd}`;
	function withOwner<S extends { mode: unknown }>(
		stat: S,
		path: string,
		isLink: boolean,
	): S {
		if (isLink || path.startsWith("/proc/") || !memory.existsSync(path))
			return stat;
		const { mode, uid, gid } = disk.attributesOf(path);
		return Object.assign(Object.create(Object.getPrototypeOf(stat)), stat, {
			mode: (Number(stat.mode) & ~0o7777) | mode,
			uid,
			gid,
		});
	}

	const fs = {
		openSync: (given: unknown, flags: number, mode = 0o666) => {
			const path = look(given);
			const isNew = (flags & O_CREAT) !== 0 && !memory.existsSync(path);
			const empties = (flags & O_TRUNC) !== 0 && memory.existsSync(path);
			if (isNew || empties) change("open", path);
			const fd = memory.openSync(path, flags, 0o666);
			if (isNew) disk.created(path, mode);
			open.set(fd, path);
			own.add(fd);
			return fd;
		},
		readSync: (fd: number, ...rest: never[]) => {
			operations.assertAlive();
			return (memory.readSync as (...all: unknown[]) => number)(fd, ...rest);
		},
		writeSync: (
			fd: number,
			data: Uint8Array,
			offset = 0,
			length = data.length - offset,
		) => {
			const path = pathOf(fd);
			if (!path.startsWith(procSys)) {
				const half = Math.floor(length / 2);
				change("write", path, () => {
					memory.writeSync(fd, data, offset, half);
				});
				return memory.writeSync(fd, data, offset, length);
			}
			const value = Buffer.from(data)
				.toString("latin1", offset, offset + length)
				.trim();
			change("sysctl", `${path} = ${value}`);
			if (!setSysctl(path.slice(procSys.length), value))
				throw systemError("EINVAL", "write", path);
			return length;
		},
		fsyncSync: (fd: number) => {
			change("fsync", pathOf(fd));
			memory.fsyncSync(fd);
			disk.synced(pathOf(fd));
		},
		fchmodSync: (fd: number, mode: number) => {
			change("fchmod", pathOf(fd));
			disk.setAttributes(pathOf(fd), { mode });
		},
		fchownSync: (fd: number, uid: number, gid: number) => {
			change("fchown", pathOf(fd));
			disk.setAttributes(pathOf(fd), { uid, gid });
		},
		closeSync: (fd: number) => {
			// A dead process's descriptors are closed for it: a number of them may be somebody else's by now.
			if (!open.has(fd) || !own.has(fd)) return;
			memory.closeSync(fd);
			open.delete(fd);
			own.delete(fd);
			closed(fd);
		},
		renameSync: (from: unknown, to: unknown) => {
			look(from);
			if (memory.existsSync(String(from))) change("rename", `${from} -> ${to}`);
			memory.renameSync(String(from), String(to));
		},
		unlinkSync: (given: unknown) => {
			const path = look(given);
			if (memory.existsSync(path)) change("unlink", path);
			memory.unlinkSync(path);
		},
		mkdirSync: (given: unknown, { mode = 0o777 }: { mode?: number } = {}) => {
			const path = look(given);
			if (!memory.existsSync(path)) change("mkdir", path);
			memory.mkdirSync(path);
			disk.created(path, mode);
		},
		readdirSync: (path: unknown) => memory.readdirSync(look(path)),
		lstatSync: (given: unknown, options?: { throwIfNoEntry?: boolean }) => {
			const path = look(given);
			const stat = memory.lstatSync(path, options as object);
			if (!stat) return undefined;
			return withOwner(stat, path, stat.isSymbolicLink());
		},
		fstatSync: (fd: number) => {
			operations.assertAlive();
			return withOwner(memory.fstatSync(fd), pathOf(fd), false);
		},
		readlinkSync: (path: unknown) => memory.readlinkSync(look(path)),
	};
	return fs as unknown as FileSystem;
}

function systemError(
	code: FaultCode | "EINVAL",
	call: string,
	path: string,
): Error {
	return Object.assign(new Error(`${code}: ${call} '${path}'`), {
		code,
		syscall: call,
		path,
	});
}
