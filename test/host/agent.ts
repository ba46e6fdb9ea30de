import { boot } from "../../src/commands/boot";
import { configure } from "../../src/commands/configure";
import { readOptions, type Values } from "../../src/commands/options";
import { printError } from "../../src/commands/print";
import { rollback } from "../../src/commands/rollback";
import { AgentError, messageOf } from "../../src/errors";
import { observeLinks } from "../../src/observe/links";
import { fetchCloud } from "../../src/observe/metadata";
import { reconcile } from "../../src/reconcile";
import type { Report } from "../../src/report";
import { readState } from "../../src/state";
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

/** One pass of a daemon, which has seen what is and has asked; `settled` as if the answer had stayed the same. */
export async function pass(host: FakeHost, isSettled = false): Promise<Run> {
	const { system, operations } = host;
	operations.reset();
	const { request, settings, lockTimeoutMs } = await readOptions(
		system.fs,
		"daemon",
		{},
		{},
	);
	const start = async (): Promise<Run | number> => {
		const macs = observeLinks(system.fs).map(({ mac }) => mac);
		const cloud = await fetchCloud(
			system,
			settings.metadataUrls,
			readState(system),
			{ macs, primaryAddresses: true, publicIps: false },
		);
		const daemon = {
			cloud,
			settled: isSettled ? macs : [],
			present: macs,
			gone: [],
			left: [],
		};
		try {
			const report = await reconcile(
				system,
				{ ...request, daemon },
				settings,
				lockTimeoutMs,
			);
			return { ...nothing, ...asJson(report), operations: 0, stop: undefined };
		} catch (error) {
			if (!(error instanceof AgentError)) throw error;
			return error.exitCode;
		}
	};
	const ended = await Promise.race([operations.stopped(), start()]);
	const done = { operations: operations.list().length, stop: undefined };
	if (typeof ended === "number")
		return { ...nothing, ...done, exitCode: ended };
	return "outcome" in ended
		? { ...ended, ...done }
		: { ...nothing, ...done, stop: ended };
}

function asJson(report: Report): JsonReport {
	const { outcome, exitCode, recovered, error } = report;
	return {
		...nothing,
		outcome,
		exitCode,
		recovered,
		...(error === undefined ? {} : { error }),
	};
}

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
			const options = await readOptions(
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
