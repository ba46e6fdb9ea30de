import { setFlagsFromString } from "node:v8";
import type { Lock } from "../apply/lock.js";
import { openStateDirectory } from "../apply/state-directory.js";
import { runDaemon } from "../daemon.js";
import { AgentError, isAgentError, messageOf } from "../errors.js";
import type { Command } from "../plain-words.js";
import { escapeSteering, printableLines } from "../quote.js";
import { realSystem } from "../real-system.js";
import type { System } from "../system.js";
import { recordSystem } from "../trace/record.js";
import { writeTrace } from "../trace/trace.js";
import { boot } from "./boot.js";
import { configure } from "./configure.js";
import { checkLogLevel, createLog } from "./log.js";
import { readOptions, type Values } from "./options.js";
import { printError } from "./print.js";
import { rollback } from "./rollback.js";
import { status } from "./status.js";

/** A `configure` that has begun: it may hold the lock. */
export interface Begun {
	system: System;
	/** What its trace is found by, see keyOf(). */
	key: string;
	lock?: Lock;
}

/** Runs one subcommand in the real world and returns its exit code; errors become one line each. */
export async function runCommand(
	command: Command,
	values: Values,
	begun?: Begun,
): Promise<number> {
	const isChanging =
		(command === "configure" && values["dry-run"] !== true) ||
		command === "remove" ||
		command === "rollback" ||
		command === "daemon";
	const { execa } =
		command === "daemon" ? await import("execa") : { execa: undefined };
	const real =
		begun?.system ??
		realSystem(createLog(values, process.env), isChanging, execa);
	// What is printed with --json and --verbose differs each time.
	const isRepeatable =
		begun !== undefined &&
		!["json", "verbose", "dry-run"].some((name) => values[name] === true);
	const recorder = isRepeatable ? recordSystem(real) : undefined;
	const system = recorder?.system ?? real;
	try {
		// Goes by no config, flag or variable: whatever is wrong with these must not keep it from its work.
		if (command === "boot") return await boot(system);
		checkLogLevel(process.env.ENI_CONFIGURE_LOG_LEVEL);
		const load = () => readOptions(system.fs, command, values, process.env);
		const options = await load();
		if (!options.request.dryRun) requireRoot(system, command);
		const write = writeTo(options.json);
		if (command === "status") return await status(system, options, write);
		if (command === "daemon") {
			// V8 would take up to 48 MiB for new objects after some busy passes, and keep them for good. What the first
			// second needs is enough for every pass, and with less of it V8 has to clear up in the middle of each.
			setTimeout(growNoMore, 1000).unref();
			// The compilers that make code faster take 8 MiB, and nothing here runs long enough to be worth it.
			setFlagsFromString("--no-opt");
			setFlagsFromString("--no-sparkplug");
			// What a NIC needs that comes after days of rest is then still compiled.
			setFlagsFromString("--no-flush-bytecode");
			return await runDaemon(system, load);
		}
		if (command === "rollback") return await rollback(system, options, write);
		// Who took the lock has not looked.
		if (begun?.lock) openStateDirectory(system.fs);
		const exitCode = await configure(
			system,
			command,
			options,
			write,
			begun?.lock,
		);
		const recorded = exitCode === 0 ? recorder?.recorded() : undefined;
		if (begun && recorded) writeTrace(real.fs, begun.key, recorded);
		return exitCode;
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

function growNoMore(): void {
	setFlagsFromString("--semi-space-growth-factor=1");
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
