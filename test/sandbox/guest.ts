import { promises as fs, type Stats } from "node:fs";
import { dirname } from "node:path";
import type { ExecaChildProcess, Options } from "execa";
import type { Namespaces } from "./namespaces";
import { agentBundle } from "./paths";

export interface RunOptions {
	input?: string;
	/** On top of the guest's own PATH, HOME and LANG; nothing of the caller's environment. */
	env?: Record<string, string>;
	/** 60 s by default; what runs longer is killed. */
	timeoutMs?: number;
}

export interface AgentOptions extends RunOptions {
	/** Another Node than the one running this. */
	node?: string;
	/** Flags for Node itself: `-r`, `count.cjs`. */
	nodeFlags?: string[];
	/** Another bundle than dist/eni-configure.cjs. */
	bundle?: string;
}

export interface RunResult {
	stdout: string;
	stderr: string;
	/** -1 when a signal or the time-out ended it. */
	exitCode: number;
}

export interface AgentResult extends RunResult {
	/** stdout as JSON; throws with both outputs in the message when it is none. */
	json<Value = unknown>(): Value;
}

/** One call of a stand-in: `ifup eth1`. */
export interface Call {
	timeMs: number;
	argv: string[];
}

export interface Guest {
	/** Runs a command as the guest's root, the stand-ins first in PATH. Never rejects for an exit code. */
	guest(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
	/** Runs the agent's bundle in the guest. */
	agent(args: readonly string[], options?: AgentOptions): Promise<AgentResult>;
	/** Starts the agent and returns the child itself (its pid is the agent's). Ended by close(). */
	spawnAgent(
		args: readonly string[],
		options?: AgentOptions,
	): ExecaChildProcess;
	/** Starts a command as the guest's root and returns the child. Ended by close(). */
	spawn(argv: readonly string[], options?: RunOptions): ExecaChildProcess;
	/**
	 * Runs a command in the guest as uid 65534 without capabilities. In an ordinary user's sandbox,
	 * which has one uid only, root's files are still that user's own.
	 */
	asNobody(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
	/** `ip` in the guest: its stdout. Rejects when it fails. */
	ip(...args: string[]): Promise<string>;
	read(path: string): Promise<string>;
	/** Also makes the folders above. */
	write(path: string, data: string, mode?: number): Promise<void>;
	remove(path: string): Promise<void>;
	/** Of the file itself when it is a symbolic link. */
	stat(path: string): Promise<Stats>;
	exists(path: string): Promise<boolean>;
	list(folder: string): Promise<string[]>;
	/** A value below /proc/sys/net/ipv4: `conf/all/rp_filter`. */
	sysctl(key: string, value?: string | number): Promise<string>;
	/**
	 * Switches on a fault of the stand-ins (see network-scripts/): `ifup-fails`, `ifup-fails@eth1`
	 * for one NIC, `ifup-fails.once` for one call.
	 */
	fault(name: string, value?: string): Promise<void>;
	/** Switches off one fault, or all of them. */
	clearFaults(name?: string): Promise<void>;
	/** What the stand-ins were called with, in order; of one stand-in when named. */
	calls(name?: string): Promise<Call[]>;
	clearCalls(): Promise<void>;
}

const defaultTimeoutMs = 60_000;
const environment = {
	PATH: "/etc/sandbox/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	HOME: "/root",
	LANG: "C.UTF-8",
};
const faults = "/run/sandbox/faults";
const callsLog = "/run/sandbox/calls.log";

/** The guest's commands and files. Its files are reached through the holder's /proc/PID/root. */
export function openGuest({ guest: where, enter }: Namespaces): Guest {
	function start(argv: readonly string[], options: RunOptions = {}) {
		const execaOptions: Options = {
			env: { ...environment, ...options.env },
			extendEnv: false,
			// Not an empty input: a command that ends before it is written would fail with EPIPE.
			...(options.input === undefined
				? { stdin: "ignore" }
				: { input: options.input }),
			reject: false,
			stripFinalNewline: false,
			timeout: options.timeoutMs ?? defaultTimeoutMs,
			killSignal: "SIGKILL",
		};
		return enter(where, argv, execaOptions);
	}

	async function guest(argv: readonly string[], options?: RunOptions) {
		const { stdout, stderr, exitCode } = await start(argv, options);
		return { stdout, stderr, exitCode: exitCode ?? -1 };
	}

	function agentWords(args: readonly string[], options: AgentOptions) {
		const { node = process.execPath, bundle = agentBundle } = options;
		return [node, ...(options.nodeFlags ?? []), bundle, ...args];
	}

	async function agent(args: readonly string[], options: AgentOptions = {}) {
		const result = await guest(agentWords(args, options), options);
		return { ...result, json: <Value>() => parse(result) as Value };
	}

	async function calls(name?: string) {
		const lines = (await read(callsLog)).split("\n").filter(Boolean);
		const all = lines.map((line) => {
			const [seconds, ...argv] = line.split("\t");
			return { timeMs: Number(seconds) * 1000, argv };
		});
		return all.filter(({ argv }) => !name || argv[0] === name);
	}

	async function write(path: string, data: string, mode?: number) {
		await fs.mkdir(dirname(outside(path)), { recursive: true });
		await fs.writeFile(outside(path), data);
		if (mode !== undefined) await fs.chmod(outside(path), mode);
	}

	const nobody =
		process.getuid?.() === 0
			? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
			: // A user namespace without any mapping: everybody in it is nobody.
				["unshare", "-U"];
	/** An absolute path of the guest, for us. Links in it are followed to our own files: avoid them. */
	const outside = (path: string) =>
		`/proc/${where.pid}/root${path.replace(/^\/var\/run\//, "/run/")}`;
	const read = (path: string) => fs.readFile(outside(path), "utf8");
	const remove = (path: string) =>
		fs.rm(outside(path), { recursive: true, force: true });

	return {
		guest,
		agent,
		spawn: (argv, options) => start(argv, { timeoutMs: 0, ...options }),
		spawnAgent: (args, options = {}) =>
			start(agentWords(args, options), { timeoutMs: 0, ...options }),
		asNobody: (argv, options) => guest([...nobody, ...argv], options),
		async ip(...args) {
			const result = await guest(["ip", ...args]);
			if (result.exitCode === 0) return result.stdout;
			throw new Error(`ip ${args.join(" ")}: ${result.stderr}`);
		},
		read,
		write,
		remove,
		stat: (path) => fs.lstat(outside(path)),
		exists: (path) =>
			fs.lstat(outside(path)).then(
				() => true,
				() => false,
			),
		list: (folder) => fs.readdir(outside(folder)),
		async sysctl(key, value) {
			// /proc/sys/net shows the namespace of who reads: it takes a process inside.
			const path = `/proc/sys/net/ipv4/${key}`;
			const script =
				value === undefined ? 'cat "$0"' : 'echo "$1" >"$0" && cat "$0"';
			const result = await guest(["bash", "-c", script, path, `${value}`]);
			if (result.exitCode !== 0) throw new Error(result.stderr);
			return result.stdout.trim();
		},
		fault: (name, value = "") => write(`${faults}/${name}`, value),
		async clearFaults(name) {
			const names = name ? [name] : await fs.readdir(outside(faults));
			for (const each of names) await remove(`${faults}/${each}`);
		},
		calls,
		clearCalls: () => write(callsLog, ""),
	};
}

function parse({ stdout, stderr, exitCode }: RunResult): unknown {
	try {
		return JSON.parse(stdout);
	} catch {
		throw new Error(
			`no JSON on stdout (exit code ${exitCode})\n${stdout}\n${stderr}`,
		);
	}
}
