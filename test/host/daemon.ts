import { onTestFinished } from "vitest";
import { readOptions, type Values } from "../../src/commands/options";
import { runDaemon } from "../../src/daemon";
import { isAgentError } from "../../src/errors";
import type { DaemonStatus } from "../../src/model";
import type { FakeHost } from "./fake-host";

/** A daemon that runs on a fake host, and what is seen of it from outside. */
export interface Daemon {
	/** Lets so much of the host's time pass. */
	sleep(seconds: number): Promise<void>;
	/** Lets time pass until a condition holds; fails with the log after so many seconds. Returns the milliseconds it took. */
	until(condition: () => boolean, limitSeconds?: number): Promise<number>;
	/** Lines above debug that it has logged, as `level: text`. */
	log(): string[];
	/** The same from now on: what was logged before is forgotten. */
	forget(): void;
	/** What each pass was for, since forget(). */
	passes(): string[];
	/** /run/eni-configure/status.json. */
	status(): DaemonStatus;
	/** A line of the monitor. */
	hear(line: string): void;
	/** SIGHUP. */
	hangUp(): void;
	/** SIGTERM, or another; its exit code. */
	stop(signal?: string): Promise<number>;
	/** Its exit code, once it has ended by itself or by an error. */
	ended(): number | undefined;
}

/** Starts `eni-configure daemon` and lets it make its first pass. */
export async function startDaemon(
	host: FakeHost,
	values: Values = {},
): Promise<Daemon> {
	const { system, clock, signals } = host;
	let from = host.log.length;
	let exitCode: number | undefined;
	signals.stop = undefined;
	// Else it would go on, and the host's time with it, for as long as the test run.
	onTestFinished(() => host.endProcess());
	const load = async () => {
		const options = await readOptions(system.fs, "daemon", values, {});
		const { request, settings, lockTimeoutMs } = options;
		return { request, settings, lockTimeoutMs };
	};
	const running = runDaemon(system, load)
		.catch((error) => {
			if (!isAgentError(error)) throw error;
			system.log("error", error.message);
			return error.exitCode;
		})
		.then((code) => {
			exitCode = code;
			return code;
		});
	// A crash of the daemon itself fails whoever waits for it, and not the whole test run.
	running.catch(() => {});
	const said = () => host.log.slice(from);
	const log = () =>
		said()
			.filter(({ level }) => level !== "debug")
			.map(({ level, message }) => `${level}: ${message}`);
	const daemon: Daemon = {
		sleep: async (seconds) => {
			await Promise.race([clock.sleep(seconds * 1000), crashOf(running)]);
		},
		until: async (condition, limitSeconds = 60) => {
			const start = clock.nowMs();
			while (!condition()) {
				if (clock.nowMs() - start > limitSeconds * 1000)
					throw new Error(
						`not within ${limitSeconds} s:\n${log().join("\n")}\n${JSON.stringify(daemon.status(), undefined, 1)}`,
					);
				await Promise.race([clock.sleep(10), crashOf(running)]);
			}
			return clock.nowMs() - start;
		},
		log,
		forget: () => {
			from = host.log.length;
		},
		passes: () =>
			said().flatMap(
				({ message }) => /^looking: (.*)/.exec(message)?.[1] ?? [],
			),
		status: () =>
			JSON.parse(host.read("/run/eni-configure/status.json")?.content ?? "{}"),
		hear: (line) => {
			for (const watcher of signals.watchers) watcher.line(line);
		},
		hangUp: () => signals.hangup(),
		stop: async (signal = "SIGTERM") => {
			signals.stop = signal;
			clock.wakeAll();
			const code = await running;
			signals.stop = undefined;
			return code;
		},
		ended: () => exitCode,
	};
	await daemon.until(
		() => daemon.passes().length > 0 || exitCode !== undefined,
	);
	// The pass itself takes its time.
	await daemon.sleep(2);
	return daemon;
}

function crashOf(running: Promise<number>): Promise<never> {
	return new Promise((_, reject) => {
		running.catch(reject);
	});
}
