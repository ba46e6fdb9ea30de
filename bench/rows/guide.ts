import { netmaskOf } from "../../test/sandbox/eni";
import { createSandbox, type Sandbox } from "../../test/sandbox/sandbox";
import { firstEni, scripts } from "../eni";
import { measuredInGuest, stopwatch } from "../guest-state";
import type { Say } from "../measure";
import type { Node } from "../node";
import { type Part, type Sides, speedRow } from "../row";
import { nameOf, plugToVerified } from "./hot-plug";

// With 30 addresses the guide takes a minute of waiting for ARP: side by side these cost each other next to nothing.
const lanes = 3;
const sizes = [1, 30, 1];

/** A daemon from the link event to verified, against the product guide's Steps 5 to 8 as a script. */
export async function guide(node: Node, say: Say): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	const measured = new Map<number, { ours: number[]; theirs: number[] }>();
	// One daemon at a time; the others wait for ARP meanwhile.
	let turn: Promise<unknown> = Promise.resolve();
	function daemonAlone(sandbox: Sandbox, count: number): Promise<number> {
		const mine = turn.then(() =>
			plugToVerified(sandbox, node, count, async () => {}),
		);
		turn = mine.catch(() => {});
		return mine;
	}
	async function lane(): Promise<void> {
		for (const count of sizes) {
			const sides = measured.get(count) ?? { ours: [], theirs: [] };
			measured.set(count, sides);
			// A guest of its own each time: what the guide leaves behind (a default route by eth1) is not taken back.
			const sandbox = await createSandbox();
			try {
				sides.ours.push(await daemonAlone(sandbox, count));
				sides.theirs.push(await stepsOfGuide(sandbox, count));
			} finally {
				await sandbox.close();
			}
		}
	}
	say(`guide: daemon, then Steps 5 to 8, in ${lanes} sandboxes side by side`);
	await Promise.all(Array.from({ length: lanes }, lane));
	for (const [count, sides] of measured) {
		part.rows.push(rowOf(count, sides, node));
		part.raw[`guide ${count}: daemon, ms`] = sides.ours;
		part.raw[`guide ${count}: Steps 5 to 8, ms`] = sides.theirs;
	}
	part.notes.push(
		`Guide: the commands of Steps 5 to 8 one after the other in a script, in ${lanes} sandboxes side by side (the daemons one at a time); nobody logs in, reads, types or waits. The time is mostly ARP probes, 2 s an address, as measured of CentOS's own.`,
	);
	return part;
}

function rowOf(count: number, sides: Sides, node: Node) {
	const name = nameOf(count);
	const words = {
		what: `hot-plug to verified, ${name}`,
		against: "the guide's Steps 5 to 8 as a script",
		label: `hot-plug, ${name}, to the guide`,
		node: node.version,
	};
	return speedRow(words, sides, count === 1 ? 10 : 50);
}

async function stepsOfGuide(sandbox: Sandbox, count: number): Promise<number> {
	const eni = firstEni(count);
	await sandbox.plug(eni);
	const lines = eni.addresses.flatMap((address, at) => {
		const number = at === 0 ? "" : at;
		return [
			`IPADDR${number}='${address}'`,
			`NETMASK${number}='${netmaskOf(eni.subnet)}'`,
		];
	});
	const rpFilter = ["default", "all", "eth0", "eth1"]
		.map((name) => `net.ipv4.conf.${name}.rp_filter = 0`)
		.join("\\n");
	const tookMs = await measuredInGuest(
		sandbox,
		stopwatch(`cd ${scripts}
cp ifcfg-eth0 ifcfg-eth1
cat >ifcfg-eth1 <<'END'
DEVICE='eth1'
NM_CONTROLLED='yes'
ONBOOT='yes'
${lines.join("\n")}
GATEWAY='10.0.1.1'
END
sed -i 's/^net.ipv4.conf.default.rp_filter = 1$/${rpFilter}/' /etc/sysctl.conf
systemctl restart network
ip addr >/run/step-8`),
	);
	const seen = await sandbox.read("/run/step-8");
	for (const address of eni.addresses)
		if (!seen.includes(`inet ${address}/`))
			throw new Error(`the guide's steps left out ${address}:\n${seen}`);
	return tookMs;
}
