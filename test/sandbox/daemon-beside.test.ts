import { describe, expect, it } from "vitest";
import { until } from "./daemon";
import { expectOneMonitor, quiet, startRareDaemon } from "./endurance";
import { isAlive } from "./processes";
import type { EniOptions, Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	withoutLoss,
} from "./scenario";

const eth2: EniOptions = { ...otherSubnet, name: "eth2" };

describe("a second daemon", () => {
	it("names the pid of the first and exits 7; the first goes on undisturbed", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			const first = await startRareDaemon(s);
			const [lines, status] = [first.log(), await first.status()];
			const seconds = await Promise.all([
				s.agent(["daemon"]),
				s.agent(["daemon", "--verbose"]),
			]);
			for (const { exitCode, stderr } of seconds) {
				expect(exitCode, stderr).toBe(7);
				expect(stderr).toMatch(
					new RegExp(`runs already: process ${first.child.pid} `),
				);
			}
			expect(first.log()).toEqual(lines);
			expect(await first.status()).toEqual(status);
			expect(await isAlive(first.child.pid)).toBe(true);
			await expectOneMonitor(s, first);
			await s.plug(eth2);
			expect(await s.reach("10.0.2.20", { timeoutMs: 15_000 })).toBe(true);
			expect(await first.stop()).toBe(0);
			// Its place is free now.
			const next = await startRareDaemon(s);
			expect(await next.stop()).toBe(0);
		}));
});

const commands = [
	["eth1"],
	["plan", "eth1"],
	["--all"],
	["plan", "--all"],
	["status"],
	["eth0"],
	["eth9"],
	["remove", "eth1"],
	["--all"],
	["plan", "eth1"],
	["eth1"],
	["remove", "eth1"],
	["rollback"],
	["eth1", "--address", "10.0.1.20/24", "--gateway", "10.0.1.1"],
	["eth1", "--from-metadata"],
	["remove", "eth1", "eth2"],
	["eth1", "eth2"],
	["eth1", "--nonsense"],
];

interface Told {
	words: string;
	exitCode: number;
	outcomes: string[];
	/** Addresses of eth1 afterwards. */
	addresses: string[];
}

async function tell(sandbox: Sandbox): Promise<Told[]> {
	const all: Told[] = [];
	for (const words of commands) {
		const result = await sandbox.agent([...words, "--json"]);
		const isReport = words[0] !== "status" && result.stdout.startsWith("{");
		const { interfaces = [] } = isReport
			? result.json<{ interfaces?: { name: string; outcome: string }[] }>()
			: {};
		const { stdout } = await sandbox.guest(["ip", "-4", "-o", "addr"]);
		all.push({
			words: words.join(" "),
			exitCode: result.exitCode,
			outcomes: interfaces.map(({ name, outcome }) => `${name} ${outcome}`),
			addresses: stdout.match(/(?<=eth1 +inet )[\d.]+/g) ?? [],
		});
	}
	return all;
}

describe("commands beside the daemon", () => {
	it("do the same with the same exit codes as without one", async () => {
		const enis = [sameSubnet, eth2];
		const told: Told[][] = [];
		for (const isDaemonThere of [false, true]) {
			await inSandbox({ enis }, async (s) => {
				if (!isDaemonThere) {
					await run(s, ["--all"]);
					told.push(await tell(s));
					return;
				}
				const daemon = await startRareDaemon(s);
				const pid = daemon.child.pid;
				told.push(await tell(s));
				await quiet(s, daemon);
				await expectReachable(s, [...sameSubnet.addresses, ...eth2.addresses]);
				expect((await daemon.status()).pid).toBe(pid);
				expect(await daemon.stop()).toBe(0);
			});
		}
		expect(told[1]).toEqual(told[0]);
		expect(new Set(told[0]?.map(({ exitCode }) => exitCode))).toEqual(
			new Set([0, 2, 5]),
		);
	}, 120_000);

	it(
		"many at once while it is busy: everyone is served, and all ends as metadata says",
		() =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				const daemon = await startRareDaemon(s);
				await s.fault("ifup-slow.once", "1");
				await withoutLoss(s, async () => {
					await s.plug(eth2);
					const kinds = [
						["eth1"],
						["--all"],
						["plan", "--all"],
						["status"],
						["eth1", "eth2"],
						["eth2"],
					];
					const results = Array.from({ length: 12 }, (_, at) =>
						s.agent(kinds[at % kinds.length] as string[]),
					);
					for (let at = 0; at < 4; at += 1) {
						await s.assign("eth1", `10.0.1.${40 + at}`);
						daemon.child.kill("SIGHUP");
					}
					for (const { exitCode, stderr } of await Promise.all(results))
						expect(exitCode, stderr).toBe(0);
				});
				await quiet(s, daemon);
				await expectReachable(s, [
					...sameSubnet.addresses,
					...eth2.addresses,
					...[40, 41, 42, 43].map((at) => `10.0.1.${at}`),
				]);
				const rules = (await s.ip("rule")).match(/from 10\S+/g) ?? [];
				expect(rules).toHaveLength(10);
				expect(new Set(rules).size).toBe(10);
				const before = (await daemon.status()).writtenAt;
				daemon.child.kill("SIGHUP");
				await until(
					"another pass",
					async () => (await daemon.status()).writtenAt !== before,
				);
				expect((await daemon.status()).lastPass.outcome).toBe("unchanged");
				await expectOneMonitor(s, daemon);
				expect(await daemon.stop()).toBe(0);
			}),
		120_000,
	);
});
