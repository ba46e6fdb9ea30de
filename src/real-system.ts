import { type ChildProcess, spawn } from "node:child_process";
import {
	closeSync,
	fchmodSync,
	fchownSync,
	fstatSync,
	fsyncSync,
	lstatSync,
	mkdirSync,
	openSync,
	readdirSync,
	readlinkSync,
	readSync,
	renameSync,
	unlinkSync,
	writeSync,
} from "node:fs";
import type { Agent } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { execa as Execa } from "execa";
import { messageOf } from "./errors.js";
import {
	type HttpResult,
	type LogLevel,
	limitVariable,
	type RunOptions,
	type RunResult,
	type System,
	type WatchEvents,
	type Watcher,
} from "./system.js";

// Cap on what a child may print; a full routing table of a busy node stays well below.
const maxOutputBytes = 32 * 1024 * 1024;

/**
 * The real world: the kernel's files, child processes, HTTP and the monotonic clock. With
 * holdSignals, SIGINT and SIGTERM end a run in good order instead of at once. Who wants to watch a
 * program hands in execa.
 */
export function realSystem(
	log: (level: LogLevel, message: string) => void,
	holdSignals: boolean,
	execa?: typeof Execa,
): System {
	const sleepers = new Set<() => void>();
	let stopSignal: string | undefined;
	// A session that goes away (a network that changes does that) ends no run half-way: it goes on to its end.
	let onHangup = () => {};
	if (holdSignals) process.on("SIGHUP", () => onHangup());
	for (const name of holdSignals ? (["SIGINT", "SIGTERM"] as const) : []) {
		process.on(name, () => {
			if (stopSignal === undefined)
				log("warning", `${name}: ending in good order`);
			stopSignal = name;
			for (const wake of sleepers) wake();
		});
	}
	// A resolver that hangs would hold the process long after the request was given up: 12 s, measured.
	process.env.RES_OPTIONS ??= "timeout:1 attempts:1";
	let agent: Agent | undefined;
	return {
		fs: files,
		run,
		watch: (argv, env, on) => {
			if (!execa) throw new Error("watch: execa has not been handed in");
			return watch(execa, argv, env, on);
		},
		kill,
		// Loaded where something is asked: most runs that have nothing to do need none of it.
		http: async (url, limits) => {
			const http = await import("node:http");
			agent ??= new http.Agent({ keepAlive: true, maxSockets: 64 });
			return get(http.get, agent, url, limits);
		},
		nudge,
		clock: {
			nowMs,
			wallMs: Date.now,
			// A signal ends every wait; who waits asks stopSignal() afterwards.
			sleep: (ms, wake) =>
				new Promise((resolve) => {
					if (stopSignal !== undefined || wake?.aborted) return resolve();
					const end = () => {
						clearTimeout(timer);
						sleepers.delete(end);
						wake?.removeEventListener("abort", end);
						resolve();
					};
					const timer = setTimeout(end, ms);
					sleepers.add(end);
					wake?.addEventListener("abort", end);
				}),
			random: Math.random,
		},
		log,
		stopSignal: () => stopSignal,
		onHangup: (callback) => {
			onHangup = callback;
		},
		uid: () => process.getuid?.() ?? -1,
		templates: join(__dirname, "templates"),
	};
}

// By name: each use of a namespace that stands for a CommonJS module takes a detour.
const files: System["fs"] = {
	openSync,
	readSync,
	writeSync,
	fsyncSync,
	fchmodSync,
	fchownSync,
	closeSync,
	renameSync,
	unlinkSync,
	mkdirSync,
	readdirSync,
	lstatSync,
	readlinkSync,
	fstatSync,
};

