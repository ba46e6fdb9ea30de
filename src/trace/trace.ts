import { ensureDirectory, writeAtomically } from "../apply/atomic.js";
import { isAgentError } from "../errors.js";
import { readFile } from "../files.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";
import { build } from "./build.js";
import type { Recorded } from "./record.js";

/**
 * The last run of a command that changed nothing, as it stands in /run/eni-configure/unchanged.json: the
 * next one that finds all it looked at the same has nothing to do either.
 */
export interface Trace extends Recorded {
	build: string;
	key: string;
}

// 8 ENIs with 30 addresses: 200 KiB.
const limit = 4 * 1024 * 1024;

/** What a run goes by besides what it looks at: its command line and the environment's own variables. */
export function keyOf(words: string[], env: NodeJS.ProcessEnv): string {
	const variables = Object.entries(env)
		.filter(([name]) => name.startsWith("ENI_CONFIGURE_"))
		.sort(([a], [b]) => (a < b ? -1 : 1));
	return JSON.stringify([words, variables]);
}

/** Reads the trace of a command; undefined where there is none that this build of the agent has written. */
export function readTrace(fs: FileSystem, key: string): Trace | undefined {
	const trace = parse(readOwn(fs) ?? "");
	const isIt = trace?.build === build && trace.key === key;
	return isIt && Array.isArray(trace.seen) && Array.isArray(trace.log)
		? trace
		: undefined;
}

// Only what nobody but root can have written.
function readOwn(fs: FileSystem): string | undefined {
	try {
		for (const path of [paths.runDirectory, paths.unchanged]) {
			const stat = fs.lstatSync(path);
			if (stat?.uid !== 0 || (stat.mode & 0o022) !== 0) return undefined;
		}
		return readFile(fs, paths.unchanged, limit)?.content;
	} catch {
		return undefined;
	}
}

function parse(content: string): Trace | undefined {
	try {
		return JSON.parse(Buffer.from(content, "latin1").toString("utf8"));
	} catch {
		return undefined;
	}
}

/** Writes the trace where it differs from the one that is there. That it could not be written is nobody's trouble. */
export function writeTrace(
	fs: FileSystem,
	key: string,
	{ seen, log }: Recorded,
): void {
	const trace: Trace = { build, key, seen, log };
	const content = Buffer.from(JSON.stringify(trace)).toString("latin1");
	if (content.length > limit || readOwn(fs) === content) return;
	try {
		ensureDirectory(fs, paths.runDirectory, 0o755);
		writeAtomically(fs, paths.unchanged, { content, mode: 0o600 });
	} catch (error) {
		if (!isAgentError(error)) throw error;
	}
}
