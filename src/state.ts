import * as v from "valibot";
import { removeFile, writeAtomically } from "./apply/atomic.js";
import { setAside } from "./apply/state-directory.js";
import { isNicName } from "./desire/candidate.js";
import { AgentError, isAgentError, messageOf } from "./errors.js";
import { readFile } from "./files.js";
import { isIpv4, parseCidr } from "./ipv4.js";
import type { FileState, State } from "./model.js";
import { paths } from "./paths.js";
import { linkSysctls } from "./sysctl-keys.js";
import type { System } from "./system.js";

// Eight ENIs with 30 addresses are 20 KiB.
const limit = 4 * 1024 * 1024;

// What stands in the record ends up in file names, files and commands: it is checked like any other input.

/** One word of a command: nothing in it that separates words or lines. */
export const word = v.pipe(v.string(), v.regex(/^[^ \p{Cc}]{1,256}$/u));
export const words = v.array(word);
/** A file name without a path. */
export const fileName = v.pipe(
	v.string(),
	v.regex(/^[^/\0]{1,255}$/),
	v.check((name) => name !== "." && name !== ".."),
);
/** The path of a file that network-scripts reads for a link. */
export const scriptPath = v.pipe(
	v.string(),
	v.startsWith(`${paths.networkScripts}/`),
	v.check((path) =>
		/^(ifcfg|route|rule)-[^/\0]+$/.test(
			path.slice(paths.networkScripts.length + 1),
		),
	),
);
/** A key of KernelState.sysctls. */
export const sysctlKey = v.pipe(
	v.string(),
	v.check((key) => {
		const [conf, name = "", leaf = "", ...more] = key.split("/");
		const isLinks =
			conf === "conf" &&
			!["", ".", ".."].includes(name) &&
			linkSysctls.includes(leaf) &&
			more.length === 0;
		return isLinks || key === "ip_forward";
	}),
);
export const sysctlValue = v.pipe(v.string(), v.regex(/^[^\0\n]{0,64}$/));

const linkName = v.pipe(v.string(), v.check(isNicName));
const mac = v.pipe(v.string(), v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/));
const ipv4 = v.pipe(v.string(), v.check(isIpv4));
const cidr = v.pipe(
	v.string(),
	v.check((text) => parseCidr(text) !== undefined),
);
const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const staticSource = v.object({
	addresses: v.array(cidr),
	gateway: ipv4,
});
/** What our files and commands put there for a NIC. */
export const managed = v.object({
	name: linkName,
	mac,
	addresses: v.array(cidr),
	subnet: cidr,
	gateway: ipv4,
	table: v.optional(number),
	throws: v.array(cidr),
	demoteMetric: v.optional(number),
	files: v.array(scriptPath),
	isLeftover: v.optional(v.boolean()),
});
const before = v.object({
	up: v.boolean(),
	// Words of `ip addr add` in one string.
	addresses: v.array(v.pipe(v.string(), v.regex(/^\P{Cc}{1,256}$/u))),
	routes: v.array(words),
	sysctls: v.record(sysctlKey, sysctlValue),
	bootId: v.string(),
});
const backOff = v.object({
	spec: v.string(),
	attempts: number,
	bootId: v.string(),
	untilMs: v.number(),
});
/** An address of the primary's beside its own: a /32, so that none depends on another. */
const extra = v.pipe(
	v.string(),
	v.check((text) => parseCidr(text)?.prefix === 32),
);
const extras = v.object({
	mac,
	addresses: v.array(extra),
	bootId: v.string(),
	rolledBack: v.optional(v.boolean()),
	backOff: v.optional(backOff),
});
/** The same as a run has it: what it wants, and what was there of it. */
export const claimedExtras = v.object({
	name: linkName,
	mac,
	addresses: v.array(extra),
	recorded: v.array(extra),
	isManaged: v.boolean(),
});
const entry = v.object({
	name: linkName,
	table: v.optional(number),
	managed: v.optional(managed),
	leftover: v.optional(managed),
	before: v.optional(before),
	backups: v.optional(
		v.array(
			v.object({
				path: scriptPath,
				copy: fileName,
				mode: number,
				uid: number,
				gid: number,
			}),
		),
	),
	released: v.optional(v.boolean()),
	backOff: v.optional(backOff),
	flags: v.optional(staticSource),
	cache: v.optional(
		v.object({
			instanceId: v.string(),
			primaryAddress: ipv4,
			prefix: v.pipe(number, v.maxValue(32)),
			gateway: ipv4,
		}),
	),
});
const schema = v.object({
	version: v.literal(1),
	interfaces: v.record(mac, entry),
	extras: v.optional(extras),
	primary: v.optional(v.object({ instanceId: v.string(), mac })),
	sysctls: v.record(sysctlKey, sysctlValue),
	rpFilter: v.optional(v.picklist([0, 1, 2])),
	pinned: v.record(v.string(), mac),
});