async function run(
	argv: string[],
	options: RunOptions = {},
): Promise<RunResult> {
	const [file = "", ...args] = argv;
	// Whole milliseconds: Node refuses to start a child with any other limit.
	const timeoutMs = Math.ceil(options.timeoutMs ?? 30_000);
	const isChanging = (options.inherit ?? []).length > 0;
	// Without execa, which takes as long to load as a pass needs. What ifup leaves behind (the late ARP update)
	// holds the pipes open: their end is not waited for.
	let child: ChildProcess;
	try {
		child = spawn(file, args, {
			env: {
				...process.env,
				...childEnvironment(),
				...(isChanging
					? { [limitVariable]: String(Math.ceil(nowMs()) + timeoutMs) }
					: {}),
			},
			stdio: [
				options.input === undefined ? "ignore" : "pipe",
				"pipe",
				options.isMute ? "ignore" : "pipe",
				...(options.inherit ?? []),
			],
			// A group of its own: what it has started is ended with it when its time is up, and a
			// terminal's Ctrl-C or hang-up lets the running step end.
			detached: isChanging,
		});
	} catch (error) {
		return { exitCode: 127, stdout: "", stderr: messageOf(error) };
	}
	let isTimedOut = false;
	const timer = setTimeout(() => {
		isTimedOut = true;
		if (child.pid !== undefined) kill(isChanging ? -child.pid : child.pid);
	}, timeoutMs);
	if (options.onOutput) child.stdout?.once("data", options.onOutput);
	const stdout = collect(child.stdout);
	const stderr = collect(child.stderr);
	const ended = new Promise<number>((resolve) => {
		child.once("exit", (code) => resolve(code ?? 128));
		child.once("error", () => resolve(127));
	});
	// A child that ends without reading its input is judged by its exit code, not by the broken pipe.
	child.stdin?.on("error", () => {});
	child.stdin?.end(options.input);
	const exitCode = await ended;
	clearTimeout(timer);
	const [out, err] = await Promise.all([stdout.text(), stderr.text()]);
	if (isTimedOut) {
		return {
			exitCode: 124,
			stdout: out,
			stderr: `${file} did not end within ${timeoutMs} ms`,
		};
	}
	// Half of an answer would be taken for all of it.
	if (stdout.isCut() || stderr.isCut()) {
		return {
			exitCode: 125,
			stdout: "",
			stderr: `${file} printed more than ${maxOutputBytes} bytes`,
		};
	}
	return {
		exitCode,
		stdout: out,
		stderr: exitCode === 127 && err === "" ? `${file} cannot be started` : err,
	};
}

// Longer than any line of `ip monitor`; what has no line ends is no output of its.
const maxLine = 64 * 1024;
// A container that comes or goes is a dozen lines: of many at once what follows is gathered. A NIC that appears says so
// in a few, and somebody is waiting for it.
const gatherMs = 50;
const freeChunks = 4;
const freeForMs = 1000;

function watch(
	execa: typeof Execa,
	argv: string[],
	env: Record<string, string>,
	on: WatchEvents,
): Watcher {
	let isOver = false;
	const end = (reason: string) => {
		if (!isOver) on.end(reason);
		isOver = true;
	};
	const [file = "", ...args] = argv;
	const child = execa(file, args, {
		env: { ...childEnvironment(), ...env },
		stdio: ["ignore", "pipe", "pipe"],
		buffer: false,
		reject: false,
		cleanup: false,
	});
	for (const stream of [child.stdout, child.stderr])
		if (stream)
			readLines(stream, (line) => {
				if (!isOver) on.line(line);
			});
	// One that cannot be started says so here alone.
	void child.then(
		(result) =>
			end(
				"shortMessage" in result && result.exitCode === undefined
					? String(result.shortMessage).split("\n", 1).join()
					: `ended with ${result.signal ?? result.exitCode}`,
			),
		(error) => end(messageOf(error)),
	);
	return {
		stop: () => {
			isOver = true;
			child.kill("SIGKILL");
		},
	};
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
	let rest = "";
	let [chunks, sinceMs] = [0, 0];
	stream.setEncoding("utf8");
	stream.on("data", (text: string) => {
		const lines = (rest + text).split("\n");
		rest = (lines.pop() ?? "").slice(0, maxLine);
		if (nowMs() - sinceMs > freeForMs) [chunks, sinceMs] = [0, nowMs()];
		chunks += 1;
		if (chunks > freeChunks) {
			// A wake-up for every line costs more than the lines.
			stream.pause();
			setTimeout(() => stream.resume(), gatherMs);
		}
		for (const line of lines) onLine(line);
	});
	stream.on("error", () => {});
}

