import type { FileSystem, System, WatchEvents } from "../../src/system";
import type { FakeHost } from "./fake-host-types";
import type { Metadata } from "./metadata";
import type { Operations } from "./operations";
import { type ProgramHost, runProgram } from "./programs";
import { lookUpRoute } from "./route-lookup";

/** What the agent's world is made of. */
export interface Parts {
	fs: FileSystem;
	programs: ProgramHost;
	/** The operations of the agent's process. */
	operations: Operations;
	metadata: Metadata;
	/** Links on which nobody answers ARP. */
	silent: Set<string>;
	templates: string;
	/** Other processes by pid. */
	processes: FakeHost["processes"];
	log: System["log"];
	signals: Signals;
}

/** What reaches a daemon from outside. */
export interface Signals {
	stop: string | undefined;
	hangup: () => void;
	/** Monitors that run. */
	watchers: Set<WatchEvents>;
	/** How many were started. */
	started: number;
}

/** The agent's System over a fake host. */
export function createSystem({
	fs,
	programs,
	operations,
	metadata,
	silent,
	templates,
	processes,
	log,
	signals,
}: Parts): System {
	const { clock } = programs;

	// After the agent's death nothing of it goes on: its promises stay open for ever.
	function whileAlive<T>(work: () => T | Promise<T>): Promise<T> {
		return new Promise((resolve, reject) => {
			if (operations.isStopped()) return;
			Promise.resolve()
				.then(work)
				.then(
					(value) => !operations.isStopped() && resolve(value),
					(error) => !operations.isStopped() && reject(error),
				);
		});
	}

	// A datagram makes the kernel ask for the next hop on the link that the packet leaves by.
	function nudge(from: string, to: string): void {
		const { kernel } = programs;
		if (
			!kernel.links.some((link) => link.addresses.some(({ ip }) => ip === from))
		)
			return;
		const route = lookUpRoute(kernel, { to, from });
		if (route?.type === "unicast" && route.dev)
			kernel.neighbours.set(
				`${route.via ?? to} ${route.dev}`,
				!silent.has(route.dev),
			);
	}

	return {
		fs,
		run: (argv, options) =>
			whileAlive(() => runProgram(programs, argv, options)),
		kill: (pid) => {
			processes.delete(pid);
			if (programs.lock && "pid" in programs.lock && programs.lock.pid === pid)
				programs.lock = undefined;
		},
		http: (url, limits) =>
			whileAlive(async () => {
				if (!lookUpRoute(programs.kernel, { to: "169.254.0.23" }))
					return { kind: "failed", reason: "ENETUNREACH", reset: false };
				const answer = metadata.get(url);
				if (answer === "hang") {
					await clock.sleep(limits.timeoutMs);
					const reason = `no complete answer within ${limits.timeoutMs} ms`;
					return { kind: "failed", reason, reset: false };
				}
				return answer.kind === "response" &&
					answer.body.length > limits.maxBytes
					? { kind: "too-large" }
					: answer;
			}),
		nudge: (from, to) => whileAlive(() => nudge(from, to)),
		clock: {
			nowMs: clock.nowMs,
			// A morning in 2026 plus the time that has passed.
			wallMs: () => 1_790_000_000_000 + clock.nowMs(),
			sleep: (ms, wake) => whileAlive(() => clock.sleep(ms, wake)),
			random: clock.random,
		},
		log,
		uid: () => 0,
		stopSignal: () => signals.stop,
		onHangup: (callback) => {
			signals.hangup = callback;
		},
		watch: (_argv, _env, on) => {
			signals.watchers.add(on);
			signals.started += 1;
			return { stop: () => signals.watchers.delete(on) };
		},
		templates,
	};
}
