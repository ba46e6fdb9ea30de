import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type ExecaChildProcess, execa, type Options } from "execa";
import { root, sandboxFolder } from "./paths";

/** A network namespace of the sandbox, named by a process that keeps it. */
export interface Namespace {
	pid: number;
	/** Commands also enter the guest's mount view (its /etc, /run, /sys). */
	mounts: boolean;
}

export interface Namespaces {
	guest: Namespace;
	router: Namespace;
	/** Runs a command inside; execa's options and errors. */
	enter(
		where: Namespace,
		argv: readonly string[],
		options?: Options,
	): ExecaChildProcess;
	/** The words in front of a command that make it run inside, for spawn(). */
	prefix(where: Namespace): string[];
	/** One more network namespace with the host's files, kept until close(). */
	add(): Promise<Namespace>;
	close(): Promise<void>;
}

const readyWithinMs = 10_000;
const endWithinMs = 3_000;
// Node's pipes are sockets, and a bash that reads from one takes itself for rshd's: it runs ~/.bashrc of whoever tests,
// unless a shell has started it.
const belowShell = { SHLVL: "1" };

/**
 * Makes the guest's and the router's namespaces, as root or as an ordinary user, held by a process
 * that ends when this one does.
 * @throws Error that names the kernel setting in the way, if the host forbids user namespaces.
 */
export async function openNamespaces(): Promise<Namespaces> {
	const isRoot = process.getuid?.() === 0;
	checkPlace();
	const holder = spawn(
		"unshare",
		[
			isRoot ? "-nm" : "-Urnm",
			"bash",
			`${sandboxFolder}/holder.sh`,
			sandboxFolder,
		],
		// Its own session: an interrupt from the terminal must not take the holder before its parent.
		{
			stdio: ["pipe", "pipe", "pipe"],
			detached: true,
			env: { ...process.env, ...belowShell },
		},
	);
	const kept: ChildProcess[] = [holder];
	const told = await firstLines(holder, "ready").catch((error: Error) => {
		holder.kill("SIGKILL");
		throw new Error(explainDenied(error.message, isRoot));
	});
	const guest = { pid: holder.pid as number, mounts: true };
	const router = { pid: pidIn(told, "router"), mounts: false };

	function prefix({ pid, mounts }: Namespace): string[] {
		const user = isRoot ? [] : ["-U", "--preserve-credentials"];
		return [
			"nsenter",
			"-t",
			`${pid}`,
			...user,
			"-n",
			...(mounts ? ["-m"] : []),
		];
	}

	function enter(
		where: Namespace,
		argv: readonly string[],
		options: Options = {},
	) {
		const [program, ...words] = [...prefix(where), ...argv];
		const env = { ...belowShell, ...options.env };
		return execa(program as string, words, { ...options, env });
	}

	async function add(): Promise<Namespace> {
		const script =
			"ip link set lo up && echo pid $$ && echo ready && exec cat >/dev/null";
		const [program, ...words] = [
			...prefix(guest),
			...["unshare", "-n", "bash", "-c", script],
		];
		const keeper = spawn(program as string, words, {
			stdio: ["pipe", "pipe", "pipe"],
			detached: true,
			env: { ...process.env, ...belowShell },
		});
		kept.push(keeper);
		const told = await firstLines(keeper, "ready");
		return { pid: pidIn(told, "pid"), mounts: false };
	}

	let closing: Promise<void> | undefined;
	function close(): Promise<void> {
		closing ??= Promise.all(kept.map(end)).then(() => {});
		return closing;
	}

	return { guest, router, enter, prefix, add, close };
}

/** Ends a child by ending its stdin, by force when that does not help. */
export async function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	await new Promise<void>((resolve) => {
		const timer = setTimeout(() => child.kill("SIGKILL"), endWithinMs);
		child.once("exit", () => {
			clearTimeout(timer);
			resolve();
		});
		child.stdin?.end();
	});
}

/** What a child says on stdout up to the line `last`; rejects with its stderr when it ends before. */
function firstLines(child: ChildProcess, last: string): Promise<string[]> {
	return new Promise((resolve, reject) => {
		const lines: string[] = [];
		let stderr = "";
		const timer = setTimeout(
			() => reject(new Error(`not ready after ${readyWithinMs} ms: ${stderr}`)),
			readyWithinMs,
		);
		child.stderr?.on("data", (data) => {
			stderr += data;
		});
		child.stdin?.on("error", () => {});
		child.once("error", reject);
		child.once("close", () => reject(new Error(stderr.trim())));
		createInterface({ input: child.stdout as NodeJS.ReadableStream }).on(
			"line",
			(line) => {
				lines.push(line);
				if (line !== last) return;
				clearTimeout(timer);
				resolve(lines);
			},
		);
	});
}

function pidIn(lines: string[], name: string): number {
	const line = lines.find((each) => each.startsWith(`${name} `));
	return Number(line?.slice(name.length + 1));
}

/** The guest covers these folders with its own: what lies there, its programs could not read. */
function checkPlace(): void {
	for (const path of [root, process.execPath]) {
		if (/^\/(etc|run|sys|var\/lib|var\/run)\//.test(path)) {
			throw new Error(
				`the sandbox hides ${path} from its guest: move it elsewhere`,
			);
		}
	}
}

/** Settings that can forbid an ordinary user's namespaces, and what lets them through. */
const settings = [
	{
		name: "kernel.unprivileged_userns_clone",
		allows: (value: number) => value !== 0,
		set: 1,
	},
	{
		name: "user.max_user_namespaces",
		allows: (value: number) => value > 0,
		set: 10_000,
	},
	{
		name: "kernel.apparmor_restrict_unprivileged_userns",
		allows: (value: number) => value === 0,
		set: 0,
	},
];

/**
 * Says why the namespaces could not be made.
 * @param stderr what unshare or the set-up said
 * @param read gives a kernel setting's text, or undefined where the kernel does not have it
 */
export function explainDenied(
	stderr: string,
	isRoot: boolean,
	read: (name: string) => string | undefined = readSetting,
): string {
	const head = `cannot make the sandbox's namespaces: ${stderr}`;
	if (isRoot) {
		return `${head}\nRoot needs CAP_SYS_ADMIN and CAP_NET_ADMIN for it (in a container: --privileged).`;
	}
	const lines = settings.map(({ name, allows, set }) => {
		const value = read(name)?.trim();
		if (value === undefined) return `${name} does not exist on this kernel`;
		if (allows(Number(value))) return `${name} is ${value}, which allows them`;
		return `${name} is ${value}: set it with \`sysctl -w ${name}=${set}\``;
	});
	return [head, ...lines].join("\n  ");
}

function readSetting(name: string): string | undefined {
	try {
		return readFileSync(`/proc/sys/${name.replace(".", "/")}`, "utf8");
	} catch {
		return undefined;
	}
}
