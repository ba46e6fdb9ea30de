import { expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	linkText,
	outcomes,
	policyRules,
	routesIn,
	scripts,
} from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { failWhere } from "./operations";

const seven = [1, 2, 3, 4, 5, 6, 7].map((number) => ({
	name: `eth${number}`,
	addresses: [`10.0.${number + 1}.62`, `10.0.${number + 1}.63`],
}));
const others = seven.filter(({ name }) => name !== "eth4");

function expectOnlyEth4Missing(host: FakeHost, before: string): void {
	for (const { name, addresses } of others)
		expect(addressesOn(host, name)).toEqual([
			`${addresses[0]}/24`,
			`${addresses[1]}/32`,
		]);
	expect(linkText(host, "eth4")).toBe(before);
	expect(policyRules(host)).toHaveLength(12);
	expect(
		host.disk.list(scripts).filter((path) => path.endsWith("eth4")),
	).toEqual([]);
	expect(host.read("/etc/sysctl.conf")?.content).not.toContain("eth4");
	expect(host.kernel.sysctls.get("conf/eth4/rp_filter")).toBe("1");
	expect(host.record()).not.toContain('"eth4"');
}

test("of seven NICs one cannot be brought up: six are configured, that one is rolled back", async () => {
	const host = await createFakeHost({ enis: seven });
	const before = linkText(host, "eth4");
	host.operations.setFaults(
		failWhere(
			({ kind, target }) =>
				(kind === "command" || kind === "ip") && /\beth4\b/.test(target),
		),
	);
	const all = await run(host, "configure", "", { all: true });
	expect(all.exitCode).toBe(3);
	expect(outcomes(all)).toMatchObject({
		eth4: "rolled-back",
		...Object.fromEntries(others.map(({ name }) => [name, "applied"])),
	});
	expectOnlyEth4Missing(host, before);
	host.operations.setFaults(undefined);
	const again = await run(host, "configure", "eth4");
	expect({ exitCode: again.exitCode, eth4: outcomes(again).eth4 }).toEqual({
		exitCode: 0,
		eth4: "applied",
	});
	expect(addressesOn(host, "eth4")).toEqual(["10.0.5.62/24", "10.0.5.63/32"]);
});

test("of seven NICs one gateway is silent: six are configured, that one is rolled back", async () => {
	const host = await createFakeHost({ enis: seven });
	const before = linkText(host, "eth4");
	host.silent.add("eth4");
	const start = host.clock.nowMs();
	const all = await run(host, "configure", "", { all: true });
	expect(all.exitCode).toBe(3);
	expect(all.findings).toContainEqual(
		expect.objectContaining({ link: "eth4", kind: "neighbour" }),
	);
	expectOnlyEth4Missing(host, before);
	expect(host.clock.nowMs() - start).toBeLessThan(15_000);
});

test("an ifup that fails for good is made up for by hand", async () => {
	const host = await createFakeHost({ enis: seven });
	host.operations.setFaults(failWhere(({ target }) => target === "ifup eth4"));
	const all = await run(host, "configure", "", { all: true });
	expect({ exitCode: all.exitCode, outcome: all.outcome }).toEqual({
		exitCode: 0,
		outcome: "applied",
	});
	expect(all.findings.every(({ mended }) => mended)).toBe(true);
	expect(addressesOn(host, "eth4")).toEqual(["10.0.5.62/24", "10.0.5.63/32"]);
});

test("a NIC that comes or goes renumbers no other", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth2", addresses: ["10.0.3.62"] }],
	});
	const tables = async () => {
		const { interfaces, exitCode } = await run(host, "configure", "", {
			all: true,
		});
		expect(exitCode).toBe(0);
		return Object.fromEntries(
			interfaces.flatMap(({ name, table }) =>
				table === null || table === undefined ? [] : [[name, table]],
			),
		);
	};
	expect(await tables()).toEqual({ eth2: 1002 });
	host.plug({ name: "eth1", addresses: ["10.0.2.62"] });
	expect(await tables()).toEqual({ eth1: 1001, eth2: 1002 });
	host.unplug("eth1");
	host.plug({
		name: "eth1",
		mac: "52:54:00:00:00:99",
		addresses: ["10.0.9.62"],
	});
	const changed = await tables();
	// In the very run that takes the old ENI's away, 1001 is not free yet.
	expect(changed).toEqual({ eth1: 1003, eth2: 1002 });
	host.unplug("eth2");
	host.plug({ name: "eth3", addresses: ["10.0.4.62"] });
	host.plug({ name: "eth2", addresses: ["10.0.3.62"] });
	host.plug({
		name: "eth4",
		mac: "52:54:00:bf:b3:51",
		addresses: ["10.0.2.62"],
	});
	expect(await tables()).toEqual({
		eth1: 1003,
		eth2: 1002,
		eth3: 1001,
		eth4: 1004,
	});
});

test("tables and priorities that somebody else uses are passed over", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.2.62"] }],
		files: {
			"/etc/iproute2/rt_tables":
				"255 local\n254 main\n253 default\n1003 blue\n",
		},
	});
	await host.type("ip rule add from 10.8.0.0/16 lookup 77 priority 1001");
	await host.type("ip route add 10.8.0.0/16 via 10.0.1.1 dev eth0 table 1002");
	const { interfaces } = await run(host, "configure", "eth1");
	expect(interfaces[0]?.table).toBe(1004);
	await run(host, "remove", "eth1");
	expect(policyRules(host)).toEqual(["1001 from 10.8.0.0/16 lookup 77"]);
	expect(routesIn(host, 1002)).toEqual(["10.8.0.0/16 via 10.0.1.1 dev eth0"]);
});
