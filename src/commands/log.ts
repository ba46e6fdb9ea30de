import { fstatSync, writeSync } from "node:fs";
import { AgentError } from "../errors.js";
import { errorCode } from "../files.js";
import { printableLines, quote } from "../quote.js";
import type { LogLevel } from "../system.js";
import type { Values } from "./options.js";

const priorities: Record<LogLevel, number> = {
	error: 3,
	warning: 4,
	info: 6,
	debug: 7,
};

/** Throws an AgentError of kind `usage` where ENI_CONFIGURE_LOG_LEVEL names no level. */
export function checkLogLevel(level: string | undefined): void {
	const known = Object.keys(priorities);
	if (level === undefined || known.includes(level)) return;
	throw new AgentError(
		"usage",
		`ENI_CONFIGURE_LOG_LEVEL: ${quote(level)} is not one of ${known.join(", ")}`,
	);
}

/** Writes lines to stderr, as many as was asked for; under systemd each with its priority, which journald takes off again. */
export function createLog(
	values: Values,
	env: NodeJS.ProcessEnv,
): (level: LogLevel, message: string) => void {
	const wanted =
		values.verbose === true
			? "debug"
			: values.quiet === true
				? "error"
				: (env.ENI_CONFIGURE_LOG_LEVEL ?? "info");
	const limit = priorities[wanted as LogLevel];
	const isJournal = isJournalStream(env.JOURNAL_STREAM, process.ppid);
	return (level, message) => {
		if (priorities[level] > (limit ?? priorities.info)) return;
		const prefix = isJournal ? `<${priorities[level]}>` : "eni-configure: ";
		const text = printableLines(message);
		const lines = isJournal ? text.split("\n") : [text];
		writeToStderr(lines.map((line) => `${prefix}${line}\n`).join(""));
	};
}

let isQueued = false;

// At once, which Node's own stream does as well, but takes a millisecond to be made. A pipe that is full and does not wait
// (Node makes it so, or whoever has it, too) is left to that stream, and all that follows, so that it stays in order.
// Nobody may be left to read it: no reason to end a run half-way.
function writeToStderr(text: string): void {
	let rest = Buffer.from(text);
	try {
		while (rest.length > 0 && !isQueued)
			rest = rest.subarray(writeSync(2, rest));
	} catch (error) {
		if (errorCode(error) !== "EAGAIN") return;
		isQueued = true;
		process.stderr.on("error", () => {});
	}
	if (isQueued) process.stderr.write(rest);
}

// systemd names the device and inode of the stream it made; stderr may have been sent elsewhere since.
// That of CentOS 7.2 (219) does not: there the child of process 1 whose stderr is a socket is a service.
function isJournalStream(stream: string | undefined, parent: number): boolean {
	if (stream === undefined && parent !== 1) return false;
	try {
		const stat = fstatSync(2);
		return stream === undefined
			? stat.isSocket()
			: stream === `${stat.dev}:${stat.ino}`;
	} catch {
		return false;
	}
}
