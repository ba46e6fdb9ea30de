import { beforeAll, expect, test } from "vitest";
import { type Change, randomFrom, type Tally, walk } from "./kill";
import type { ProbeResult } from "./programs/protocol";
import { createSandbox, type Sandbox } from "./sandbox";
import { run, shell } from "./scenario";

const seed = Date.now() % 2 ** 31;
const wantedHits = 105;
const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth1";

interface Walked extends Tally {
	probe: ProbeResult;
}

function addressesOf(net: string, from: number, to: number): string[] {
	return Array.from(
		{ length: to - from + 1 },
		(_, at) => `${net}.${from + at}`,
	);
}

/** Five of the thirty addresses are others: `from` is released, `to` assigned. */
async function exchange(
	sandbox: Sandbox,
	from: string[],
	to: string[],
): Promise<void> {
	for (const address of from) await sandbox.release("eth1", address);
	for (const address of to) await sandbox.assign("eth1", address);
}

/** Every kind of change, in an order that leads round. */
function changesIn(net: string, isVipThere: boolean): Change[] {
	const [first, second] = [addressesOf(net, 55, 59), addressesOf(net, 60, 64)];
	const vip = `${net}.99/32`;
	const withoutVip = `ip route flush table 77 dev eth1; ip addr del ${vip} dev eth1`;
	return [
		{
			name: "configure a new NIC",
			prepare: (s) =>
				shell(
					s,
					`[[ -e ${ifcfg} ]] || exit 0
					ifdown eth1; rm ${ifcfg} /var/lib/eni-configure/backup/*`,
				),
			args: ["eth1"],
		},
		{
			name: "another list of addresses",
			prepare: async (s) => {
				await shell(
					s,
					`ip addr add ${vip} dev eth1 label eth1:vip
					ip route add 10.80.0.0/16 via ${net}.1 dev eth1 table 77`,
				);
				await exchange(s, first, second);
			},
			args: ["eth1", "--prune"],
		},
		{
			name: "a restart of the interface",
			prepare: (s) => exchange(s, second, first),
			args: ["eth1", "--prune", "--restart", "interface"],
		},
		{ name: "rollback", prepare: async () => {}, args: ["rollback"] },
		{
			name: "remove",
			prepare: (s) => shell(s, isVipThere ? "true" : withoutVip),
			args: ["remove", "eth1"],
		},
		{
			name: "a forced takeover",
			prepare: async (s) => {
				if (isVipThere) await shell(s, `${withoutVip}; ip link set eth1 down`);
				const file = `DEVICE=eth1\nONBOOT=yes\nIPADDR=${net}.30\nNETMASK=255.255.255.0\nGATEWAY=${net}.1\nDEFROUTE=no\nARPCHECK=no\n`;
				await s.write(ifcfg, file, 0o640);
				await shell(s, "ifup eth1");
			},
			args: ["eth1", "--force"],
		},
		{
			name: "a takeover given back",
			prepare: async () => {},
			args: ["remove", "eth1"],
		},
	];
}

/** A machine on which others have rules and a table of their own. */
async function walkIn(
	net: string,
	isVipThere: boolean,
	random: () => number,
): Promise<Walked> {
	const sandbox = await createSandbox({
		enis: [
			{
				name: "eth1",
				subnet: `${net}.0/24`,
				addresses: addressesOf(net, 30, 59),
			},
		],
	});
	try {
		await shell(
			sandbox,
			`ip rule add from 10.77.0.0/16 lookup 77 priority 500
			ip rule add to 10.78.0.0/16 lookup 77 priority 1500
			ip route add 10.79.0.0/16 via 10.0.1.1 dev eth0 table 77`,
		);
		// So that the record of the first lap is that of every other.
		await run(sandbox, ["eth1"]);
		await run(sandbox, ["remove", "eth1"]);
		const probing = await sandbox.probe("10.0.1.10");
		const changes = changesIn(net, isVipThere);
		const tally = await walk(sandbox, changes, wantedHits, random);
		return { ...tally, probe: await probing.stop() };
	} finally {
		await sandbox.close();
	}
}

let walked: Walked[];

beforeAll(async () => {
	const start = Date.now();
	walked = await Promise.all([
		walkIn("10.0.1", true, randomFrom(seed)),
		walkIn("10.0.2", false, randomFrom(seed + 1)),
	]);
	const sum = (of: (one: Walked) => number) =>
		walked.map(of).reduce((a, b) => a + b);
	console.log(
		`kills that hit: ${sum(({ hits }) => hits)}, of them in a recovery: ${sum((one) => one.hitsInRecovery)}; ` +
			`recovered: ${sum(({ recoveries }) => recoveries)}; ended old: ${sum((one) => one.endedOld)}, new: ${sum((one) => one.endedNew)}; ` +
			`probes of eth0: ${sum(({ probe }) => probe.sent)}, lost: ${sum(({ probe }) => probe.lost)}; ` +
			`${Math.round((Date.now() - start) / 1000)} s, seed ${seed}`,
	);
}, 600_000);

test("killed at any moment, the next start ends in the old state or the new one and leaves nothing behind", () => {
	expect(
		walked.map(({ problem }) => problem),
		`seed ${seed}`,
	).toEqual([undefined, undefined]);
});

test("the kills hit: in every part of a run, and often enough in the middle of a change", () => {
	for (const tally of walked) {
		expect(tally.hits, `seed ${seed}`).toBeGreaterThanOrEqual(100);
		expect(tally.recoveries, `seed ${seed}`).toBeGreaterThanOrEqual(30);
		expect(tally.hitsInRecovery, `seed ${seed}`).toBeGreaterThan(0);
		expect(tally.endedOld, `seed ${seed}`).toBeGreaterThan(0);
		expect(tally.endedNew, `seed ${seed}`).toBeGreaterThan(0);
	}
});

test("the primary answers every probe all the while", () => {
	for (const { probe } of walked) {
		expect(probe.sent).toBeGreaterThan(1000);
		expect(probe.lost, `seed ${seed}`).toBe(0);
	}
});

test("rules, a table and a floating address of others are there in every state", () => {
	for (const [at, { states }] of walked.entries()) {
		expect(states).toHaveLength(14);
		for (const text of states) {
			expect(text).toContain("500:\tfrom 10.77.0.0/16 lookup 77");
			expect(text).toContain("1500:\tfrom all to 10.78.0.0/16 lookup 77");
			expect(text).toContain("10.79.0.0/16 via 10.0.1.1 dev eth0 table 77");
		}
		// From the change of addresses to the roll back, and where it stays to the removal.
		const net = `10.0.${at + 1}`;
		for (const text of states.slice(2, at === 0 ? 10 : 8)) {
			expect(text).toContain(`${net}.99/32 scope global eth1:vip`);
			expect(text).toContain(`10.80.0.0/16 via ${net}.1 dev eth1 table 77`);
		}
	}
});
