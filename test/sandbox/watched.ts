import { expect } from "vitest";
import type { DaemonStatus } from "../../src/model.js";
import { type Daemon, sleep, startDaemon, until } from "./daemon";
import type { EniOptions, Sandbox, SandboxOptions } from "./sandbox";
import { inSandbox, sameSubnet, shell } from "./scenario";

export const scripts = "/etc/sysconfig/network-scripts";
export const macs = "network/interfaces/macs/";
/** MACs as metadata spells them: eth0, and the ENIs in the order in which they were plugged. */
export const macOf = (number: number) =>
	`52:54:00:BE:EF:${number.toString(16).padStart(2, "0").toUpperCase()}`;

/** ethN with two addresses in 10.0.N.0/24. */
export function eni(number: number, more: Partial<EniOptions> = {}) {
	return {
		name: `eth${number}`,
		subnet: `10.0.${number}.0/24`,
		addresses: [`10.0.${number}.20`, `10.0.${number}.21`],
		...more,
	};
}

/** Runs body with a daemon in a sandbox of its own, after its first pass. */
export function watched(
	options: SandboxOptions,
	body: (sandbox: Sandbox, daemon: Daemon) => Promise<void>,
	args: string[] = [],
): Promise<void> {
	return inSandbox(options, async (sandbox) => {
		const daemon = await startWatching(sandbox, args);
		try {
			await body(sandbox, daemon);
			expect(daemon.child.exitCode).toBe(null);
		} catch (error) {
			const log = daemon.log().join("\n");
			if (error instanceof Error) error.message += `\nThe daemon said:\n${log}`;
			throw error;
		}
	});
}

/** One NIC in the primary's subnet, one in its own. */
export const two = [sameSubnet, eni(2)];
export const twoAddresses = two.flatMap(({ addresses }) => addresses);

/** Two NICs and a container's network, and a daemon that has nothing left to do. */
export function settled(
	body: (sandbox: Sandbox, daemon: Daemon) => Promise<void>,
): Promise<void> {
	return inSandbox({ enis: two }, async (s) => {
		await s.container("docker0");
		const daemon = await startWatching(s);
		await untilReachable(s, twoAddresses);
		await hangUp(s, daemon);
		await body(s, daemon);
	});
}

/** Starts the daemon and waits for the end of its first pass. */
export async function startWatching(
	sandbox: Sandbox,
	args: string[] = [],
): Promise<Daemon> {
	const daemon = await startDaemon(sandbox, args);
	// By the time it is looked at there may have been another pass.
	await until(
		"the first pass",
		async () => (await statusOf(sandbox))?.pid === daemon.child.pid,
		40_000,
	);
	return daemon;
}

/** What status.json says; undefined where there is none yet. */
export async function statusOf(
	sandbox: Sandbox,
): Promise<DaemonStatus | undefined> {
	const text = await sandbox
		.read("/run/eni-configure/status.json")
		.catch(() => undefined);
	return text === undefined ? undefined : (JSON.parse(text) as DaemonStatus);
}

/** Sends SIGHUP and waits for the end of the pass that follows; its status. */
export async function hangUp(
	sandbox: Sandbox,
	daemon: Daemon,
): Promise<DaemonStatus> {
	const limitMs = Date.now() + 40_000;
	for (;;) {
		const sinceMs = Date.now();
		daemon.child.kill("SIGHUP");
		// One for something else may follow at once, before its status has been seen: then it is asked for again.
		while (Date.now() < sinceMs + 4000) {
			const status = await statusOf(sandbox);
			const { at = "", trigger = "" } = status?.lastPass ?? {};
			const isIt =
				Date.parse(at) >= sinceMs && trigger.split(", ").includes("SIGHUP");
			if (status && isIt) return status;
			await sleep(20);
		}
		if (Date.now() > limitMs)
			throw new Error(
				`no pass for SIGHUP within 40 s:\n${daemon.log().join("\n")}`,
			);
	}
}

/** Lines of the log since `from` that say something was changed or put right, without the program's name. */
export function linesSince(daemon: Daemon, from: number): string[] {
	return daemon
		.log()
		.slice(from)
		.map((line) => line.replace(/^eni-configure: /, ""));
}

/** Lets the daemon see all that body does at once. */
export async function atOnce<T>(
	daemon: Daemon,
	body: () => Promise<T>,
): Promise<T> {
	daemon.child.kill("SIGSTOP");
	try {
		return await body();
	} finally {
		daemon.child.kill("SIGCONT");
	}
}

/** Waits until these addresses answer the far client. */
export async function untilReachable(
	sandbox: Sandbox,
	addresses: string[],
	timeoutMs = 20_000,
): Promise<void> {
	await until(
		`${addresses.join(", ")} answer`,
		async () => {
			const answers = await Promise.all(
				addresses.map((address) => sandbox.reach(address, { timeoutMs: 300 })),
			);
			return answers.every(Boolean);
		},
		timeoutMs,
	);
}

/** Waits until the guest holds a NIC of this name with this address. */
export function untilAddress(
	sandbox: Sandbox,
	name: string,
	address: string,
	isThere = true,
	timeoutMs = 20_000,
): Promise<void> {
	return until(
		`${address} ${isThere ? "on" : "gone from"} ${name}`,
		async () =>
			(await shell(sandbox, `ip -o -4 addr show ${name}`)).includes(
				` ${address}/`,
			) === isThere,
		timeoutMs,
	);
}

/** All of the guest in which something of an ENI can be left: rules, routes, file names, sysctl.conf, the record. */
export function traces(sandbox: Sandbox): Promise<string> {
	return shell(
		sandbox,
		`ip rule; ip route show table all; ip -o addr; ls -a ${scripts}; cat /etc/sysctl.conf
		cat /var/lib/eni-configure/state.json`,
	);
}

/** Waits until nothing of the guest shows any of these words, whole. */
export async function untilForgotten(
	sandbox: Sandbox,
	words: string[],
): Promise<void> {
	let left: string[] = [];
	const lines = async () =>
		(await traces(sandbox)).split("\n").filter((line) =>
			words.some((word) => {
				const text = word.replaceAll(".", "\\.");
				return new RegExp(`(^|[^\\w.])${text}($|[^\\w.])|-${text}$`).test(line);
			}),
		);
	await until(`nothing left of ${words.join(", ")}`, async () => {
		left = await lines();
		return left.length === 0;
	}).catch((error) => {
		throw new Error(`${(error as Error).message}:\n${left.join("\n")}`);
	});
}
