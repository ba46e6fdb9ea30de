import { createSandbox, type Sandbox } from "../../test/sandbox/sandbox";
import { startDaemon } from "../daemon";
import { firstEni, scripts } from "../eni";
import { expectConfigured, measuredInGuest, stopwatch } from "../guest-state";
import { listenToLinks } from "../link-events";
import { alternate, type Say, sleep } from "../measure";
import type { Node } from "../node";
import { differenceRows, type Part } from "../row";

const rounds = 12;
const files = ["ifcfg-eth1", "route-eth1", "rule-eth1"];
// What the kernel itself does with a new link is over by then.
const restMs = 200;

/** A daemon from the link event to verified, against `ifup` of the same files with no agent running. */
export async function hotPlug(node: Node, say: Say): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	for (const count of [1, 30]) {
		const sandbox = await createSandbox();
		try {
			const name = nameOf(count);
			say(`hot-plug, ${name}: daemon and raw ifup, ${rounds} times each`);
			const saved: Record<string, string> = {};
			const sides = await alternate(
				rounds,
				() =>
					plugToVerified(sandbox, node, count, async () => {
						for (const file of files)
							saved[file] = await sandbox.read(`${scripts}/${file}`);
					}),
				() => rawIfup(sandbox, count, saved),
			);
			const words = {
				what: `hot-plug to verified, ${name}`,
				against: "raw `ifup` of the same files",
				label: `hot-plug, ${name}, to raw ifup`,
				node: node.version,
			};
			const limits = { median: 100, p95: 200 };
			part.rows.push(...differenceRows(words, sides, limits));
			part.raw[`hot-plug ${count}: daemon, ms`] = sides.ours;
			part.raw[`hot-plug ${count}: ifup, ms`] = sides.theirs;
		} finally {
			await sandbox.close();
		}
	}
	part.notes.push(
		"Hot-plug: a daemon that has just done its first pass, and has configured nothing yet, so that all code it needs is loaded and compiled within the measured time. From the kernel's message of the link (time stamp of an `ip monitor` of the benchmark's own) to the daemon's line `configured` (as it arrives). Metadata list the ENI before its link comes; the ENI is in the primary's subnet. Against it: bash in the guest around `ifup eth1`, no agent running, with the files that the agent had written.",
	);
	return part;
}

/** `1 address` or `30 addresses` */
export function nameOf(count: number): string {
	return count === 1 ? "1 address" : `${count} addresses`;
}

/** Ms from the link event to the daemon's word that the ENI is verified; `whilePlugged` runs before it is unplugged again. */
export async function plugToVerified(
	sandbox: Sandbox,
	node: Node,
	count: number,
	whilePlugged: () => Promise<void>,
): Promise<number> {
	const eni = firstEni(count);
	const daemon = await startDaemon(sandbox, node);
	const links = await listenToLinks(sandbox);
	links.forget();
	await sandbox.plug(eni);
	const verified = await daemon.line(/eth1: configured /);
	const cameMs = await links.came("eth1");
	links.stop();
	await expectConfigured(sandbox, "eth1", eni.addresses);
	await whilePlugged();
	await sandbox.unplug("eth1");
	await daemon.line(/eth1: removed .*unplugged/);
	await daemon.stop();
	return verified.atMs - cameMs;
}

async function rawIfup(
	sandbox: Sandbox,
	count: number,
	saved: Record<string, string>,
): Promise<number> {
	const eni = firstEni(count);
	for (const [file, content] of Object.entries(saved))
		await sandbox.write(`${scripts}/${file}`, content, 0o644);
	await sandbox.plug(eni);
	await sleep(restMs);
	const tookMs = await measuredInGuest(sandbox, stopwatch("ifup eth1"));
	await expectConfigured(sandbox, "eth1", eni.addresses);
	await sandbox.guest(["ifdown", "eth1"]);
	for (const file of files) await sandbox.remove(`${scripts}/${file}`);
	await sandbox.unplug("eth1");
	return tookMs;
}
