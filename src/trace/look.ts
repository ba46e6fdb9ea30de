import { errorCode, readFlags } from "../files.js";
import { observeFacts } from "../observe/facts.js";
import type { HttpResult, RunResult, System } from "../system.js";

/** Something that a run has looked at. */
export interface Look {
	/**
	 * `file`: its type, mode, owner and content; `value`: the content of a small kernel file; `open`: whether it can be
	 * read; `list`: names in a directory; `stat`: type, mode and owner; `link`: where it leads; `run`: what a program
	 * printed; `http`: an answer; `facts`: the facts about the host, which /proc is searched for.
	 */
	kind:
		| "file"
		| "value"
		| "open"
		| "list"
		| "stat"
		| "link"
		| "run"
		| "http"
		| "facts";
	/** A path, a URL, or a command, see placeOfRun(). */
	place: string;
}

/** A look, and what was seen there, as text. */
export type Seen = [kind: Look["kind"], place: string, text: string];

/** The longest value of a small kernel file, see readValue(). */
export const valueBytes = 4096;
// What is larger than that no run reads.
const maxBytes = 4 * 1024 * 1024;
// For all reads: hundreds of small ones.
const buffer = Buffer.allocUnsafe(16 * 1024);

/** What is seen there now, as text; for files and the like, at once. */
export function lookAt(
	{ fs }: Pick<System, "fs">,
	{ kind, place }: Look,
): string {
	if (kind === "facts") return JSON.stringify(observeFacts(fs));
	try {
		if (kind === "list") return listText(fs.readdirSync(place));
		if (kind === "link") return String(fs.readlinkSync(place));
		if (kind === "stat") return statText(fs.lstatSync(place));
		const fd = fs.openSync(place, readFlags);
		try {
			if (kind === "value") return contentOf(fs, fd, valueBytes, true);
			if (kind === "open") return contentOf(fs, fd, 1, true).slice(0, 0);
			const stat = fs.fstatSync(fd);
			const text = statText(stat);
			return stat.isFile() ? `${text} ${contentOf(fs, fd, maxBytes)}` : text;
		} finally {
			fs.closeSync(fd);
		}
	} catch (error) {
		return errorText(error);
	}
}

function contentOf(
	fs: System["fs"],
	fd: number,
	limit: number,
	isOnce = false,
): string {
	const parts: string[] = [];
	for (let size = 0; size < limit; ) {
		const length = Math.min(limit - size, buffer.length);
		const count = fs.readSync(fd, buffer, 0, length, null);
		if (count > 0) parts.push(buffer.toString("latin1", 0, count));
		if (count === 0 || isOnce) break;
		size += count;
	}
	return parts.join("");
}

export function listText(names: unknown): string {
	return (names as string[]).slice().sort().join("\0");
}

export function statText(
	stat: { mode: number; uid: number; gid: number } | undefined,
): string {
	return stat ? `${stat.mode} ${stat.uid} ${stat.gid}` : "";
}

export function errorText(error: unknown): string {
	return `error ${errorCode(error) ?? "unknown"}`;
}

/** The words of a command with a NUL between them; after an empty line its input. */
export function placeOfRun(argv: string[], input?: string): string {
	return `${argv.join("\0")}${input === undefined ? "" : `\n\n${input}`}`;
}

/** Runs the command of a place again; what it printed. */
export async function runAgain(
	{ run }: System,
	place: string,
): Promise<string> {
	const [argv = "", input] = place.split("\n\n");
	const options = input === undefined ? {} : { input };
	return outputText(await run(argv.split("\0"), options));
}

/** Without the seconds that a lease or an advertised prefix is still valid: they are another number each time. */
export function outputText({ exitCode, stdout }: RunResult): string {
	return `${exitCode} ${stdout.replace(/\b(valid_lft|preferred_lft|expires) \d+sec/g, "$1")}`;
}

/** The answer as text; undefined where there was none. */
export function answerText(result: HttpResult): string | undefined {
	return result.kind === "response"
		? `${result.status} ${Buffer.from(result.body).toString("latin1")}`
		: undefined;
}
