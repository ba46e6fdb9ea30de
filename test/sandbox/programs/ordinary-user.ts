// Makes a sandbox and configures one ENI in it: run by the tests as a user without any privilege,
// to prove that none is needed. Prints what it saw as JSON. With the word "wait" it only makes the
// sandbox, says so, and waits to be killed.
import { createSandbox } from "../sandbox";

const scripts = "/etc/sysconfig/network-scripts";

async function main(): Promise<void> {
	const sandbox = await createSandbox();
	if (process.argv[2] === "wait") {
		say({ pid: sandbox.pid });
		return;
	}
	try {
		const primaryReached = await sandbox.reach("10.0.1.10");
		await sandbox.plug({
			name: "eth1",
			subnet: "10.0.1.0/24",
			addresses: ["10.0.1.20"],
		});
		await sandbox.write(
			`${scripts}/ifcfg-eth1`,
			"DEVICE=eth1\nIPADDR=10.0.1.20\nPREFIX=24\nARPCHECK=no\n",
		);
		await sandbox.write(
			`${scripts}/route-eth1`,
			"default via 10.0.1.1 dev eth1 table 1001\n",
		);
		await sandbox.write(
			`${scripts}/rule-eth1`,
			"from 10.0.1.20 table 1001\n",
			0o600,
		);
		for (const of of ["all", "default", "eth0", "eth1"]) {
			await sandbox.sysctl(`conf/${of}/rp_filter`, 0);
		}
		await sandbox.guest(["ifup", "eth1"]);
		const links = await sandbox.guest(["ls", "/sys/class/net"]);
		const { mode } = await sandbox.stat(`${scripts}/rule-eth1`);
		const nobody = await sandbox.asNobody(["id", "-u"]);
		say({
			hostUid: process.getuid?.(),
			primaryReached,
			secondaryReached: await sandbox.reach("10.0.1.20"),
			links: links.stdout.trim().split("\n"),
			mode: (mode & 0o777).toString(8),
			nobody: Number(nobody.stdout),
		});
	} finally {
		await sandbox.close();
	}
}

function say(result: unknown): void {
	process.stdout.write(`${JSON.stringify(result)}\n`);
}

void main();
