import * as v from "valibot";
import { removeFile, writeAtomically } from "./apply/atomic.js";
import { messageOf } from "./errors.js";
import { readFile } from "./files.js";
import type { State } from "./model.js";
import { paths } from "./paths.js";
import type { FileSystem, System } from "./system.js";

const strings = v.array(v.string());
const staticSource = v.object({ addresses: strings, gateway: v.string() });
const managed = v.object({
	name: v.string(),
	mac: v.string(),
	addresses: strings,
	subnet: v.string(),
	gateway: v.string(),
	table: v.optional(v.number()),
	throws: strings,
	demoteMetric: v.optional(v.number()),
	files: strings,
});
const before = v.object({
	up: v.boolean(),
	addresses: strings,
	routes: v.array(strings),
	sysctls: v.record(v.string(), v.string()),
	bootId: v.string(),
});
const entry = v.object({
	name: v.string(),
	table: v.optional(v.number()),
	managed: v.optional(managed),
	leftover: v.optional(managed),
	before: v.optional(before),
	backups: v.optional(
		v.array(
			v.object({
				path: v.string(),
				copy: v.string(),
				mode: v.number(),
				uid: v.number(),
				gid: v.number(),
			}),
		),
	),
	released: v.optional(v.boolean()),
	flags: v.optional(staticSource),
	cache: v.optional(
		v.object({
			instanceId: v.string(),
			primaryAddress: v.string(),
			prefix: v.number(),
			gateway: v.string(),
		}),
	),
});
const schema = v.object({
	version: v.literal(1),
	interfaces: v.record(v.string(), entry),
	primary: v.optional(v.object({ instanceId: v.string(), mac: v.string() })),
	sysctls: v.record(v.string(), v.string()),
	rpFilter: v.optional(v.picklist([0, 1, 2])),
	pinned: v.record(v.string(), v.string()),
});

/** A machine the agent has never touched. */
export function emptyState(): State {
	return { version: 1, interfaces: {}, sysctls: {}, pinned: {} };
}

/**
 * Reads state.json. One that cannot be understood is named in a warning and set aside by the next
 * write; what our valid files say still counts.
 */
export function readState(system: System): State {
	const file = readFile(system.fs, paths.state);
	if (!file) return emptyState();
	try {
		return v.parse(
			schema,
			JSON.parse(Buffer.from(file.content, "latin1").toString("utf8")),
		) as State;
	} catch (error) {
		system.log(
			"warning",
			`${paths.state} cannot be understood (${messageOf(error).slice(0, 100)}): going by the files alone`,
		);
		return emptyState();
	}
}

/** Writes state.json when it differs from what is there; what cannot be understood is kept beside it. */
export function writeState(system: System, state: State): boolean {
	const content = `${JSON.stringify(state, undefined, "\t")}\n`;
	const old = readFile(system.fs, paths.state);
	if (old?.content === content) return false;
	if (old && !isValid(old.content)) setAside(system.fs, old.content);
	writeAtomically(system.fs, paths.state, { content, mode: 0o644 });
	return true;
}

/** Writes an earlier state back; a record that cannot be written is named in the log. */
export function restoreState(system: System, state: State): void {
	try {
		const isNew = JSON.stringify(state) === JSON.stringify(emptyState());
		if (isNew && readFile(system.fs, paths.state)) {
			removeFile(system.fs, paths.state);
		} else if (!isNew) writeState(system, state);
	} catch (error) {
		system.log("error", `roll back: ${messageOf(error)}`);
	}
}

function isValid(content: string): boolean {
	try {
		return v.safeParse(schema, JSON.parse(content)).success;
	} catch {
		return false;
	}
}

function setAside(fs: FileSystem, content: string): void {
	let number = 1;
	while (readFile(fs, `${paths.state}.damaged-${number}`) !== undefined)
		number += 1;
	writeAtomically(fs, `${paths.state}.damaged-${number}`, {
		content,
		mode: 0o600,
	});
}
