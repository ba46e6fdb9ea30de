import { boot } from "../../src/commands/boot";
import { configure } from "../../src/commands/configure";
import { readOptions, type Values } from "../../src/commands/options";
import { printError } from "../../src/commands/print";
import { rollback } from "../../src/commands/rollback";
import { AgentError, messageOf } from "../../src/errors";
import type { FakeHost } from "./fake-host";
import type { Stop } from "./operations";

export type Command = "configure" | "plan" | "remove" | "rollback";

/** What --json prints, as far as tests look at it. */
export interface JsonReport {
	outcome: string;
	exitCode: number;
	recovered: boolean;
	interfaces: {
		name: string;
		mac?: string;
		primary: boolean;
		outcome: string;
		reason?: string;
		diff?: string;
		table?: number;
		addresses: string[];
		source?: string;
	}[];
	steps: {
		kind: string;
		link: string | null;
		target: string;
		summary: string;
	}[];
	findings: {
		link: string | null;
		kind: string;
		want: string;
		got: string;
		mended?: boolean;
	}[];
	notes: { link?: string; text: string }[];
	error?: string;
}

export interface Run extends JsonReport {
	/** How many operations the run did, failed ones included. */
	operations: number;
	/** Where the agent died, if it did; the report is then empty. */
	stop: Stop | undefined;
}

const nothing: JsonReport = {
	outcome: "",
	exitCode: -1,
	recovered: false,
	interfaces: [],
	steps: [],
	findings: [],
	notes: [],
};

/** Runs the agent on a fake host as the command line would, from the first operation on: `run(host, "configure", "eth1", { force: true })`. */
export async function run(
	host: FakeHost,
	command: Command,
	nics: string,
	values: Values = {},
): Promise<Run> {
	const { system, operations } = host;
	operations.reset();
	let text = "";
	const write = (more: string) => {
		text += more;
	};
	const start = async (): Promise<number> => {
		try {
			const names = nics === "" ? {} : { nics: nics.split(" ") };
			const options = readOptions(
				system.fs,
				command,
				{ json: true, ...names, ...values },
				{},
			);
			return command === "rollback"
				? await rollback(system, options, write)
				: await configure(system, command, options, write);
		} catch (error) {
			const known =
				error instanceof AgentError
					? error
					: new AgentError("internal", messageOf(error), error);
			printError(command, known, true, write, system.log);
			return known.exitCode;
		}
	};
	// Whatever the agent makes of its own death no longer counts.
	const ended = await Promise.race([operations.stopped(), start()]);
	if (typeof ended !== "number")
		return { ...nothing, operations: operations.list().length, stop: ended };
	const report: JsonReport = JSON.parse(text);
	return {
		...nothing,
		...report,
		exitCode: ended,
		operations: operations.list().length,
		stop: undefined,
	};
}

/** Runs `eni-configure boot`; undefined, in place of an exit code, where the agent died. */
export async function runBoot({
	system,
	operations,
}: FakeHost): Promise<number | undefined> {
	operations.reset();
	const ended = await Promise.race([operations.stopped(), boot(system)]);
	return typeof ended === "number" ? ended : undefined;
}
