import { expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	expectUntouched,
	policyRules,
	routesIn,
	scripts,
} from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = {
	name: "eth1",
	addresses: ["192.168.1.62", "192.168.1.61"],
	subnet: "192.168.1.0/26",
};
const ifcfg = `${scripts}/ifcfg-eth1`;
// As the guide has people write it.
const handMade =
	"DEVICE='eth1'\nNM_CONTROLLED='yes'\nONBOOT='yes'\nIPADDR='192.168.1.62'\nNETMASK='255.255.255.192'\n";
const withGateway = `${handMade}GATEWAY='192.168.1.1'\n`;

async function madeByHand(content = handMade, path = ifcfg): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1] });
	host.write(path, content, { mode: 0o640, uid: 12, gid: 34 });
	await host.type("ifup eth1");
	return host;
}

test("a file made by hand is held: refused with the difference, nothing touched", async () => {
	const host = await madeByHand();
	const before = host.snapshot();
	const held = await run(host, "configure", "eth1");
	expectUntouched(host, held, before, 5);
	expect(held.interfaces[0]?.reason).toContain("--force");
	expect(held.interfaces[0]?.diff).toContain("-IPADDR='192.168.1.62'");
	expectUntouched(
		host,
		await run(host, "configure", "", { all: true }),
		before,
		5,
	);
});

test("a hand-made GATEWAY is named as the thief of the default route", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.write(ifcfg, withGateway);
	const held = await run(host, "configure", "eth1");
	expect(held.exitCode).toBe(5);
	expect(held.interfaces[0]?.reason).toContain("default route");
});

test("a NIC that holds the stolen default route is not touched, and the way out is said", async () => {
	const host = await madeByHand(withGateway);
	expect(routesIn(host, 254)[0]).toBe("default via 192.168.1.1 dev eth1");
	const before = host.snapshot();
	const refused = await run(host, "configure", "eth1", { force: true });
	expectUntouched(host, refused, before, 5);
	expect(refused.interfaces[0]?.reason).toContain(
		"give the default route back",
	);
});

test("--force takes a NIC over, remove gives the file back with mode and owner, and the link as it was", async () => {
	const host = await madeByHand();
	const before = host.snapshot();
	const forced = await run(host, "configure", "eth1", { force: true });
	expect({ outcome: forced.outcome, exitCode: forced.exitCode }).toEqual({
		outcome: "applied",
		exitCode: 0,
	});
	expect(addressesOn(host, "eth1")).toEqual([
		"192.168.1.61/32",
		"192.168.1.62/26",
	]);
	expect(policyRules(host)).toHaveLength(2);
	expect(host.read("/var/lib/eni-configure/backup/ifcfg-eth1")).toMatchObject({
		content: handMade,
		mode: 0o640,
		uid: 12,
		gid: 34,
	});
	await run(host, "configure", "eth1");
	expect(host.operations.list()).toEqual([]);
	expect((await run(host, "remove", "eth1")).outcome).toBe("applied");
	expect(host.snapshot()).toBe(before);
});

test("--force twice gives back what stood there first", async () => {
	const host = await madeByHand();
	const before = host.snapshot();
	await run(host, "configure", "eth1", { force: true });
	host.write(ifcfg, `${host.read(ifcfg)?.content}MTU="1400"\n`);
	expect((await run(host, "configure", "eth1")).exitCode).toBe(5);
	expect((await run(host, "configure", "eth1", { force: true })).exitCode).toBe(
		0,
	);
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(before);
});

test.each([
	[
		"by its MAC",
		`${scripts}/ifcfg-Wired`,
		"NAME=Wired\nHWADDR=52:54:00:BF:B3:51\nBOOTPROTO=none\nIPADDR=192.168.1.62\nPREFIX=26\n",
	],
	[
		"by its DEVICE",
		`${scripts}/ifcfg-backend`,
		'DEVICE="eth1"\nIPADDR=192.168.1.62\nPREFIX=26\n',
	],
	[
		"with a rule file",
		`${scripts}/rule-eth1`,
		"from 192.168.1.62 table 10 priority 10\n",
	],
	[
		"with a route file",
		`${scripts}/route-eth1`,
		"10.8.0.0/16 via 192.168.1.1 dev eth1\n",
	],
])(
	"a file that claims the NIC %s holds it, and comes back after a takeover",
	async (_, path, content) => {
		const host = await createFakeHost({ enis: [eth1] });
		host.write(path, content, { mode: 0o600, uid: 5, gid: 6 });
		const before = host.snapshot();
		expectUntouched(host, await run(host, "configure", "eth1"), before, 5);
		expect(
			(await run(host, "configure", "eth1", { force: true })).outcome,
		).toBe("applied");
		expect((await run(host, "configure", "eth1")).outcome).toBe("unchanged");
		await run(host, "remove", "eth1");
		expect(host.snapshot()).toBe(before);
	},
);

test("a file of ours that somebody edited is theirs: held, and `remove` leaves it", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	await run(host, "configure", "eth1");
	host.write(ifcfg, `${host.read(ifcfg)?.content}MTU="1400"\n`);
	const before = host.snapshot();
	expectUntouched(host, await run(host, "configure", "eth1"), before, 5);
	await run(host, "remove", "eth1");
	expect(host.read(ifcfg)?.content).toContain('MTU="1400"');
	expect(host.read(`${scripts}/rule-eth1`)).toBeUndefined();
});

test("backups and files of links with a longer name hold nobody", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	for (const name of [
		"ifcfg-eth1.bak",
		"ifcfg-eth1~",
		"ifcfg-eth10",
		"ifcfg-eth1.100",
	])
		host.write(`${scripts}/${name}`, `DEVICE=${name.slice(6)}\nONBOOT=no\n`);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
});

test("a symbolic link in a file's place is left alone", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.write("/etc/precious", "DEVICE=eth1\n");
	host.disk.fs.symlinkSync("/etc/precious", ifcfg);
	const before = host.snapshot();
	expectUntouched(host, await run(host, "configure", "eth1"), before, 5);
	const forced = await run(host, "configure", "eth1", { force: true });
	expect(forced.exitCode).not.toBe(0);
	expect(host.snapshot()).toBe(before);
});
