import { createSandbox } from "../../test/sandbox/sandbox";
import { startDaemon } from "../daemon";
import { firstEni } from "../eni";
import { expectConfigured, measuredInGuest, stopwatch } from "../guest-state";
import { alternate, type Say } from "../measure";
import { agentWords, type Node } from "../node";
import { differenceRows, type Part } from "../row";

const rounds = 12;
const address = "10.0.1.99";

/** One more address for an ENI with 29, by a daemon that is told to look, against the two commands that it takes. */
export async function assign(node: Node, say: Say): Promise<Part> {
	const eni = firstEni(29);
	const sandbox = await createSandbox({ enis: [eni] });
	async function agent(...args: string[]): Promise<void> {
		const result = await sandbox.guest(agentWords(node, args));
		if (result.exitCode !== 0) throw new Error(result.stderr);
	}
	try {
		await agent("eth1");
		say(`assign: daemon and raw ip, ${rounds} times each`);
		const sides = await alternate(
			rounds,
			async () => {
				const daemon = await startDaemon(sandbox, node);
				await sandbox.assign("eth1", address);
				const from = daemon.lines();
				const askedMs = daemon.lookNow();
				const added = await daemon.line(/eth1: added 10\.0\.1\.99: /, from);
				await expectConfigured(sandbox, "eth1", [...eni.addresses, address]);
				await daemon.stop();
				await sandbox.release("eth1", address);
				await agent("eth1", "--prune");
				return added.atMs - askedMs;
			},
			async () => {
				const tookMs = await measuredInGuest(
					sandbox,
					stopwatch(`ip addr add ${address}/32 dev eth1
ip rule add from ${address}/32 lookup 1001 priority 1001`),
				);
				await expectConfigured(sandbox, "eth1", [address]);
				await sandbox.ip("addr", "del", `${address}/32`, "dev", "eth1");
				await sandbox.ip("rule", "del", "from", address, "priority", "1001");
				return tookMs;
			},
		);
		const words = {
			what: "live assign of one address to an ENI with 29",
			against: "raw `ip addr add` and `ip rule add`",
			label: "live assign, to raw ip",
			node: node.version,
		};
		return {
			rows: differenceRows(words, sides, { median: 60 }),
			notes: [
				"Assign: from SIGHUP, sent as soon as metadata have the address, to the daemon's line `added`: asking the metadata service, looking at all of the guest, journal, address, rule and files, verifying. Not counted: that the daemon looks by itself once a minute only. A daemon that has just done its first pass and has changed nothing yet. Against it: the two commands in bash in the guest, which verify nothing and are gone after a boot.",
			],
			raw: {
				"assign: daemon, ms": sides.ours,
				"assign: ip, ms": sides.theirs,
			},
		};
	} finally {
		await sandbox.close();
	}
}
