import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { AgentError, messageOf } from "../errors.js";
import { exists, readFile } from "../files.js";
import type { Journal } from "../model.js";
import { paths } from "../paths.js";
import {
	claimedExtras,
	fileName,
	managed,
	scriptPath,
	sysctlKey,
	sysctlValue,
	word,
	words,
} from "../state.js";
import type { FileSystem, System } from "../system.js";
import {
	ensureDirectory,
	moveFile,
	removeFile,
	writeAtomically,
} from "./atomic.js";
import { setAside } from "./state-directory.js";

// All routes of a busy container host, with room to spare.
const limit = 16 * 1024 * 1024;

const fileState = v.object({
	content: v.string(),
	mode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777)),
	uid: v.number(),
	gid: v.number(),
});
const link = v.optional(word);
const path = v.union([v.literal(paths.sysctlConf), scriptPath]);
const step = v.variant("kind", [
	v.object({
		kind: v.literal("write"),
		link,
		path,
		content: v.string(),
		mode: v.number(),
		before: v.optional(fileState),
		owner: v.optional(v.object({ uid: v.number(), gid: v.number() })),
		keepCopy: v.boolean(),
	}),
	v.object({
		kind: v.literal("remove"),
		link,
		path,
		before: fileState,
		keepCopy: v.boolean(),
	}),
	v.object({
		kind: v.literal("sysctl"),
		link,
		key: sysctlKey,
		value: sysctlValue,
		before: v.optional(sysctlValue),
	}),
	v.object({ kind: v.literal("link"), link, op: v.picklist(["up", "down"]) }),
	v.object({
		kind: v.picklist(["addr", "rule"]),
		link,
		op: v.picklist(["add", "del"]),
		words,
	}),
	v.object({
		kind: v.literal("route"),
		link,
		op: v.picklist(["add", "append", "prepend", "replace", "del"]),
		words,
	}),
	v.object({
		kind: v.literal("run"),
		link,
		argv: v.array(v.string()),
		timeoutMs: v.number(),
		until: v.optional(v.string()),
		touches: v.union([v.literal("all"), words]),
	}),
]);
const address = v.object({
	ip: word,
	prefix: v.number(),
	family: v.picklist([4, 6]),
	scope: word,
	dynamic: v.boolean(),
	label: v.optional(word),
	peer: v.optional(word),
	broadcast: v.optional(word),
});
const kernel = v.object({
	links: v.array(
		v.object({
			name: word,
			mac: v.string(),
			ifindex: v.number(),
			up: v.boolean(),
			operstate: v.string(),
			mtu: v.number(),
			type: v.number(),
			driver: v.optional(v.string()),
			devtype: v.optional(v.string()),
			master: v.optional(v.string()),
			lowers: v.array(v.string()),
			dhcp: v.boolean(),
			addresses: v.array(address),
		}),
	),
	rules: v.array(
		v.object({
			priority: v.number(),
			from: word,
			to: v.optional(word),
			table: v.optional(v.number()),
			words,
		}),
	),
	routes: v.array(
		v.object({
			table: v.number(),
			type: word,
			dst: word,
			devs: words,
			via: v.optional(word),
			metric: v.number(),
			proto: v.optional(word),
			src: v.optional(word),
			words,
		}),
	),
	sysctls: v.record(v.string(), v.string()),
});
const { files: _, ...identity } = managed.entries;
const schema = v.object({
	version: v.literal(1),
	id: v.string(),
	bootId: v.string(),
	command: v.picklist(["configure", "remove", "rollback"]),
	links: words,
	scope: v.union([v.literal("all"), words]),
	steps: v.array(step),
	before: kernel,
	interfaces: v.array(
		v.object({
			...identity,
			nmControlled: v.boolean(),
			source: v.picklist(["metadata", "flags", "config"]),
		}),
	),
	gone: v.array(managed),
	recorded: v.array(managed),
	extras: v.optional(claimedExtras),
	record: v.optional(fileState),
	copies: v.record(v.string(), fileName),
});

/** An id that no other run has. */
export function newJournalId(): string {
	return randomBytes(16).toString("hex");
}

