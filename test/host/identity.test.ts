import { expect, test } from "vitest";
import { run } from "./agent";
import { addressesOn, policyRules, scripts } from "./expectations";
import { createFakeHost } from "./fake-host";

test("another ENI under the same name leaves nothing of the first", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] }],
	});
	await run(host, "configure", "eth1");
	host.unplug("eth1");
	host.plug({
		name: "eth1",
		mac: "52:54:00:00:00:99",
		addresses: ["10.0.9.62"],
	});
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toEqual(["10.0.9.62/24"]);
	expect(policyRules(host).map((rule) => rule.split(" ")[2])).toEqual([
		"10.0.9.62",
	]);
	expect(host.snapshot()).not.toContain("10.0.1.62");
	expect((await run(host, "configure", "eth1")).outcome).toBe("unchanged");
});

test("the same ENI under another name takes its table along and leaves no stale files", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62"] }],
	});
	await run(host, "configure", "eth1");
	host.unplug("eth1");
	host.plug({
		name: "eth2",
		mac: "52:54:00:bf:b3:51",
		addresses: ["10.0.1.62"],
	});
	const moved = await run(host, "configure", "eth2");
	expect({
		outcome: moved.outcome,
		table: moved.interfaces.find(({ name }) => name === "eth2")?.table,
	}).toEqual({ outcome: "applied", table: 1001 });
	expect(
		host.disk.list(scripts).filter((path) => path.endsWith("eth1")),
	).toEqual([]);
	expect(policyRules(host)).toEqual(["1001 from 10.0.1.62 lookup 1001"]);
	expect(host.read("/etc/sysctl.conf")?.content).not.toContain("eth1");
	expect((await run(host, "configure", "eth2")).outcome).toBe("unchanged");
});

test("addresses that the config gives a name belong to the MAC it had first", async () => {
	const config =
		"interfaces:\n  eth1:\n    addresses: [192.168.1.62/26]\n    gateway: 192.168.1.1\n";
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62"] }],
		files: { "/etc/eni-configure/config.yaml": config },
	});
	const first = await run(host, "configure", "eth1");
	expect(first.interfaces[0]).toMatchObject({
		source: "config",
		addresses: ["192.168.1.62/26"],
	});
	host.unplug("eth1");
	host.plug({
		name: "eth1",
		mac: "52:54:00:00:00:99",
		addresses: ["10.0.9.62"],
	});
	const other = await run(host, "configure", "eth1");
	expect(other.interfaces[0]).toMatchObject({
		source: "metadata",
		addresses: ["10.0.9.62/24"],
	});
	expect(other.notes.map(({ text }) => text).join()).toContain(
		"52:54:00:bf:b3:51",
	);
});

test("two ENIs with one address: neither is configured; two links with one MAC: neither is touched", async () => {
	const host = await createFakeHost({
		enis: [
			{ name: "eth1", addresses: ["10.0.2.62"] },
			{ name: "eth2", addresses: ["10.0.2.62"] },
		],
	});
	const before = host.snapshot();
	const all = await run(host, "configure", "", { all: true });
	expect({ exitCode: all.exitCode, snapshot: host.snapshot() }).toEqual({
		exitCode: 4,
		snapshot: before,
	});
	host.addLink({ name: "eth8", mac: "52:54:00:bf:b3:51" });
	const twins = await run(host, "configure", "eth1");
	expect(twins.exitCode).toBe(5);
	expect(twins.interfaces[0]?.reason).toContain("eth8");
});
