import { expect, test } from "vitest";
import { run } from "./agent";
import { expectUntouched, outcomes } from "./expectations";
import { createFakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.2.62"] };
const sysctlConf = "/etc/sysctl.conf";

test.each([
	["as it came", undefined],
	["empty", ""],
	[
		"without a final newline",
		"net.ipv4.conf.all.rp_filter = 1\nkernel.sysrq = 1",
	],
	["with CRLF", "net.ipv4.conf.all.rp_filter = 1\r\nkernel.sysrq = 1\r\n"],
	["in Latin-1", "# f\xfcr uns\nnet/ipv4/conf/default/rp_filter=1\n"],
	[
		"with two lines for one key",
		"net.ipv4.conf.all.rp_filter = 1\nnet.ipv4.conf.all.rp_filter=2\n",
	],
])(
	"remove gives everything back byte for byte: sysctl.conf %s",
	async (_, content) => {
		const host = await createFakeHost({
			enis: [eth1],
			files: content === undefined ? {} : { [sysctlConf]: content },
		});
		host.disk.setAttributes(sysctlConf, { mode: 0o600, uid: 3, gid: 4 });
		const before = host.snapshot();
		expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
		expect(host.snapshot()).not.toBe(before);
		const { outcome, exitCode } = await run(host, "remove", "eth1");
		expect({ outcome, exitCode }).toEqual({ outcome: "applied", exitCode: 0 });
		expect(host.snapshot()).toBe(before);
	},
);

test("remove gives everything back where there was no sysctl.conf", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.disk.fs.unlinkSync(sysctlConf);
	const before = host.snapshot();
	await run(host, "configure", "eth1");
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(before);
});

test("remove gives everything back after changes of every kind", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	await run(host, "configure", "eth1");
	host.assign("eth1", "10.0.1.64");
	await run(host, "configure", "eth1");
	await run(host, "configure", "eth1", {
		address: "192.168.1.62/26",
		gateway: "192.168.1.1",
	});
	await run(host, "configure", "eth1", { "from-metadata": true, prune: true });
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(before);
});

test("removing one of two NICs leaves the other as it is, and the last one gives back what they shared", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	const untouched = host.snapshot();
	await run(host, "configure", "eth2");
	const one = host.snapshot();
	await run(host, "configure", "eth1");
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(one);
	await run(host, "remove", "eth2");
	expect(host.snapshot()).toBe(untouched);
});

test("a removed NIC is left alone by --all until it is named", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	await run(host, "configure", "", { all: true });
	const configured = host.snapshot();
	await run(host, "remove", "eth1");
	const released = host.snapshot();
	const all = await run(host, "configure", "", { all: true });
	expectUntouched(host, all, released, 0);
	expect(outcomes(all)).toMatchObject({ eth1: "unchanged", eth2: "unchanged" });
	expect(all.interfaces.find(({ name }) => name === "eth1")?.reason).toContain(
		"removed",
	);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(host.snapshot().split("\n").sort()).toEqual(
		configured.split("\n").sort(),
	);
	expect((await run(host, "configure", "", { all: true })).outcome).toBe(
		"unchanged",
	);
});

test("addresses given by flags are forgotten by remove", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	await run(host, "configure", "eth1", {
		address: "192.168.1.62/26",
		gateway: "192.168.1.1",
	});
	await run(host, "remove", "eth1");
	const again = await run(host, "configure", "eth1");
	expect(again.interfaces[0]).toMatchObject({
		source: "metadata",
		addresses: ["10.0.1.62/24", "10.0.1.63/32"],
	});
});

test("removing what is not managed changes nothing", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	expectUntouched(host, await run(host, "remove", "eth1"), before, 0);
	expectUntouched(host, await run(host, "remove", "eth0"), before, 0);
	expectUntouched(host, await run(host, "remove", "eth9"), before, 2);
});

test("the files of a NIC that is gone can still be removed", async () => {
	const host = await createFakeHost({ enis: [eth2] });
	const before = host.snapshot();
	host.plug(eth1);
	await run(host, "configure", "eth1 eth2");
	await run(host, "remove", "eth2");
	host.unplug("eth1");
	expect((await run(host, "remove", "eth1")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(before);
});

test("remove after a reboot takes everything away as well", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	await run(host, "configure", "eth1");
	await host.reboot();
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(before);
});
