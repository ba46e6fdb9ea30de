import { fstatSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runDaemon } from "../daemon.js";
import { AgentError, isAgentError, messageOf } from "../errors.js";
import { escapeSteering, printableLines, quote } from "../quote.js";
import { realSystem } from "../real-system.js";
import type { LogLevel, System } from "../system.js";
import { boot } from "./boot.js";
import { configure } from "./configure.js";
import { readOptions, type Values } from "./options.js";
import { printError } from "./print.js";
import { rollback } from "./rollback.js";
import { status } from "./status.js";

const priorities: Record<LogLevel, number> = {
	error: 3,
	warning: 4,
	info: 6,
	debug: 7,
};

/** Runs one subcommand in the real world and returns its exit code; errors become one line each. */
export async function runCommand(
	command:
		| "boot"
		| "configure"
		| "plan"
		| "remove"
		| "rollback"
		| "status"
		| "daemon",
	values: Values,
): Promise<number> {
	const isChanging =
		(command === "configure" && values["dry-run"] !== true) ||
		command === "remove" ||
		command === "rollback" ||
		command === "daemon";
	const system = realSystem(createLog(values, process.env), isChanging);
	try {
		// Goes by no config, flag or variable: whatever is wrong with these must not keep it from its work.
		if (command === "boot") {
			return await boot(system);
		}
		checkLogLevel(process.env.ENI_CONFIGURE_LOG_LEVEL);
		const load = () => readOptions(system.fs, command, values, process.env);
		const options = await load();
		if (!options.request.dryRun) requireRoot(system, command);
		if (command === "status") {
			return await status(system, options, writeTo(options.json));
		}
		if (command === "daemon") {
			// Else V8 takes up to 48 MiB for new objects after some busy passes, and keeps them for good.
			setFlagsFromString("--semi-space-growth-factor=1");
			return await runDaemon(system, load);
		}
		if (command === "rollback") {
			return await rollback(system, options, writeTo(options.json));
		}
		return await configure(system, command, options, writeTo(options.json));
	} catch (error) {
		const known = isAgentError(error)
			? error
			: new AgentError("internal", messageOf(error), error);
		if (!isAgentError(error))
			system.log("debug", String((error as Error).stack));
		const isJson = values.json === true;
		printError(command, known, isJson, writeTo(isJson), system.log);
		return known.exitCode;
	}
}

function checkLogLevel(level: string | undefined): void {
	const known = Object.keys(priorities);
	if (level === undefined || known.includes(level)) return;
	throw new AgentError(
		"usage",
		`ENI_CONFIGURE_LOG_LEVEL: ${quote(level)} is not one of ${known.join(", ")}`,
	);
}

function requireRoot(system: System, command: string): void {
	if (system.uid() === 0) return;
	throw new AgentError(
		"refused",
		`${command} changes the machine's network and needs root: try sudo; \`eni-configure plan\` does not`,
	);
}

// Names of NICs and files may hold what steers a terminal.
function writeTo(isJson: boolean): (text: string) => void {
	const clean = isJson ? escapeSteering : printableLines;
	return (text) => {
		process.stdout.write(clean(text));
	};
}

// Under systemd a line begins with its priority, which journald takes off again.
function createLog(
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
		for (const line of lines) process.stderr.write(`${prefix}${line}\n`);
	};
}

// systemd names the device and inode of the stream it made; stderr may have been sent elsewhere since.
// That of CentOS 7.2 (219) does not: there the child of process 1 whose stderr is a socket is a service.
function isJournalStream(stream: string | undefined, parent: number): boolean {
	try {
		const stat = fstatSync(2);
		return stream === undefined
			? parent === 1 && stat.isSocket()
			: stream === `${stat.dev}:${stat.ino}`;
	} catch {
		return false;
	}
}
