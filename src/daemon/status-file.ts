import * as v from "valibot";
import { ensureDirectory, writeAtomically } from "../apply/atomic.js";
import { messageOf } from "../errors.js";
import type { DaemonStatus } from "../model.js";
import { paths } from "../paths.js";
import { quote } from "../quote.js";
import type { FileSystem } from "../system.js";

/** What a reader takes of status.json at most; 8 ENIs with all that can be said of them are some KiB. */
export const maxStatusBytes = 1024 * 1024;

// The output of a program can end up in a reason: cut, not refused, so that the rest is still read.
const maxText = 500;

const text = v.pipe(
	v.string(),
	v.transform((value) =>
		value.length > maxText ? `${value.slice(0, maxText - 3)}...` : value,
	),
);
const time = v.pipe(
	v.string(),
	v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/),
	v.check((value) => Number.isFinite(Date.parse(value)), "is no time"),
);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const pid = v.pipe(count, v.minValue(1));
const optionalText = v.optional(text);
const optionalTime = v.optional(time);

const schema = v.object({
	version: v.literal(1),
	pid,
	startTicks: count,
	startedAt: time,
	writtenAt: time,
	nextResyncAt: time,
	metadata: v.object({ problem: optionalText, answeredAt: optionalTime }),
	lastPass: v.object({
		at: time,
		trigger: text,
		outcome: v.picklist([
			"unchanged",
			"applied",
			"planned",
			"pending",
			"refused",
			"rolled-back",
			"rollback-failed",
		]),
		ms: v.pipe(v.number(), v.finite(), v.minValue(0)),
		error: optionalText,
	}),
	lastChange: v.optional(v.object({ at: time, link: optionalText, text })),
	waiting: v.array(
		v.object({
			link: text,
			mac: optionalText,
			kind: v.picklist([
				"pending",
				"backing-off",
				"held",
				"refused",
				"released",
				"primary",
				"unlisted",
				"wrong-kind",
				"missing",
				"unmanaged",
			]),
			reason: text,
			retryAt: optionalTime,
		}),
	),
	releases: v.array(
		v.object({ link: text, addresses: v.array(text), dueAt: time }),
	),
	drift: v.array(
		v.object({
			link: optionalText,
			what: text,
			times: count,
			lastAt: time,
			leftUntil: optionalTime,
		}),
	),
});

/** What the daemon says of itself, from the bytes of status.json (as latin1); or why it cannot be understood, in a few words. */
export function parseDaemonStatus(content: string): DaemonStatus | string {
	let value: unknown;
	try {
		value = JSON.parse(Buffer.from(content, "latin1").toString("utf8"));
	} catch (error) {
		return `no JSON: ${quote(messageOf(error))}`;
	}
	const version = (value as { version?: unknown } | null)?.version;
	if (version !== undefined && version !== 1)
		return `its version is ${typeof version === "number" ? version : "no number"}, this agent reads version 1`;
	const result = v.safeParse(schema, value);
	if (result.success) return result.output as DaemonStatus;
	const [issue] = result.issues;
	return quote(`${v.getDotPath(issue) ?? "all of it"}: ${issue.message}`);
}

/** Writes /run/eni-configure/status.json; throws an AgentError where it cannot be written. */
export function writeDaemonStatus(fs: FileSystem, status: DaemonStatus): void {
	// Made here as well: tmpfiles.d is not everywhere, and RuntimeDirectory= goes with the unit.
	ensureDirectory(fs, paths.runDirectory, 0o755);
	const text = `${JSON.stringify(status, undefined, "\t")}\n`;
	const content = Buffer.from(text, "utf8").toString("latin1");
	writeAtomically(fs, paths.status, { content, mode: 0o644 });
}
