import { join } from "node:path";
import { root } from "../test/sandbox/paths";
import type { Sandbox } from "../test/sandbox/sandbox";
import { agentWords, type Node } from "./node";

/** What one run of the agent costs beside time. */
export interface Counts {
	/** The processes that it started, as their words. */
	spawns: string[][];
	fsyncs: number;
	/** Bytes written to files. */
	bytes: number;
	/** Requests that the metadata service got. */
	requests: number;
}

const file = "/run/bench-counts.json";

/** Runs the agent once in the guest, with every call counted by count.cjs. Throws when it ends with another code than 0. */
export async function countRun(
	sandbox: Sandbox,
	node: Node,
	args: readonly string[],
): Promise<Counts> {
	await sandbox.remove(file);
	await sandbox.metadata.clearRequests();
	const words = agentWords(node, args, ["-r", join(root, "bench/count.cjs")]);
	const result = await sandbox.guest(words, { env: { BENCH_COUNTS: file } });
	if (result.exitCode !== 0)
		throw new Error(`${args.join(" ")}: ${result.stderr}`);
	const { spawns, fsyncs, bytes } = JSON.parse(await sandbox.read(file));
	const requests = (await sandbox.metadata.requests()).length;
	return { spawns, fsyncs, bytes, requests };
}
