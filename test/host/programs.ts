import type { RunOptions, RunResult } from "../../src/system";
import { runIp } from "./ip-command";
import { ifdown, ifup, type ScriptHost } from "./network-scripts";
import { startNetwork, stopNetwork } from "./network-service";

export type LockHolder = { fd: number } | { pid: number };

/** What programs see and keep between calls. */
export interface ProgramHost extends ScriptHost {
	/** Paths by descriptor the agent has open. */
	open: Map<number, string>;
	/** Who holds the agent's lock: a descriptor of the agent, a process of somebody else's, or nobody. */
	lock: LockHolder | undefined;
	/** The same for the lock that makes a daemon the only one. */
	daemonLock: LockHolder | undefined;
	/** What systemd says of network.service. */
	service: { state: "active" | "inactive" | "failed"; job: number | undefined };
	/** Programs that are not installed. */
	missing: Set<string>;
	/** Commands such as `ifup eth1` that do nothing and never end. */
	hanging: Set<string>;
}

const changing = ["ifup", "ifdown", "restorecon"];

/** Runs one of the programs the agent may call; any other is not installed. */
export async function runProgram(
	host: ProgramHost,
	argv: string[],
	options: RunOptions = {},
): Promise<RunResult> {
	const [program = "", argument = ""] = argv;
	const line = argv.join(" ");
	if (host.missing.has(program))
		return {
			exitCode: 127,
			stdout: "",
			stderr: `${program} cannot be started`,
		};
	if (host.hanging.has(line)) {
		await host.clock.sleep(options.timeoutMs ?? 30_000);
		return {
			exitCode: 124,
			stdout: "",
			stderr: `${program} did not end within ${options.timeoutMs} ms`,
		};
	}
	const isChanging =
		changing.includes(program) ||
		(program === "systemctl" && argument === "restart");
	if (isChanging && host.operations.begin("command", line))
		return { exitCode: 1, stdout: "", stderr: `${program}: failed\n` };
	switch (program) {
		case "ip":
			return runIp(host.kernel, host.operations, argv, options.input);
		case "ifup":
			return ifup(host, argument);
		case "ifdown":
			return ifdown(host, argument);
		case "flock":
			return flock(host, argv, options);
		case "/bin/sh":
			return lockThenRun(host, argv, options);
		case "restorecon":
			for (const path of argv.slice(1)) host.disk.relabel(path);
			return { exitCode: 0, stdout: "", stderr: "" };
		case "systemctl":
			return systemctl(host, argv.slice(1));
		default:
			return {
				exitCode: 127,
				stdout: "",
				stderr: `${program} cannot be started`,
			};
	}
}

// util-linux: exit 1 when somebody else has the lock, after -w SECONDS or at once.
async function flock(
	host: ProgramHost,
	argv: string[],
	{ inherit = [] }: RunOptions,
): Promise<RunResult> {
	const [fd] = inherit;
	if (fd === undefined || !host.open.has(fd))
		return {
			exitCode: 65,
			stdout: "",
			stderr: "flock: 3: Bad file descriptor\n",
		};
	const wait = argv.includes("-w")
		? Number(argv[argv.indexOf("-w") + 1]) * 1000
		: 0;
	const limit = host.clock.nowMs() + wait;
	const which = host.open.get(fd)?.endsWith("/daemon.lock")
		? "daemonLock"
		: "lock";
	while (host[which] !== undefined) {
		if (host.clock.nowMs() >= limit)
			return { exitCode: 1, stdout: "", stderr: "" };
		await host.clock.sleep(Math.min(100, limit - host.clock.nowMs()));
	}
	host[which] = { fd };
	return { exitCode: 0, stdout: "", stderr: "" };
}

// The one script that the agent has for a shell.
async function lockThenRun(
	host: ProgramHost,
	[, , script = "", , ...words]: string[],
	options: RunOptions,
): Promise<RunResult> {
	const match = /^(flock -n 3) \|\| exit (\d+); echo; (.*)$/.exec(script);
	const gathering = `said=$(exec "$@"); code=$?; [ -z "$said" ] || printf '%s\\n' "$said"; exit $code`;
	if (match?.[3] !== gathering)
		throw new Error(`sh -c '${script}' is not modelled`);
	const [, locking = "", code] = match;
	const locked = await runProgram(host, locking.split(" "), options);
	if (locked.exitCode !== 0) return { ...locked, exitCode: Number(code) };
	options.onOutput?.();
	const result = await runProgram(host, words, options);
	const said = result.stdout.replace(/\n+$/, "");
	return { ...result, stdout: said === "" ? "\n" : `\n${said}\n` };
}

async function systemctl(
	host: ProgramHost,
	words: string[],
): Promise<RunResult> {
	const { service } = host;
	const [verb, ...rest] = words;
	if (verb === "show") {
		const wanted = rest.flatMap((word, at) =>
			rest[at - 1] === "-p" ? [word] : [],
		);
		// systemd 219 prints no Job where there is none.
		const values: Record<string, string | undefined> = {
			ActiveState: service.state,
			Job: service.job === undefined ? undefined : String(service.job),
		};
		const stdout = wanted
			.flatMap((name) =>
				values[name] === undefined ? [] : [`${name}=${values[name]}\n`],
			)
			.join("");
		return { exitCode: 0, stdout, stderr: "" };
	}
	if (verb !== "restart" || rest[0] !== "network")
		throw new Error(`systemctl ${words.join(" ")} is not modelled`);
	// A unit that failed is only started, never stopped first.
	if (service.state === "active") await stopNetwork(host);
	const isGood = await startNetwork(host);
	service.state = isGood ? "active" : "failed";
	return isGood
		? { exitCode: 0, stdout: "", stderr: "" }
		: {
				exitCode: 1,
				stdout: "",
				stderr:
					"Job for network.service failed. See 'systemctl status network.service'.\n",
			};
}
