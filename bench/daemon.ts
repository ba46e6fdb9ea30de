import type { Sandbox } from "../test/sandbox/sandbox";
import { openWallClock, sleep } from "./measure";
import { agentWords, type Node } from "./node";

/** A line of the daemon's log, and when it came, in ms of the wall clock. */
export interface Line {
	text: string;
	atMs: number;
}

/** A daemon in a guest, started as its unit does. */
export interface Daemon {
	pid: number;
	/** Waits for a line that has come since `from` (a number of lines); at once where it is there already. */
	line(pattern: RegExp, from?: number): Promise<Line>;
	/** How many lines there are so far. */
	lines(): number;
	/** Sends SIGHUP: look at once. Returns when, in ms of the wall clock. */
	lookNow(): number;
	stop(): Promise<void>;
}

const limitMs = 90_000;
// What a pass leaves to do once it has said what it did: its status, and the timers.
const settleMs = 300;

/** Starts the daemon and returns when its first pass is done. Ended with the sandbox at the latest. */
export async function startDaemon(
	sandbox: Sandbox,
	node: Node,
): Promise<Daemon> {
	const wallMs = openWallClock();
	const [program = "", ...words] = agentWords(node, ["daemon"]);
	const child = sandbox.spawn([program, ...words]);
	const lines: Line[] = [];
	let wake = () => {};
	let rest = "";
	child.stderr?.on("data", (chunk: Buffer) => {
		const atMs = wallMs();
		const parts = (rest + chunk.toString()).split("\n");
		rest = parts.pop() ?? "";
		lines.push(...parts.map((text) => ({ text, atMs })));
		wake();
	});
	child.once("exit", () => wake());
	const said = () => lines.map(({ text }) => text).join("\n");

	async function line(pattern: RegExp, from = 0): Promise<Line> {
		const timer = setTimeout(() => wake(), limitMs);
		const endMs = wallMs() + limitMs;
		try {
			for (;;) {
				const found = lines.slice(from).find(({ text }) => pattern.test(text));
				if (found) return found;
				if (child.exitCode !== null || wallMs() >= endMs)
					throw new Error(
						`no line like ${pattern} from the daemon:\n${said()}`,
					);
				await new Promise<void>((resolve) => {
					wake = resolve;
				});
			}
		} finally {
			clearTimeout(timer);
		}
	}

	const pid = child.pid as number;
	await line(/watching for NICs/);
	await firstPass(sandbox, pid);
	await sleep(settleMs);
	return {
		pid,
		line,
		lines: () => lines.length,
		lookNow: () => {
			const atMs = wallMs();
			child.kill("SIGHUP");
			return atMs;
		},
		stop: async () => {
			child.kill("SIGTERM");
			const { exitCode } = await child;
			if (exitCode !== 0)
				throw new Error(`the daemon ended with ${exitCode}:\n${said()}`);
		},
	};
}

async function firstPass(sandbox: Sandbox, pid: number): Promise<void> {
	const path = "/run/eni-configure/status.json";
	const endMs = Date.now() + limitMs;
	for (;;) {
		// It is replaced in one step; the one before it may be another daemon's.
		const text = await sandbox.read(path).catch(() => "{}");
		const status = JSON.parse(text);
		if (status.pid === pid && status.lastPass) return;
		if (Date.now() > endMs) throw new Error(`${path}: no pass of the daemon`);
		await sleep(10);
	}
}
