import { createSandbox } from "../../test/sandbox/sandbox";
import { type Daemon, startDaemon } from "../daemon";
import { manyEnis } from "../eni";
import { type Say, sleep } from "../measure";
import type { Node } from "../node";
import type { Part, Row } from "../row";

const sizes = [1, 8];
const settleMs = 1500;

/** What the metadata service was asked, by its own log, as paths. */
interface Asked {
	first: string[];
	again: string[];
}

/** Requests of a daemon that configures new ENIs, and of its next look, at which nothing has changed. */
export async function requests(node: Node, say: Say): Promise<Part> {
	say(`requests: ${sizes.join(" and ")} ENIs`);
	const asked: Asked[] = [];
	for (const count of sizes) asked.push(await ask(node, count));
	return {
		rows: [
			row("first configure", 4, ({ first }) => first),
			row("unchanged resync", 1, ({ again }) => again),
		],
		notes: [
			"Requests: the primary counts as an ENI (its list of private IPs is asked for, its addresses are not configured). The unchanged look is one by SIGHUP.",
		],
		raw: Object.fromEntries(
			sizes.map((count, at) => [`requests, ${count} ENIs`, asked[at]]),
		),
	};

	function row(
		what: string,
		each: number,
		pathsOf: (asked: Asked) => string[],
	): Row {
		const counts = asked.map((one) => pathsOf(one).length);
		const limits = sizes.map((count) => 2 + each * (count + 1));
		return {
			what: `metadata requests, ${what} of ${sizes.join(" and ")} ENIs beside the primary`,
			against: "count",
			label: `metadata requests, ${what}`,
			measured: "counted",
			result: counts.join(" and "),
			budget: `at most 2 + ${each} per ENI: ${limits.join(" and ")}`,
			value: Math.max(...counts.map((count, at) => count / (limits[at] ?? 0))),
			limit: 1,
			runs: "1",
			node: node.version,
		};
	}
}

async function ask(node: Node, count: number): Promise<Asked> {
	const sandbox = await createSandbox({ enis: manyEnis(count, 2) });
	async function take(): Promise<string[]> {
		const all = await sandbox.metadata.requests();
		await sandbox.metadata.clearRequests();
		return all.map(({ path }) => path);
	}
	try {
		const daemon = await startDaemon(sandbox, node);
		await daemon.line(new RegExp(`eth${count}: configured`));
		const first = await take();
		await look(daemon);
		return { first, again: await take() };
	} finally {
		await sandbox.close();
	}
}

async function look(daemon: Daemon): Promise<void> {
	daemon.lookNow();
	await sleep(settleMs);
}
