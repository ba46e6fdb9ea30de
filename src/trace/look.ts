import { errorCode, readFlags } from "../files.js";
import { isNetworkManagerRunning } from "../observe/facts.js";
import type { HttpResult, RunResult, System } from "../system.js";

/** Something that a run has looked at. */
export interface Look {
	/**
	 * `file`: its type, mode, owner and content; `own`: the same of one that no symbolic link leads to; `value`: the content of a small kernel file; `open`: whether it can be
	 * read; `list`: names in a directory; `stat`: type, mode and owner; `link`: where it leads; `run`: what a program
	 * printed; `http`: an answer; `running`: whether NetworkManager runs, which /proc is searched for.
	 */
	kind:
		| "file"
		| "own"
		| "value"
		| "open"
		| "list"
		| "stat"
		| "link"
		| "run"
		| "http"
		| "running";
	/** A path, a URL, or a command, see placeOfRun(). */
	place: string;
}

/**
 * A look, and what was seen there. `text` is all of it but for a `file` or `own`, where it is type, mode and owner, and a `run`, where
 * it is the exit code: `content` is the rest, bytes.
 */
export type Seen = [
	kind: Look["kind"],
	place: string,
	text: string,
	content?: Buffer,
];

/** The longest value of a small kernel file, see readValue(). */
export const valueBytes = 4096;
/** What is seen where nothing is. */
export const nothing = "error ENOENT";
const noError = { throwIfNoEntry: false } as const;
// For all reads: hundreds of small ones.
const buffer = Buffer.allocUnsafe(16 * 1024);

/** Whether what is seen there now is what was seen; for all but programs and answers. */
export function isAsSeen(
	{ fs }: Pick<System, "fs">,
	[kind, place, text, content]: Seen,
): boolean {
	try {
		// It takes longer to make an error than to look.
		if (text === nothing && !fs.lstatSync(place, noError)) return true;
		if (kind !== "file" && kind !== "own")
			return lookAt({ fs }, { kind, place }) === text;
		const fd = fs.openSync(place, flagsOf(kind));
		try {
			const stat = fs.fstatSync(fd);
			if (statText(stat) !== text) return false;
			return stat.isFile()
				? content !== undefined && isContent(fs, fd, content)
				: content === undefined;
		} finally {
			fs.closeSync(fd);
		}
	} catch (error) {
		return errorText(error) === text;
	}
}

/** What is seen there now, of a `file` without its content. */
export function lookAt(
	{ fs }: Pick<System, "fs">,
	{ kind, place }: Look,
): string {
	try {
		if (kind === "running") return String(isNetworkManagerRunning(fs));
		if (kind === "list") return listText(fs.readdirSync(place));
		if (kind === "link") return String(fs.readlinkSync(place));
		if (kind === "stat") return statText(fs.lstatSync(place, noError));
		const fd = fs.openSync(place, flagsOf(kind));
		try {
			if (kind === "file" || kind === "own") return statText(fs.fstatSync(fd));
			const limit = kind === "value" ? valueBytes : 1;
			const count = fs.readSync(fd, buffer, 0, limit, null);
			return kind === "value" ? buffer.toString("latin1", 0, count) : "";
		} finally {
			fs.closeSync(fd);
		}
	} catch (error) {
		return errorText(error);
	}
}

// O_NOFOLLOW
function flagsOf(kind: Look["kind"]): number {
	return kind === "own" ? readFlags | 0o400000 : readFlags;
}

// No string is made of it: of hundreds of files that is what V8 would have to clear away.
function isContent(fs: System["fs"], fd: number, content: Buffer): boolean {
	for (let at = 0; ; ) {
		const count = fs.readSync(fd, buffer, 0, buffer.length, null);
		if (count === 0) return at === content.length;
		const end = at + count;
		if (
			end > content.length ||
			buffer.compare(content, at, end, 0, count) !== 0
		)
			return false;
		at = end;
	}
}

export function listText(names: unknown): string {
	return (names as string[]).slice().sort().join("\0");
}

export function statText(
	stat: { mode: number; uid: number; gid: number } | undefined,
): string {
	return stat ? `${stat.mode} ${stat.uid} ${stat.gid}` : nothing;
}

export function errorText(error: unknown): string {
	const code = errorCode(error) ?? "unknown";
	// A folder of the path that is no folder, or none that is there: node:fs tells the two apart by its errors alone.
	return `error ${code === "ENOTDIR" ? "ENOENT" : code}`;
}

/** The words of a command with a NUL between them; after an empty line its input. */
export function placeOfRun(argv: string[], input?: string): string {
	return `${argv.join("\0")}${input === undefined ? "" : `\n\n${input}`}`;
}

/** The command of a place. */
export function commandAt(place: string): {
	argv: string[];
	input: string | undefined;
} {
	const end = place.indexOf("\n\n");
	const words = end < 0 ? place : place.slice(0, end);
	const input = end < 0 ? undefined : place.slice(end + 2);
	return { argv: words.split("\0"), input };
}

/** What a program has printed, without the seconds that a lease or an advertised prefix is still valid: they are another number each time. */
export function outputOf({ stdout }: RunResult): Buffer {
	return Buffer.from(
		stdout.replace(/\b(valid_lft|preferred_lft|expires) \d+sec/g, "$1"),
	);
}

/** The answer as text; undefined where there was none. */
export function answerText(result: HttpResult): string | undefined {
	return result.kind === "response"
		? `${result.status} ${Buffer.from(result.body).toString("latin1")}`
		: undefined;
}
