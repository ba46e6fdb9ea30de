import type { ExecaChildProcess } from "execa";
import { expect } from "vitest";
import type { DaemonStatus } from "../../src/model.js";
import type { AgentOptions } from "./guest";
import type { Sandbox } from "./sandbox";

/** A daemon that runs in a sandbox, and what it says. */
export interface Daemon {
	child: ExecaChildProcess;
	/** The lines of its log so far. */
	log(): string[];
	/** Waits until a line matches, counted from `from`; fails with the log when none comes. */
	line(pattern: RegExp, timeoutMs?: number, from?: number): Promise<string>;
	/** /run/eni-configure/status.json. */
	status(): Promise<DaemonStatus>;
	/** SIGTERM, or another signal; its exit code, -1 when a signal ended it. */
	stop(signal?: NodeJS.Signals): Promise<number>;
}

/** Starts `eni-configure daemon`; it is ended with the sandbox at the latest. */
export async function startDaemon(
	sandbox: Sandbox,
	args: string[] = [],
	options: AgentOptions = {},
): Promise<Daemon> {
	const child = sandbox.spawnAgent(["daemon", ...args], options);
	let text = "";
	child.stderr?.on("data", (more: Buffer) => {
		text += more.toString();
	});
	const log = () => text.split("\n").filter(Boolean);
	async function line(pattern: RegExp, timeoutMs = 15_000, from = 0) {
		const limit = Date.now() + timeoutMs;
		for (;;) {
			const found = log()
				.slice(from)
				.find((one) => pattern.test(one));
			if (found !== undefined) return found;
			if (Date.now() > limit || child.exitCode !== null)
				throw new Error(`no line like ${pattern} in\n${text}`);
			await sleep(5);
		}
	}
	await line(/watching for NICs|runs already|:/);
	return {
		child,
		log,
		line,
		status: async () =>
			JSON.parse(await sandbox.read("/run/eni-configure/status.json")),
		stop: async (signal = "SIGTERM") => {
			child.kill(signal);
			const { exitCode } = await child;
			return exitCode ?? -1;
		},
	};
}

export function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until a condition holds; fails with what is said of it. */
export async function until(
	what: string,
	condition: () => Promise<boolean> | boolean,
	timeoutMs = 15_000,
): Promise<void> {
	const limit = Date.now() + timeoutMs;
	while (!(await condition())) {
		if (Date.now() > limit) expect.fail(`not within ${timeoutMs} ms: ${what}`);
		await sleep(20);
	}
}
