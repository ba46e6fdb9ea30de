import { expect, test } from "vitest";
import { run } from "./agent";
import { createDisk } from "./disk";
import { addressesOn, policyRules, routesIn, scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { stopAt } from "./operations";

// What the other tests rest on: network-scripts as on CentOS 7.2, power cuts, and an agent that dies.

test("the guide's own file steals the default route, and a bounce of eth0 puts it behind eth1", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.1.62"] }],
	});
	host.write(
		`${scripts}/ifcfg-eth1`,
		"DEVICE='eth1'\nONBOOT='yes'\nIPADDR='10.0.1.62'\nNETMASK='255.255.255.0'\n",
	);
	await host.type("ifup eth1");
	await host.type("ifdown eth0");
	await host.type("ifup eth0");
	expect(routesIn(host, 254)[0]).toBe("default via 10.0.1.1 dev eth1");
});

test("ifup obeys the file: classful masks, the gap that ends the list, a foreign MAC", async () => {
	const host = await createFakeHost({
		enis: [
			{ name: "eth1", addresses: ["10.0.2.62"] },
			{ name: "eth2", addresses: ["10.0.3.62"] },
		],
	});
	host.write(
		`${scripts}/ifcfg-eth1`,
		"DEVICE=eth1\nIPADDR=10.9.9.1\nIPADDR1=172.16.0.1\nIPADDR3=192.168.7.7\n",
	);
	await host.type("ifup eth1");
	expect(addressesOn(host, "eth1")).toEqual(["10.9.9.1/8", "172.16.0.1/16"]);
	host.write(
		`${scripts}/ifcfg-eth2`,
		"DEVICE=eth2\nHWADDR=52:54:00:00:00:01\nIPADDR=10.9.8.1\n",
	);
	await host.type("ifup eth2");
	expect(addressesOn(host, "eth2")).toEqual([]);
});

test("a config without its NIC fails the network service", async () => {
	const host = await createFakeHost({
		files: {
			[`${scripts}/ifcfg-eth1`]:
				"DEVICE=eth1\nONBOOT=yes\nIPADDR=10.0.2.62\nPREFIX=24\n",
		},
	});
	expect(host.programs.service.state).toBe("failed");
});

test("what was not fsynced is lost with the power: bytes and names, each for itself", () => {
	const disk = createDisk();
	disk.write("/etc/old", "old");
	disk.syncAll();
	disk.write("/etc/new", "new");
	disk.fs.renameSync("/etc/new", "/etc/old");
	const texts = (bytes: "lost" | "kept", entries: "lost" | "kept") => {
		disk.lose({ bytes, entries });
		return disk.read("/etc/old")?.content;
	};
	expect(texts("kept", "lost")).toBe("old");
	disk.write("/etc/new", "new");
	disk.fs.renameSync("/etc/new", "/etc/old");
	expect(texts("lost", "kept")).toBe("");
	disk.write("/etc/new", "new");
	disk.synced("/etc/new");
	disk.fs.renameSync("/etc/new", "/etc/old");
	disk.synced("/etc");
	expect(texts("lost", "lost")).toBe("new");
});

test("of names that were not fsynced some may be lost, and others not", () => {
	const disk = createDisk();
	for (const name of ["a", "b", "c"]) disk.write(`/etc/${name}`, "old");
	disk.syncAll();
	for (const name of ["a", "b", "c"]) {
		disk.write("/etc/.new", "new");
		disk.synced("/etc/.new");
		disk.fs.renameSync("/etc/.new", `/etc/${name}`);
	}
	disk.lose({ bytes: "lost", entries: "some" });
	const texts = ["a", "b", "c"].map((name) => disk.read(`/etc/${name}`));
	expect(texts.map((one) => one?.content)).toEqual(["new", "old", "new"]);
	expect(disk.list("/etc")).toEqual(["/etc/a", "/etc/b", "/etc/c"]);
});

test("an agent that stops dead does nothing more, and frees the lock", async () => {
	const eni = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
	const model = await createFakeHost({ enis: [eni] });
	const { operations: total } = await run(model, "configure", "eth1");
	for (let number = 1; number <= total; number += 1) {
		const host: FakeHost = await createFakeHost({ enis: [eni] });
		host.operations.setFaults(stopAt(number));
		const died = await run(host, "configure", "eth1");
		const [snapshot, time] = [host.snapshot(), host.clock.nowMs()];
		expect(died.stop?.operation.number).toBe(number);
		await new Promise((resolve) => setImmediate(resolve));
		expect({
			snapshot: host.snapshot(),
			operations: host.operations.list().length,
			time: host.clock.nowMs(),
		}).toEqual({ snapshot, operations: number, time });
		host.endProcess();
		expect({ open: host.programs.open.size, lock: host.programs.lock }).toEqual(
			{ open: 0, lock: undefined },
		);
	}
	expect(policyRules(model)).toHaveLength(2);
});