function childEnvironment(): Record<string, string> {
	return {
		LC_ALL: "C",
		PATH: `${process.env.PATH ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin`,
	};
}

// CLOCK_MONOTONIC: one clock for every process of a boot.
function nowMs(): number {
	return Number(process.hrtime.bigint() / 1000n) / 1000;
}

function kill(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}

function collect(stream: NodeJS.ReadableStream | null): {
	text: () => Promise<string>;
	isCut: () => boolean;
} {
	const chunks: Buffer[] = [];
	let size = 0;
	const ended = new Promise<void>((resolve) => {
		if (!stream) return resolve();
		stream.on("data", (chunk: Buffer) => {
			size += chunk.length;
			if (size <= maxOutputBytes) chunks.push(chunk);
		});
		stream.once("end", resolve);
		stream.once("error", () => resolve());
	});
	return {
		isCut: () => size > maxOutputBytes,
		// The process has ended; a pipe that is still open belongs to somebody it left behind.
		text: async () => {
			let timer: NodeJS.Timeout | undefined;
			const grace = new Promise<void>((resolve) => {
				timer = setTimeout(resolve, 250);
			});
			await Promise.race([ended, grace]);
			clearTimeout(timer);
			(stream as { destroy?: () => void } | null)?.destroy?.();
			return Buffer.concat(chunks).toString("utf8");
		},
	};
}

function get(
	httpGet: typeof import("node:http").get,
	agent: Agent,
	url: string,
	limits: { timeoutMs: number; maxBytes: number },
): Promise<HttpResult> {
	return new Promise((resolve) => {
		let reused = false;
		const request = httpGet(url, { agent }, (response) => {
			const chunks: Buffer[] = [];
			let size = 0;
			response.on("data", (chunk: Buffer) => {
				size += chunk.length;
				if (size > limits.maxBytes) return done({ kind: "too-large" });
				chunks.push(chunk);
			});
			response.on("end", () => {
				if (!response.complete) return fail(new Error("the body was cut off"));
				done({
					kind: "response",
					status: response.statusCode ?? 0,
					body: Buffer.concat(chunks),
				});
			});
			response.on("aborted", () => fail(new Error("the body was cut off")));
			response.on("error", fail);
		});
		// A limit on the whole request: a socket time-out alone would let a drip-fed body go on for ever.
		const timer = setTimeout(
			() => fail(new Error(`no complete answer within ${limits.timeoutMs} ms`)),
			limits.timeoutMs,
		);
		request.on("socket", () => {
			reused = request.reusedSocket;
		});
		request.on("error", fail);
		function fail(error: Error): void {
			const code = (error as NodeJS.ErrnoException).code;
			done({
				kind: "failed",
				reason: messageOf(error),
				reset: reused && (code === "ECONNRESET" || code === "EPIPE"),
			});
		}
		function done(result: HttpResult): void {
			clearTimeout(timer);
			resolve(result);
			if (result.kind !== "response") request.destroy();
		}
	});
}

async function nudge(from: string, to: string): Promise<void> {
	const { createSocket } = await import("node:dgram");
	return new Promise((resolve) => {
		const socket = createSocket("udp4");
		const finish = () => socket.close(() => resolve());
		socket.once("error", finish);
		socket.bind({ address: from, port: 0, exclusive: true }, () => {
			// The discard port: nobody need answer, the neighbour is resolved before it leaves.
			socket.send("", 9, to, finish);
		});
	});
}
