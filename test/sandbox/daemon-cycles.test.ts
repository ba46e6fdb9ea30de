import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { until } from "./daemon";
import {
	expectOneMonitor,
	leastRssKib,
	quiet,
	remains,
	startRareDaemon,
	usageDuring,
	wakes,
} from "./endurance";
import { usageOf } from "./processes";
import type { EniOptions, Sandbox } from "./sandbox";
import { expectReachable, inSandbox, withoutLoss } from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const names = ["eth1", "eth2", "eth3"];
const cycles = 100;
// The JavaScript that V8 has compiled after these is most of what it will compile.
const warmUpCycles = 20;
const limitKib = 5 * 1024;

// Loaded into the daemon: at SIGUSR2 it collects garbage and says what is in use afterwards. Left to
// itself V8 lets the heap grow for a while before it does, by more than any leak that is looked for.
const collector = `
	require("node:v8").setFlagsFromString("--expose-gc");
	const collect = require("node:vm").runInNewContext("gc");
	process.on("SIGUSR2", () => {
		collect();
		collect();
		const { heapUsed } = process.memoryUsage();
		require("node:fs").writeFileSync("/run/collected", String(heapUsed));
	});
`;

/** What the daemon holds when its garbage has been collected. */
async function memoryAtRest(
	sandbox: Sandbox,
	pid: number,
): Promise<{ rssKib: number; heapKib: number }> {
	await sandbox.remove("/run/collected");
	process.kill(pid, "SIGUSR2");
	await until("garbage is collected", async () => {
		const isThere = await sandbox.exists("/run/collected");
		return isThere && (await sandbox.read("/run/collected")) !== "";
	});
	const heapKib = Math.round(
		Number(await sandbox.read("/run/collected")) / 1024,
	);
	return { rssKib: await leastRssKib(pid), heapKib };
}

/** One ENI is there all the time, so that there is something to be spoilt. */
const steady: EniOptions = {
	name: "eth4",
	subnet: "10.0.4.0/24",
	addresses: ["10.0.4.20", "10.0.4.21"],
};

/** The cycle's ENI: in every other one the NIC's own MAC, else a new one; a subnet for each name. */
function eniOf(cycle: number): EniOptions {
	const lane = cycle % names.length;
	const name = names[lane] as string;
	const isOld = Math.floor(cycle / names.length) % 2 === 0;
	const tail = isOld ? `00:0${lane}` : `01:${hex(cycle)}`;
	// The first one shares the primary's subnet.
	const net = `10.0.${lane + 1}`;
	const first = 20 + (cycle % 7) * 10;
	return {
		name,
		mac: `52:54:00:ca:${tail}`,
		subnet: `${net}.0/24`,
		addresses: [first, first + 1, first + 2].map((at) => `${net}.${at}`),
	};
}

function hex(byte: number): string {
	return byte.toString(16).padStart(2, "0");
}

/** Metadata late, never there, gone within milliseconds, gone during the pass; and twice as it should be. */
const kinds = [
	"configured",
	"at-once",
	"late",
	"configured",
	"during",
	"never",
] as const;

async function cycle(
	sandbox: Sandbox,
	said: () => string[],
	number: number,
): Promise<void> {
	const eni = eniOf(number);
	const kind = kinds[Math.floor(number / names.length) % kinds.length];
	const isListed = kind !== "late" && kind !== "never";
	await sandbox.plug({ ...eni, listed: isListed });
	if (kind === "late") {
		await sleep(300);
		await sandbox.metadata.list(eni.name, true);
	}
	if (kind === "configured" || kind === "late") {
		for (const address of eni.addresses) {
			const isReached = await sandbox.reach(address, { timeoutMs: 45_000 });
			if (!isReached)
				expect.fail(
					`cycle ${number} (${kind}): ${address}\n${said().slice(-40).join("\n")}\n${await sandbox.read("/run/eni-configure/status.json")}\n${await remains(sandbox)}`,
				);
		}
	}
	if (kind === "during") await sleep(50 + ((number * 37) % 200));
	if (kind === "never") await sleep(600);
	await sandbox.unplug(eni.name);
	if (kind === "configured" || kind === "late")
		await until(
			`${eni.name} is cleaned up\n${said().slice(-40).join("\n")}`,
			async () => !(await sandbox.exists(`${scripts}/ifcfg-${eni.name}`)),
			30_000,
		);
}

/** A lane for each name, side by side. */
async function run(
	sandbox: Sandbox,
	said: () => string[],
	from: number,
	count: number,
): Promise<void> {
	await Promise.all(
		names.map(async (_, lane) => {
			for (let at = from; at < from + count; at += 1)
				if (at % names.length === lane) await cycle(sandbox, said, at);
		}),
	);
}

it(
	"a hundred NICs plugged and unplugged leave nothing behind, in the guest or in the daemon",
	() =>
		inSandbox({ enis: [steady] }, async (s) => {
			await s.write("/run/collect.cjs", collector);
			const env = { NODE_OPTIONS: "--require /run/collect.cjs" };
			const daemon = await startRareDaemon(s, [], { env });
			const pid = daemon.child.pid as number;
			await expectReachable(s, steady.addresses);
			await run(s, daemon.log, 0, warmUpCycles);
			await quiet(s, daemon);
			const first = await memoryAtRest(s, pid);
			const before = await remains(s);
			// Some kept-alive connections may be among them.
			const { descriptors } = await usageOf(pid);

			await withoutLoss(s, () => run(s, daemon.log, warmUpCycles, cycles));
			await quiet(s, daemon);
			expect(await remains(s), daemon.log().slice(-60).join("\n")).toBe(before);
			await expectOneMonitor(s, daemon);
			await expectReachable(s, ["10.0.1.10", ...steady.addresses]);
			expect(await daemon.status()).toMatchObject({ waiting: [], drift: [] });
			const last = await memoryAtRest(s, pid);
			const grownKib = last.rssKib - first.rssKib;
			console.log(
				`after ${warmUpCycles} cycles ${first.rssKib} KiB resident, ${first.heapKib} KiB of them in use by JavaScript; after ${cycles} more ${last.rssKib} and ${last.heapKib} KiB`,
			);
			expect(last.heapKib - first.heapKib).toBeLessThan(limitKib / 2);
			expect(grownKib).toBeLessThan(limitKib);
			// A timer that is left would wake it, or make it look: a look asks, or starts a program.
			await s.metadata.clearRequests();
			const used = await usageDuring(pid, async () => {
				expect(await wakes(pid)).toBeLessThanOrEqual(1);
			});
			expect(used.childFaults).toBe(0);
			expect(await s.metadata.requests()).toEqual([]);
			await until(
				"kept-alive connections are given up, and no descriptor is left",
				async () => (await usageOf(pid)).descriptors <= descriptors,
				60_000,
			);
			expect(await daemon.stop()).toBe(0);
		}),
	300_000,
);
