import { ensureDirectory, writeAtomically } from "../apply/atomic.js";
import { isAgentError } from "../errors.js";
import { readBytes, readFlags } from "../files.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";
import { build } from "./build.js";
import type { Look, Seen } from "./look.js";
import type { Recorded } from "./record.js";

// The last run of a command that changed nothing stands in /run/eni-configure/unchanged: the next one that finds all it
// looked at the same has nothing to do either. A line of JSON, in ASCII, and then the contents that it names the sizes of.

/** What the line says; of what was seen, how many bytes of content there are instead of these. */
interface Header {
	build: string;
	key: string;
	log: Recorded["log"];
	seen: [...look: [Look["kind"], place: string, text: string], size?: number][];
}

// 8 ENIs with 30 addresses: 160 KiB.
const limit = 4 * 1024 * 1024;

/** What a run goes by besides what it looks at: its command line and the environment's own variables. */
export function keyOf(words: string[], env: NodeJS.ProcessEnv): string {
	const variables = Object.entries(env)
		.filter(([name]) => name.startsWith("ENI_CONFIGURE_"))
		.sort(([a], [b]) => (a < b ? -1 : 1));
	return JSON.stringify([words, variables]);
}

/**
 * Finds the trace of a command: what reads it as it stands in its file, to be understood by parseTrace(). Undefined where
 * there is none that this build of the agent has written; there may be none any more when it is read.
 */
export function findTrace(
	fs: FileSystem,
	key: string,
): (() => Buffer | undefined) | undefined {
	const beginning = beginningOf(key);
	const isOfKey = (bytes: Buffer | undefined) =>
		bytes?.toString("latin1", 0, beginning.length) === beginning;
	if (!isOfKey(readOwn(fs, beginning.length))) return undefined;
	return () => {
		const bytes = readOwn(fs);
		return isOfKey(bytes) ? bytes : undefined;
	};
}

// What a trace says of itself comes first: to understand it all takes a while.
function beginningOf(key: string): string {
	return `${toAscii(JSON.stringify({ build, key })).slice(0, -1)},`;
}

/** What findTrace() has found; undefined where it is damaged. */
export function parseTrace(bytes: Buffer): Recorded | undefined {
	try {
		const end = bytes.indexOf("\n");
		const header: Header = JSON.parse(bytes.toString("latin1", 0, end));
		let at = end + 1;
		const seen = header.seen.map(([kind, place, text, size]): Seen => {
			if (size === undefined) return [kind, place, text];
			at += size;
			return [kind, place, text, bytes.subarray(at - size, at)];
		});
		const isWhole = end > 0 && at === bytes.length;
		return isWhole && Array.isArray(header.log)
			? { seen, log: header.log }
			: undefined;
	} catch {
		return undefined;
	}
}

// Only what nobody but root can have written; of a long one at first the beginning alone.
function readOwn(fs: FileSystem, beginning?: number): Buffer | undefined {
	try {
		for (const path of [paths.runDirectory, paths.unchanged]) {
			const stat = fs.lstatSync(path);
			if (stat?.uid !== 0 || (stat.mode & 0o022) !== 0) return undefined;
		}
		return beginning === undefined
			? readBytes(fs, paths.unchanged, limit)
			: readBeginning(fs, paths.unchanged, beginning);
	} catch {
		return undefined;
	}
}

function readBeginning(fs: FileSystem, path: string, size: number): Buffer {
	const fd = fs.openSync(path, readFlags);
	try {
		const bytes = Buffer.allocUnsafe(size);
		return bytes.subarray(0, fs.readSync(fd, bytes, 0, size, 0));
	} finally {
		fs.closeSync(fd);
	}
}

// So that it can be read as it stands: what is read of a file is latin1.
function toAscii(json: string): string {
	return json.replace(
		/[\u007f-\uffff]/g,
		(char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
}

/** Writes the trace where it differs from the one that is there. That it could not be written is nobody's trouble. */
export function writeTrace(
	fs: FileSystem,
	key: string,
	{ seen, log }: Recorded,
): void {
	const sized = seen.map(
		([kind, place, text, content]): Header["seen"][number] =>
			content ? [kind, place, text, content.length] : [kind, place, text],
	);
	const header: Header = { build, key, log, seen: sized };
	const bytes = Buffer.concat([
		Buffer.from(`${toAscii(JSON.stringify(header))}\n`, "latin1"),
		...seen.flatMap(([, , , content]) => content ?? []),
	]);
	if (bytes.length > limit || readOwn(fs)?.equals(bytes)) return;
	const content = bytes.toString("latin1");
	try {
		ensureDirectory(fs, paths.runDirectory, 0o755);
		writeAtomically(fs, paths.unchanged, { content, mode: 0o600 });
	} catch (error) {
		if (!isAgentError(error)) throw error;
	}
}
