import { ensureDirectory, writeAtomically } from "../apply/atomic.js";
import { isAgentError } from "../errors.js";
import { readBytes } from "../files.js";
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
 * The trace of a command as it stands in its file, to be understood by parseTrace(); undefined where there is none that
 * this build of the agent has written.
 */
export function findTrace(fs: FileSystem, key: string): Buffer | undefined {
	const beginning = beginningOf(key);
	const bytes = readOwn(fs);
	const found = bytes?.toString("latin1", 0, beginning.length);
	return found === beginning ? bytes : undefined;
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

// Only what nobody but root can have written.
function readOwn(fs: FileSystem): Buffer | undefined {
	try {
		for (const path of [paths.runDirectory, paths.unchanged]) {
			const stat = fs.lstatSync(path);
			if (stat?.uid !== 0 || (stat.mode & 0o022) !== 0) return undefined;
		}
		return readBytes(fs, paths.unchanged, limit);
	} catch {
		return undefined;
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