/** A machine the agent has never touched. */
export function emptyState(): State {
	return { version: 1, interfaces: {}, sysctls: {}, pinned: {} };
}

/** Reads state.json. Of one that cannot be understood a warning says so; what our valid files say still counts. */
export function readState(system: System): State {
	const file = readFile(system.fs, paths.state, limit);
	if (!file) return emptyState();
	const state = parseState(file.content);
	if (typeof state !== "string") return state;
	system.log(
		"warning",
		`${paths.state} cannot be understood (${state}): going by the files alone`,
	);
	return emptyState();
}

/** The same without a word about what cannot be read or understood: for a look before a run that says it. */
export function peekState({ fs }: System): State {
	let state: State | string = "";
	try {
		state = parseState(readFile(fs, paths.state, limit)?.content ?? "");
	} catch (error) {
		if (!isAgentError(error)) throw error;
	}
	return typeof state === "string" ? emptyState() : state;
}

// What was last found to be a record: a run meets it again and again. Nobody changes a State in place.
let sound: { content: string; state: State } | undefined;

/** The record in a text (latin1 bytes), or why it is none in a few words. */
export function parseState(content: string): State | string {
	if (content === sound?.content) return sound.state;
	try {
		const text = Buffer.from(content, "latin1").toString("utf8");
		const state = v.parse(schema, JSON.parse(text)) as State;
		sound = { content, state };
		return state;
	} catch (error) {
		return messageOf(error).slice(0, 100);
	}
}

function problemOf(content: string): string | undefined {
	const state = parseState(content);
	return typeof state === "string" ? state : undefined;
}

/** Sets a state.json that cannot be understood aside, and names the place; only with the lock held. */
export function setAsideDamagedState(system: System): void {
	const file = readFile(system.fs, paths.state, limit);
	if (!file) return;
	const problem = problemOf(file.content);
	if (problem === undefined) return;
	const aside = setAside(system.fs, paths.state);
	system.log(
		"warning",
		`${paths.state} cannot be understood (${problem}): it is now ${aside}; going by the files alone`,
	);
}

/** The bytes of state.json as they are; undefined where there is none. */
export function readRecord({ fs }: System): FileState | undefined {
	return readFile(fs, paths.state, limit);
}

/** The text of a record as it stands in state.json. */
export function serializeState(state: State): string {
	return `${JSON.stringify(state, undefined, "\t")}\n`;
}

/** Writes state.json when it differs from what is there. */
export function writeState({ fs }: System, state: State): boolean {
	const content = serializeState(state);
	// One that could not be read again would be worse than the old one.
	const problem =
		content.length > limit
			? `larger than ${limit} bytes`
			: problemOf(content) && `not valid (${problemOf(content)})`;
	if (problem)
		throw new AgentError(
			"internal",
			`${paths.state} cannot be written: the record is ${problem}`,
		);
	if (readFile(fs, paths.state, limit)?.content === content) return false;
	writeAtomically(fs, paths.state, { content, mode: 0o644 });
	return true;
}

/** Puts the bytes of an earlier state.json back, or takes it away where there was none. */
export function restoreRecord(
	{ fs }: System,
	record: FileState | undefined,
): void {
	const now = readFile(fs, paths.state, limit);
	if (now?.content === record?.content) return;
	if (record) writeAtomically(fs, paths.state, record);
	else removeFile(fs, paths.state);
}
