import type { StatSyncOptions, Stats } from "node:fs";
import { paths } from "../paths.js";
import type { FileSystem, LogLevel, System } from "../system.js";
import {
	answerText,
	commandAt,
	errorText,
	type Look,
	listText,
	lookAt,
	nothing,
	outputOf,
	placeOfRun,
	type Seen,
	statText,
	valueBytes,
} from "./look.js";

/** What a run looked at and what it said, if it did nothing else. */
export interface Recorded {
	seen: Seen[];
	log: [LogLevel, string][];
}

// O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND
const writing = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000;
const running: Look = { kind: "running", place: "NetworkManager" };

/**
 * A System that writes down what is looked at through it. A run is a function of that, so that one that
 * finds it all the same would come to the same end. recorded() is undefined for a run that changed
 * something, waited, or could not see something.
 */
export function recordSystem(base: System): {
	system: System;
	recorded(): Recorded | undefined;
} {
	const seen = new Map<string, Seen>();
	const log: [LogLevel, string][] = [];
	let isSpoilt = false;
	const runningBefore = lookAt(base, running);

	function note(
		{ kind, place }: Look,
		text: string | undefined,
		content?: Buffer,
	): void {
		const key = `${kind} ${place}`;
		const before = seen.get(key);
		const isOther =
			before && (before[2] !== text || !isEqual(before[3], content));
		// It changed while the run was at it.
		if (text === undefined || isOther) isSpoilt = true;
		else if (!before)
			seen.set(key, [kind, place, text, ...(content ? [content] : [])] as Seen);
	}

	const system: System = {
		...base,
		fs: recordFiles(base.fs, note, () => {
			isSpoilt = true;
		}),
		run: async (argv, options) => {
			// The lock is taken in any case.
			if (argv[0] === "flock") return base.run(argv, options);
			const place = placeOfRun(argv, options?.input);
			if (options?.inherit || !isShowing(place)) isSpoilt = true;
			const result = await base.run(argv, options);
			note({ kind: "run", place }, String(result.exitCode), outputOf(result));
			return result;
		},
		http: async (url, limits) => {
			const result = await base.http(url, limits);
			note({ kind: "http", place: url }, answerText(result));
			return result;
		},
		nudge: (...args) => {
			isSpoilt = true;
			return base.nudge(...args);
		},
		clock: {
			...base.clock,
			sleep: (...args) => {
				isSpoilt = true;
				return base.clock.sleep(...args);
			},
		},
		log: (level, message) => {
			log.push([level, message]);
			base.log(level, message);
		},
	};

	function recorded(): Recorded | undefined {
		note(running, runningBefore);
		if (lookAt(base, running) !== runningBefore) isSpoilt = true;
		return isSpoilt ? undefined : { seen: fewest([...seen.values()]), log };
	}
	return { system, recorded };
}

// One look does where two would see the same: a file that lstat has shown to be one, and nothing where nothing is.
function fewest(seen: Seen[]): Seen[] {
	const stats = new Map(
		seen.flatMap(([kind, place, text]) =>
			kind === "stat" ? [[place, text]] : [],
		),
	);
	const isOwn = ([kind, place, text, content]: Seen) =>
		kind === "file" && content !== undefined && stats.get(place) === text;
	const own = new Set(seen.filter(isOwn).map(([, place]) => place));
	return seen.flatMap((one): Seen[] => {
		const [kind, place, text, content] = one;
		if (kind === "stat") return own.has(place) ? [] : [one];
		if (text === nothing && stats.get(place) === nothing) return [];
		return isOwn(one) && content ? [["own", place, text, content]] : [one];
	});
}

function isEqual(one: Buffer | undefined, other: Buffer | undefined): boolean {
	return one && other ? one.equals(other) : one === other;
}

// `ip route show`, or a batch of nothing else.
function isShowing(place: string): boolean {
	const { argv, input } = commandAt(place);
	const lines = input?.trimEnd().split("\n") ?? [argv.join(" ")];
	return argv[0] === "ip" && lines.every((one) => /\bshow\b/.test(one));
}

// Processes come and go: what they are searched for is a look of its own.
function isOfProcesses(path: string): boolean {
	return path === "/proc" || /^\/proc\/\d+\/comm$/.test(path);
}

