import type * as nodeFs from "node:fs";

/** The part of node:fs the agent uses; memfs offers the same. */
export type FileSystem = Pick<
	typeof nodeFs,
	| "openSync"
	| "readSync"
	| "writeSync"
	| "fsyncSync"
	| "fchmodSync"
	| "fchownSync"
	| "closeSync"
	| "renameSync"
	| "unlinkSync"
	| "mkdirSync"
	| "readdirSync"
	| "lstatSync"
	| "readlinkSync"
	| "fstatSync"
>;

export interface RunResult {
	exitCode: number;
	stdout: string;
	stderr: string;
}

export interface RunOptions {
	input?: string;
	timeoutMs?: number;
	/** Descriptors the child inherits as 3, 4 and so on: the lock, so that it outlives the agent. */
	inherit?: number[];
	/** What it says on stderr is of no interest. */
	isMute?: boolean;
	/** Called once, when it has printed something. */
	onOutput?: () => void;
}

export interface WatchEvents {
	/** A whole line of either stream, without its end. */
	line(text: string): void;
	/** Once, when it has ended or could not be started. */
	end(reason: string): void;
}

export interface Watcher {
	/** Ends it at once; `end` is not called any more. */
	stop(): void;
}

export type HttpResult =
	| { kind: "response"; status: number; body: Uint8Array }
	| { kind: "too-large" }
	| { kind: "failed"; reason: string; reset: boolean };

export type LogLevel = "error" | "warning" | "info" | "debug";

/** In the environment of a child that holds the lock: when it is ended at the latest, in milliseconds since the boot. */
export const limitVariable = "ENI_CONFIGURE_CHILD_LIMIT_MS";

/** The world, handed in. Tests hand in another one. */
export interface System {
	fs: FileSystem;
	/** Runs a program to its end; a program that cannot be started gives exit code 127. */
	run(argv: string[], options?: RunOptions): Promise<RunResult>;
	/** Starts a program that is to run until it is stopped. */
	watch(argv: string[], env: Record<string, string>, on: WatchEvents): Watcher;
	/** Ends a process at once (SIGKILL); one that is gone already is fine. */
	kill(pid: number): void;
	/** One GET without redirects or proxy; never throws. */
	http(
		url: string,
		limits: { timeoutMs: number; maxBytes: number },
	): Promise<HttpResult>;
	/** Sends one empty UDP datagram to port 9 from a local address, so that the neighbour gets resolved. */
	nudge(from: string, to: string): Promise<void>;
	clock: {
		/** Milliseconds since the boot, for every process the same; they only ever grow. */
		nowMs(): number;
		/** Milliseconds since 1970: for what people read, never to measure with. */
		wallMs(): number;
		/** Ends early when the agent is asked to stop, or by `wake`. */
		sleep(ms: number, wake?: AbortSignal): Promise<void>;
		/** Uniform in [0, 1). */
		random(): number;
	};
	log(level: LogLevel, message: string): void;
	uid(): number;
	/** The signal that asked for the end, if one did: no new step starts, what was done is rolled back. */
	stopSignal(): string | undefined;
	/** Calls back at each SIGHUP from now on. */
	onHangup(callback: () => void): void;
	/** The directory with the templates that came with the agent. */
	templates: string;
}
