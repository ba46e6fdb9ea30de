import { expect } from "vitest";
import type { Finding } from "../../src/model.js";
import { sleep } from "./daemon";
import {
	createSandbox,
	type EniOptions,
	type Sandbox,
	type SandboxOptions,
} from "./sandbox";

/** The JSON the agent prints, as README documents it. */
export interface AgentReport {
	version: number;
	command: string;
	outcome: string;
	exitCode: number;
	recovered: boolean;
	interfaces: {
		name: string;
		primary: boolean;
		outcome: string;
		addresses: string[];
		table?: number;
		reason?: string;
		diff?: string;
		source?: string;
	}[];
	steps: {
		kind: string;
		link: string | null;
		target: string;
		summary: string;
		diff?: string;
	}[];
	findings: Finding[];
	notes: { link?: string; text: string }[];
	timings: Record<string, number>;
	error?: string;
}

/** Three addresses in the primary's own subnet: the normal case, and the harder one. */
export const sameSubnet: EniOptions = {
	name: "eth1",
	subnet: "10.0.1.0/24",
	addresses: ["10.0.1.20", "10.0.1.21", "10.0.1.22"],
};

export const otherSubnet: EniOptions = {
	name: "eth1",
	subnet: "10.0.2.0/24",
	addresses: ["10.0.2.20", "10.0.2.21", "10.0.2.22"],
};

/** Runs body with a sandbox of its own and ends the sandbox, whatever happens. */
export async function inSandbox(
	options: SandboxOptions,
	body: (sandbox: Sandbox) => Promise<void>,
): Promise<void> {
	const sandbox = await createSandbox(options);
	try {
		await body(sandbox);
	} finally {
		await sandbox.close();
	}
}

/** Runs the agent with --json and checks its exit code. */
export async function run(
	sandbox: Sandbox,
	args: string[],
	exitCode = 0,
	env: Record<string, string> = {},
): Promise<AgentReport> {
	const result = await sandbox.agent([...args, "--json"], { env });
	expect(
		result.exitCode,
		`${args.join(" ")}\n${result.stdout}\n${result.stderr}`,
	).toBe(exitCode);
	return result.json<AgentReport>();
}

/** Every address answers the far client. */
export async function expectReachable(
	sandbox: Sandbox,
	addresses: string[],
): Promise<void> {
	const answers = await Promise.all(
		addresses.map((address) => sandbox.reach(address, { timeoutMs: 3000 })),
	);
	expect(
		Object.fromEntries(addresses.map((address, at) => [address, answers[at]])),
	).toEqual(Object.fromEntries(addresses.map((address) => [address, true])));
}

/** Runs body while the far client asks eth0 a hundred times a second; none may stay without an answer. */
export async function withoutLoss<T>(
	sandbox: Sandbox,
	body: () => Promise<T>,
): Promise<T> {
	const probe = await sandbox.probe("10.0.1.10");
	// What body does may take no time.
	const [result] = await Promise.all([body(), sleep(200)]);
	const { sent, lost } = await probe.stop();
	expect(sent).toBeGreaterThan(5);
	expect(lost).toBe(0);
	return result;
}

/** Names and modification times of every file the agent may write. */
export async function fileTimes(sandbox: Sandbox): Promise<string> {
	const places = [
		"/etc/sysconfig/network-scripts",
		"/etc/sysctl.conf",
		"/var/lib/eni-configure",
	];
	const { stdout } = await sandbox.guest([
		"find",
		...places,
		"-printf",
		"%p %T@ %C@\n",
	]);
	return stdout.split("\n").sort().join("\n");
}

/** Runs a script as the guest's root; expects it to succeed and returns what it printed. */
export async function shell(sandbox: Sandbox, script: string): Promise<string> {
	const result = await sandbox.guest(["bash", "-ec", script]);
	expect(result.exitCode, script + result.stdout + result.stderr).toBe(0);
	return result.stdout;
}
