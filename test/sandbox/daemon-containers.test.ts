import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Daemon } from "./daemon";
import { quiet, startRareDaemon } from "./endurance";
import { childrenOf, usageOf } from "./processes";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	fileTimes,
	inSandbox,
	otherSubnet,
	shell,
} from "./scenario";

const pairs = 1000;
const limitMs = 2000;

/**
 * Containers come and go: both ends are made in the guest, one becomes a port of docker0, the other
 * is moved into the container and called eth0 there, or in every fifth case left where it is.
 */
async function churn(
	sandbox: Sandbox,
	nameOf: (number: number) => string,
	count: number,
	batchSize: number,
): Promise<void> {
	const script = `
		unshare -n sleep 600 & container=$!
		until [[ $(readlink /proc/$container/ns/net) != $(readlink /proc/$$/ns/net) ]]; do sleep 0.01; done
		while read -r from to; do
			for ((at = from; at < to; at++)); do
				name=\${names[at]}
				echo "link add $name type veth peer name \${name}p"
				((at % 5 == 0)) || echo "link set \${name}p netns $container name eth$at"
				echo "link set $name master docker0 up"
			done | ip -batch -
			for ((at = from; at < to; at++)); do echo "link del \${names[at]}"; done | ip -batch -
		done
		kill $container`;
	const batches: string[] = [];
	for (let at = 0; at < count; at += batchSize)
		batches.push(`${at} ${Math.min(at + batchSize, count)}`);
	const names = Array.from({ length: count }, (_, at) => nameOf(at));
	const result = await sandbox.guest(
		["bash", "-ec", `names=(${names.join(" ")}); ${script}`],
		{ input: `${batches.join("\n")}\n`, timeoutMs: 120_000 },
	);
	expect(result.exitCode, result.stderr).toBe(0);
}

async function filesAndStatus(sandbox: Sandbox): Promise<string> {
	const status = "/run/eni-configure";
	const { stdout } = await sandbox.guest([
		...["find", status, "-printf", "%p %T@ %C@ %s\n"],
	]);
	return `${await fileTimes(sandbox)}\n${stdout}`;
}

/** The processor time of the daemon, and of its monitor. */
async function cpuMs({ child }: Daemon): Promise<number> {
	const pids = [
		child.pid as number,
		...(await childrenOf(child.pid as number)),
	];
	const used = await Promise.all(pids.map(usageOf));
	console.log(used.map((o) => o.cpuMs));
	return used.reduce((sum, one) => sum + one.cpuMs, 0);
}

async function withDocker(
	args: string[],
	body: (sandbox: Sandbox, daemon: Daemon) => Promise<void>,
): Promise<void> {
	await inSandbox({ enis: [otherSubnet] }, async (s) => {
		await shell(
			s,
			`ip link add docker0 type bridge; ip link set docker0 up
			ip addr add 172.17.0.1/16 dev docker0`,
		);
		const daemon = await startRareDaemon(s, args);
		await expectReachable(s, otherSubnet.addresses);
		await s.metadata.clearRequests();
		await body(s, daemon);
		await expectReachable(s, otherSubnet.addresses);
		expect(await daemon.stop()).toBe(0);
	});
}

it(
	"a thousand containers cost no metadata request, no file, no line, no process, and less than 2 s of processor time",
	() =>
		// Not a line, whatever its level.
		withDocker(["--verbose"], async (s, daemon) => {
			const pid = daemon.child.pid as number;
			const [files, lines] = [await filesAndStatus(s), daemon.log()];
			const [{ childFaults }, beforeMs] = [
				await usageOf(pid),
				await cpuMs(daemon),
			];
			await churn(
				s,
				(at) => `veth${(at * 7919 + 4096).toString(16)}`,
				pairs,
				50,
			);
			// All that the monitor has to say is said, and heard.
			await sleep(2000);
			const usedMs = (await cpuMs(daemon)) - beforeMs;
			console.log(`${pairs} veth pairs: ${usedMs} ms of processor time`);
			expect(usedMs).toBeLessThan(limitMs);
			expect(await s.metadata.requests()).toEqual([]);
			expect(await filesAndStatus(s)).toBe(files);
			expect(daemon.log()).toEqual(lines);
			expect((await usageOf(pid)).childFaults).toBe(childFaults);
		}),
	180_000,
);

it(
	"links with names like a NIC's that vanish within a second cost no line, and nothing is made of them",
	() =>
		withDocker([], async (s, daemon) => {
			const before = await s.snapshot("/var/lib/eni-configure/state.json");
			const lines = daemon.log();
			await churn(s, (at) => `eni${at}abc`, 200, 4);
			await quiet(s, daemon);
			expect(daemon.log()).toEqual(lines);
			expect(await s.snapshot("/var/lib/eni-configure/state.json")).toBe(
				before,
			);
		}),
	180_000,
);