interface Opened {
	path: string;
	stat: string | undefined;
	isFile: boolean;
	/** Read to its end. */
	isWhole: boolean;
	content: Buffer[];
}

function recordFiles(
	base: FileSystem,
	note: (look: Look, text: string, content?: Buffer) => void,
	spoil: () => void,
): FileSystem {
	const open = new Map<number, Opened>();
	const noteFile = (
		kind: Look["kind"],
		place: string,
		text: string,
		content?: Buffer,
	) => {
		if (!isOfProcesses(place)) note({ kind, place }, text, content);
	};
	// Calls one of node:fs and notes what came of it, be it an error.
	function looking<T>(
		kind: "list" | "stat" | "link",
		place: string,
		call: () => T,
		textOf: (result: T) => string,
	): T {
		try {
			const result = call();
			noteFile(kind, place, textOf(result));
			return result;
		} catch (error) {
			noteFile(kind, place, errorText(error));
			throw error;
		}
	}
	const spoiling = <A extends unknown[], R>(call: (...args: A) => R) =>
		((...args: A) => {
			spoil();
			return call(...args);
		}) as never;
	return {
		...base,
		openSync: ((path: string, flags: number, mode?: number) => {
			if (path === paths.lock) return base.openSync(path, flags, mode);
			if ((flags & writing) !== 0) spoil();
			try {
				const fd = base.openSync(path, flags, mode);
				const [isFile, isWhole] = [false, false];
				open.set(fd, { path, stat: undefined, isFile, isWhole, content: [] });
				return fd;
			} catch (error) {
				noteFile("open", path, errorText(error));
				throw error;
			}
		}) as FileSystem["openSync"],
		fstatSync: ((fd: number) => {
			const stat = base.fstatSync(fd);
			const opened = open.get(fd);
			if (opened) {
				opened.stat = statText(stat);
				opened.isFile = stat.isFile();
			}
			return stat;
		}) as FileSystem["fstatSync"],
		readSync: ((
			fd: number,
			buffer: Buffer,
			offset: number,
			length: number,
			position: number | null,
		) => {
			const opened = open.get(fd);
			// A small kernel file is read in one go; one byte shows whether it can be read.
			const kind = length === 1 ? "open" : "value";
			const isValue = opened?.stat === undefined;
			if (isValue && length !== 1 && length !== valueBytes) spoil();
			try {
				const count = base.readSync(fd, buffer, offset, length, position);
				const text = buffer.toString("latin1", offset, offset + count);
				if (opened && isValue)
					noteFile(kind, opened.path, kind === "open" ? "" : text);
				else if (opened) {
					opened.content.push(Buffer.from(text, "latin1"));
					opened.isWhole = count === 0;
				}
				return count;
			} catch (error) {
				if (opened && isValue) noteFile(kind, opened.path, errorText(error));
				throw error;
			}
		}) as FileSystem["readSync"],
		closeSync: (fd) => {
			const opened = open.get(fd);
			open.delete(fd);
			if (opened?.stat !== undefined) {
				const { path, stat, isFile, isWhole, content } = opened;
				// Given up half-way: it was too large.
				if (isFile && !isWhole) spoil();
				noteFile(
					"file",
					path,
					stat,
					isFile ? Buffer.concat(content) : undefined,
				);
			}
			base.closeSync(fd);
		},
		readdirSync: ((path: string) =>
			looking(
				"list",
				path,
				() => base.readdirSync(path),
				listText,
			)) as FileSystem["readdirSync"],
		lstatSync: ((path: string, options?: StatSyncOptions) =>
			looking(
				"stat",
				path,
				() => base.lstatSync(path, options),
				(stat) => statText(stat as Stats | undefined),
			)) as FileSystem["lstatSync"],
		readlinkSync: ((path: string) =>
			looking(
				"link",
				path,
				() => base.readlinkSync(path),
				String,
			)) as FileSystem["readlinkSync"],
		writeSync: spoiling(base.writeSync),
		fsyncSync: spoiling(base.fsyncSync),
		fchmodSync: spoiling(base.fchmodSync),
		fchownSync: spoiling(base.fchownSync),
		renameSync: spoiling(base.renameSync),
		unlinkSync: spoiling(base.unlinkSync),
		mkdirSync: spoiling(base.mkdirSync),
	};
}
