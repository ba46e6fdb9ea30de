import { createSandbox } from "../../test/sandbox/sandbox";
import { type Daemon, startDaemon } from "../daemon";
import { manyEnis } from "../eni";
import { type Say, sleep } from "../measure";
import type { Node } from "../node";
import { countRow, type Part } from "../row";

const sizes = [1, 8];
const settleMs = 1500;

/** What the metadata service is asked, by its own log. */
export async function requests(node: Node, say: Say): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	for (const count of sizes) {
		say(`requests: ${count} ENIs`);
		const sandbox = await createSandbox({ enis: manyEnis(count, 2) });
		try {
			const daemon = await startDaemon(sandbox, node);
			await daemon.line(new RegExp(`eth${count}: configured`));
			const first = await asked(async () => {});
			const again = await asked(() => look(daemon));
			// The primary is an ENI as well.
			const all = count + 1;
			const name = count === 1 ? "1 ENI" : `${count} ENIs`;
			part.rows.push(
				row(
					`first configure of ${name}`,
					first.length,
					2 + 4 * all,
					"2 + 4 per ENI",
				),
				row(
					`unchanged resync of ${name}`,
					again.length,
					2 + all,
					"2 + 1 per ENI",
				),
			);
			part.raw[`requests, ${count} ENIs`] = { first, again };

			async function asked(body: () => Promise<void>): Promise<string[]> {
				await body();
				const paths = (await sandbox.metadata.requests()).map(
					({ path }) => path,
				);
				await sandbox.metadata.clearRequests();
				return paths;
			}
		} finally {
			await sandbox.close();
		}
	}
	part.notes.push(
		"Requests: the primary counts as an ENI (its list of private IPs is asked for, its addresses are not configured).",
	);
	return part;

	function row(what: string, value: number, limit: number, rule: string) {
		const words = { what: `metadata requests, ${what}`, node: node.version };
		return {
			...countRow(
				{ ...words, label: `requests, ${what}` },
				value,
				limit,
				"requests",
			),
			budget: `${rule}: ${limit}`,
		};
	}
}

async function look(daemon: Daemon): Promise<void> {
	daemon.lookNow();
	await sleep(settleMs);
}