/** Puts the journal on disk, in the place of an earlier one; from then on a run may be interrupted. */
export function writeJournal(fs: FileSystem, journal: Journal): void {
	const content = encode(journal);
	// One that could not be read again would be worse than none.
	try {
		if (content.length > limit)
			throw new Error(`it takes more than ${limit} bytes`);
		decode(content);
	} catch (error) {
		throw new AgentError(
			"internal",
			`this run cannot be journaled: ${messageOf(error).slice(0, 100)}`,
			error,
		);
	}
	writeAtomically(fs, paths.journal, { content, mode: 0o600 });
}

/** The journal of an interrupted run, if there is one. One that cannot be understood is set aside and named. */
export function readJournal(system: System): Journal | undefined {
	return read(system, paths.journal);
}

/** The record of the last committed change, if there is one. */
export function readUndo(system: System): Journal | undefined {
	return read(system, paths.undo);
}

/** Whether a run was interrupted here and not recovered yet. */
export function hasJournal(fs: FileSystem): boolean {
	return exists(fs, paths.journal);
}

/**
 * What the last committed change was, and when it began, in milliseconds since 1970; undefined where
 * there was none, or it is not this user's to read. Sets nothing aside.
 */
export function describeLastChange(
	fs: FileSystem,
): { atMs: number; command: Journal["command"]; links: string[] } | undefined {
	try {
		const file = readFile(fs, paths.undo, limit);
		if (!file) return undefined;
		const { command, links: own, extras } = decode(file.content);
		const links = extras ? [...own, extras.name] : own;
		return { atMs: Number(fs.lstatSync(paths.undo).mtimeMs), command, links };
	} catch {
		return undefined;
	}
}

/** Makes sure that the journal is there: a commit that failed on its last step has moved it away. */
export function keepJournal(system: System, journal: Journal): void {
	try {
		if (!hasJournal(system.fs) && journal.steps.length > 0)
			writeJournal(system.fs, journal);
	} catch (error) {
		system.log("error", `roll back: ${messageOf(error)}`);
	}
}

/** The run holds: its journal becomes the record by which `rollback` undoes it. */
export function commitJournal(fs: FileSystem): void {
	ensureDirectory(fs, paths.undoDirectory, 0o700);
	moveFile(fs, paths.journal, paths.undo);
}

/** Puts the record of the last committed change back, where a commit that failed has taken its place. */
export function restoreUndo(system: System, last: Journal): void {
	if (readUndo(system)?.id === last.id) return;
	const content = encode(last);
	writeAtomically(system.fs, paths.undo, { content, mode: 0o600 });
}

/** The run is undone: nothing of it remains to be recovered, or to be undone again. */
export function dropJournal(system: System, { id }: Journal): void {
	// A power cut in the middle of the commit leaves both names: neither holds any more.
	if (readUndo(system)?.id === id) removeFile(system.fs, paths.undo);
	removeFile(system.fs, paths.journal);
}

function read(system: System, path: string): Journal | undefined {
	const { fs } = system;
	// One that cannot be read now (an error of the disk, too many open files) is no less true for that.
	const file = readFile(fs, path, limit);
	if (!file) return undefined;
	let problem: string;
	try {
		return decode(file.content);
	} catch (error) {
		problem = messageOf(error).slice(0, 100);
	}
	const aside = setAside(fs, path);
	system.log(
		"error",
		`${path} cannot be understood (${problem}): it is now ${aside}, and what an interrupted run may have left is judged by files and kernel alone`,
	);
	return undefined;
}

// Everything that comes from a file is a `content`: bytes, which JSON cannot hold.
function encode(journal: Journal): string {
	return `${JSON.stringify(journal, (key, value) =>
		key === "content"
			? Buffer.from(value as string, "latin1").toString("base64")
			: value,
	)}\n`;
}

function decode(text: string): Journal {
	const value: unknown = JSON.parse(text, (key, value) =>
		key === "content" && typeof value === "string"
			? Buffer.from(value, "base64").toString("latin1")
			: value,
	);
	return v.parse(schema, value) as unknown as Journal;
}
