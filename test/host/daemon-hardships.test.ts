import { describe, expect, test } from "vitest";
import { run } from "./agent";
import { type Daemon, startDaemon } from "./daemon";
import { addressesOn, policyRules, scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import type { HostOptions } from "./fake-host-types";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };
const config = "/etc/eni-configure/config.yaml";
const stuckFile = `${scripts}/ifcfg-eth2`;

async function steady(
	options: HostOptions = { enis: [eth1] },
): Promise<{ host: FakeHost; daemon: Daemon }> {
	const host = await createFakeHost(options);
	const daemon = await startDaemon(host);
	await daemon.sleep(45);
	daemon.forget();
	return { host, daemon };
}

describe("what is left alone after a fight", () => {
	test("an address that is released meanwhile goes from the kernel too", async () => {
		const { host, daemon } = await steady();
		await fightOverAddress(host, daemon);
		expect(addressesOn(host, "eth1")).toContain("10.0.2.63/32");
		host.release("eth1", "10.0.2.63");
		daemon.hangUp();
		await daemon.sleep(40);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
		expect(policyRules(host)).toEqual(["1001 from 10.0.2.62 lookup 1001"]);
		expect(host.record()).not.toContain("10.0.2.63");
		await daemon.sleep(3600);
		expect(daemon.status().drift).toEqual([]);
	});

	test("/etc/sysctl.conf loses its lines all the same when the last NIC is unplugged", async () => {
		const { host, daemon } = await steady();
		for (let time = 0; time < 3; time += 1) {
			host.write("/etc/sysctl.conf", "kernel.sysrq = 0\n");
			daemon.hangUp();
			await daemon.sleep(2);
		}
		expect(daemon.status().drift[0]?.leftUntil).toBeDefined();
		expect(host.read("/etc/sysctl.conf")?.content).toContain("rp_filter");
		host.unplug("eth1");
		await daemon.sleep(10);
		expect(host.read("/etc/sysctl.conf")?.content).toBe("kernel.sysrq = 0\n");
	});

	test("a NIC with 30 addresses that is taken down again and again: one line a fight", async () => {
		const addresses = Array.from(
			{ length: 30 },
			(_, at) => `10.0.2.${at + 10}`,
		);
		const { host, daemon } = await steady({
			enis: [{ name: "eth1", addresses }],
		});
		for (let time = 0; time < 3; time += 1) {
			await host.type("ifdown eth1");
			await daemon.sleep(15);
		}
		expect(warnings(daemon)).toEqual([
			expect.stringMatching(
				/^warning: eth1: the link was down, 3 times by now/,
			),
		]);
		await host.type("ifdown eth1");
		await daemon.sleep(15);
		expect(host.kernel.link("eth1")?.up).toBe(false);
		expect(warnings(daemon)).toHaveLength(1);
		await daemon.sleep(120);
		expect(addressesOn(host, "eth1")).toHaveLength(30);
		expect(warnings(daemon).length).toBeLessThanOrEqual(2);
	});
});

describe("an answer that is to take addresses away", () => {
	test.each([
		["once", true],
		["for good", false],
	])(
		"lacks another one %s while the pass for it waits for the lock: only what has settled goes",
		async (_, isBack) => {
			const host = await createFakeHost({
				enis: [
					{ name: "eth1", addresses: ["10.0.2.62", "10.0.2.63", "10.0.2.64"] },
				],
			});
			const daemon = await startDaemon(host, { "lock-timeout": "20" });
			await daemon.sleep(45);
			host.release("eth1", "10.0.2.63");
			daemon.hangUp();
			await daemon.sleep(25);
			host.programs.lock = { pid: 777 };
			// It has settled, and the pass for it waits.
			await daemon.sleep(15);
			host.release("eth1", "10.0.2.64");
			daemon.hangUp();
			await daemon.sleep(20);
			expect(daemon.status().lastPass.error).toMatch(/lock/);
			host.programs.lock = undefined;
			await daemon.sleep(6);
			expect(addressesOn(host, "eth1")).toContain("10.0.2.64/32");
			if (isBack) {
				host.assign("eth1", "10.0.2.64");
				daemon.hangUp();
			}
			await daemon.sleep(10);
			expect(addressesOn(host, "eth1")).toContain("10.0.2.64/32");
			await daemon.sleep(60);
			expect(addressesOn(host, "eth1")).toEqual(
				isBack ? ["10.0.2.62/24", "10.0.2.64/32"] : ["10.0.2.62/24"],
			);
		},
	);

	test.each([
		["once", true],
		["for good", false],
	])(
		"comes %s with the NIC's return under another name: they stay until it has settled",
		async (_, isOnce) => {
			const { host, daemon } = await steady();
			const mac = host.kernel.link("eth1")?.mac ?? "";
			host.unplug("eth1");
			host.plug({ name: "eth3", mac, addresses: ["10.0.2.62"] });
			await daemon.sleep(10);
			const both = ["10.0.2.62/24", "10.0.2.63/32"];
			expect(addressesOn(host, "eth3")).toEqual(both);
			if (isOnce) host.assign("eth3", "10.0.2.63");
			for (let time = 0; time < 18; time += 1) {
				await daemon.sleep(1);
				expect(addressesOn(host, "eth3")).toEqual(both);
			}
			await daemon.sleep(80);
			expect(addressesOn(host, "eth3")).toEqual(
				isOnce ? both : ["10.0.2.62/24"],
			);
		},
	);
});

test("a NIC that waits and an ENI whose metadata are slow hold up no change of the others", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	let isSlow = false;
	const { http } = host.system;
	Object.assign(host.system, {
		http: async (...words: Parameters<typeof http>) => {
			if (isSlow && words[0].includes("52:54:00:BF:B3:52"))
				await host.clock.sleep(1500);
			return http(...words);
		},
	});
	const daemon = await startDaemon(host);
	await daemon.sleep(45);
	host.plug({ name: "eth3", addresses: ["10.0.9.9"], listed: false });
	await daemon.sleep(5);
	isSlow = true;
	host.release("eth1", "10.0.2.63");
	host.assign("eth2", "10.0.3.63");
	// The next look comes within 66 s and takes some seconds.
	await daemon.until(() => addressesOn(host, "eth2").length === 2, 80);
	await daemon.until(() => addressesOn(host, "eth1").length === 1, 50);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
});

describe("a link that is there and not to be seen", () => {
	const leaves = ["ifindex", "address", "type"];
	test.each(
		leaves.flatMap((leaf) => [
			[leaf, "ENOENT"],
			[leaf, "EIO"],
		]),
	)("for a look (%s: %s) is not taken for unplugged", async (leaf, code) => {
		const { host, daemon } = await steady();
		const before = host.snapshot() + host.record();
		host.operations.reset();
		let misses = 0;
		const mend = failReads(host, (path) => {
			if (path !== `/sys/class/net/eth1/${leaf}`) return undefined;
			misses += 1;
			return code;
		});
		daemon.hangUp();
		await daemon.sleep(0.5);
		mend();
		expect(misses).toBeGreaterThan(0);
		await daemon.sleep(70);
		expect(host.snapshot() + host.record()).toBe(before);
		expect(changes(host)).toEqual([]);
		expect(daemon.log().join("\n")).not.toMatch(/removed|unplugged|configured/);
		expect(daemon.status().lastPass.error).toBeUndefined();
		// It goes on to be watched.
		host.unplug("eth1");
		await daemon.sleep(5);
		expect(policyRules(host)).toEqual([]);
	});

	test.each([1, 2, 3, 4, 5])(
		"because it gets another name between list %i and the read has got another name",
		async (number) => {
			const { host, daemon } = await steady();
			const { fs } = host.system;
			const { readdirSync } = fs;
			const mac = host.kernel.link("eth1")?.mac ?? "";
			let lists = 0;
			Object.assign(fs, {
				readdirSync: (path: string) => {
					const names = readdirSync(path);
					if (path === "/sys/class/net") lists += 1;
					if (path === "/sys/class/net" && lists === number) {
						host.unplug("eth1");
						host.plug({ ...eth1, name: "eth7", mac });
					}
					return names;
				},
			});
			daemon.hangUp();
			await daemon.until(() => addressesOn(host, "eth7").length === 2, 5);
			await daemon.sleep(5);
			expect(daemon.log()).toEqual([
				expect.stringMatching(/^info: eth7: configured .*: was eth1/),
			]);
			expect(policyRules(host)).toHaveLength(2);
		},
	);
});

test("while the network service is busy links say a lot; put right within two seconds of its end", async () => {
	const { host, daemon } = await steady();
	host.programs.service = { state: "active", job: 99 };
	await host.type("ip rule del from 10.0.2.63 priority 1001");
	for (let time = 0; time < 100; time += 1) {
		daemon.hear("3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500");
		await daemon.sleep(0.2);
	}
	expect(policyRules(host)).toHaveLength(1);
	host.programs.service = { state: "active", job: undefined };
	expect(await daemon.until(() => policyRules(host).length === 2)).toBeLessThan(
		2200,
	);
	expect(warnings(daemon)).toEqual([]);
});

test("what can be neither finished nor undone is tried again after 1, 2, 5 and 10 minutes only, with a line each time, and exit code 6", async () => {
	const { host, daemon } = await steady();
	host.silent.add("eth2");
	const tries: number[] = [];
	host.operations.setFaults(({ kind, target }) => {
		if (kind !== "unlink" || target !== stuckFile) return undefined;
		tries.push(host.clock.nowMs());
		return { fail: "EIO" };
	});
	host.plug(eth2);
	await daemon.until(() => tries.length > 0, 60);
	await daemon.sleep(3);
	daemon.forget();
	const firstMs = tries[0] ?? 0;
	for (let minute = 0; minute < 45; minute += 1) {
		await daemon.sleep(60);
		daemon.hear("3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500");
	}
	const atMinutes = minutesApart(tries, firstMs);
	expect(atMinutes).toHaveLength(6);
	for (const [at, minutes] of [1, 2, 5, 10, 10, 10].entries()) {
		expect(atMinutes[at]).toBeGreaterThan(minutes * 0.75);
		expect(atMinutes[at]).toBeLessThan(minutes * 1.25 + 0.5);
	}
	const errors = daemon.log().filter((line) => line.startsWith("error"));
	expect(errors.length).toBeGreaterThanOrEqual(atMinutes.length);
	expect(errors.length).toBeLessThanOrEqual(atMinutes.length + 1);
	expect(await daemon.stop()).toBe(6);
});

describe("what could not be undone", () => {
	async function stuck() {
		const { host, daemon } = await steady();
		host.silent.add("eth2");
		host.operations.setFaults(({ kind, target }) =>
			kind === "unlink" && target === stuckFile ? { fail: "EIO" } : undefined,
		);
		host.plug(eth2);
		await daemon.sleep(300);
		expect(daemon.status().lastPass.outcome).toBe("refused");
		host.operations.setFaults(undefined);
		host.silent.clear();
		host.unplug("eth1");
		await daemon.sleep(5);
		expect(policyRules(host)).not.toEqual(["1002 from 10.0.3.62 lookup 1002"]);
		return { host, daemon };
	}
	const isDone = (host: FakeHost) =>
		policyRules(host).join() === "1002 from 10.0.3.62 lookup 1002";

	test("is undone at once when SIGHUP asks for it, and the rest done", async () => {
		const { host, daemon } = await stuck();
		daemon.hangUp();
		await daemon.until(() => isDone(host), 30);
		expect(await daemon.stop()).toBe(0);
	});

	test("is undone at the next try, and what came meanwhile done", async () => {
		const { host, daemon } = await stuck();
		await daemon.until(() => isDone(host), 700);
		expect(await daemon.stop()).toBe(0);
	});
});

describe("`restart: service` in the config, refused", () => {
	const obstacles: [string, (host: FakeHost) => void][] = [
		[
			"for forwarding is on and no file says so",
			(host) => {
				host.kernel.sysctls.set("ip_forward", "1");
			},
		],
		[
			"for eth0 has a lease",
			(host) => {
				host.processes.set(900, { command: "dhclient eth0", open: [] });
				host.write("/run/dhclient-eth0.pid", "900\n");
			},
		],
	];
	test.each(obstacles)(
		"%s: NICs come and go all the same, with one warning",
		async (_, obstruct) => {
			const { host, daemon } = await steady({
				enis: [eth1],
				files: { [config]: "restart: service\n" },
			});
			obstruct(host);
			host.operations.reset();
			host.plug(eth2);
			await daemon.until(() => addressesOn(host, "eth2").length === 1, 5);
			await daemon.sleep(70);
			expect(commands(host)).toEqual(["ifup eth2"]);
			host.unplug("eth1");
			await daemon.sleep(300);
			expect(policyRules(host)).toEqual(["1002 from 10.0.3.62 lookup 1002"]);
			expect(host.disk.list(scripts).join()).not.toContain("eth1");
			expect(warnings(daemon)).toEqual([
				expect.stringMatching(/^warning: --restart service: .* one by one/),
			]);
		},
	);
});

test("two ENIs to which metadata give one address cost a question a minute, not one a second", async () => {
	const host = await createFakeHost({
		enis: [
			{ name: "eth1", addresses: ["10.0.2.62"] },
			{ name: "eth2", addresses: ["10.0.2.62"] },
		],
	});
	const daemon = await startDaemon(host);
	await daemon.sleep(60);
	daemon.forget();
	const before = host.metadata.requests.length;
	const minutes = 10;
	await daemon.sleep(minutes * 60);
	expect(daemon.passes().length).toBeLessThanOrEqual(minutes * 2);
	// A full answer takes some twenty requests.
	expect(host.metadata.requests.length - before).toBeLessThan(minutes * 40);
	expect(daemon.log()).toEqual([]);
});

test("a NIC that was taken out of the agent's hands, unbound and soon bound again is configured anew", async () => {
	const { host, daemon } = await steady();
	await run(host, "remove", "eth1");
	await daemon.sleep(5);
	expect(addressesOn(host, "eth1")).toEqual([]);
	// The metadata follow a second later.
	host.kernel.unplug("eth1");
	await daemon.sleep(1);
	host.unplug("eth1");
	await daemon.sleep(18);
	host.plug(eth1);
	await daemon.until(() => addressesOn(host, "eth1").length === 2, 5);
});

test("with `restart: interface` a NIC that has only drifted is not restarted when another comes", async () => {
	const { host, daemon } = await steady({
		enis: [eth1],
		files: { [config]: "restart: interface\n" },
	});
	host.operations.reset();
	host.kernel.sysctls.set("conf/eth1/rp_filter", "1");
	host.plug(eth2);
	await daemon.until(() => addressesOn(host, "eth2").length === 1, 5);
	await daemon.sleep(20);
	expect(host.kernel.sysctls.get("conf/eth1/rp_filter")).toBe("0");
	expect(commands(host)).toEqual(["ifup eth2"]);
});

test("with `restart: none` files are put right, and nothing of the kernel is said to be", async () => {
	const { host, daemon } = await steady({
		enis: [eth1],
		files: { [config]: "restart: none\n" },
	});
	const kernel = policyRules(host).join() + addressesOn(host, "eth1").join();
	host.disk.fs.rmSync(`${scripts}/rule-eth1`);
	await daemon.sleep(70);
	expect(host.read(`${scripts}/rule-eth1`)).toBeDefined();
	expect(policyRules(host).join() + addressesOn(host, "eth1").join()).toBe(
		kernel,
	);
	expect(daemon.log()).toEqual([
		expect.stringMatching(
			/^info: eth1: put right: \S*\/rule-eth1 was missing \(\d+ ms\)$/,
		),
	]);
	expect(daemon.status().drift.map(({ what }) => what)).toEqual([
		`${scripts}/rule-eth1 was missing`,
	]);
});

describe("a NIC that is plugged in while udev runs", () => {
	const isTouched = (host: FakeHost) =>
		host.read(`${scripts}/ifcfg-eth1`) !== undefined;
	test("is left to udev until that is done with it", async () => {
		const host = await createFakeHost();
		host.write("/run/udev/control", "");
		const daemon = await startDaemon(host);
		host.plug(eth1);
		await daemon.sleep(0.6);
		expect(isTouched(host)).toBe(false);
		const ifindex = host.kernel.link("eth1")?.ifindex;
		host.write(`/run/udev/data/n${ifindex}`, "E:ID_NET_DRIVER=virtio_net\n");
		expect(await daemon.until(() => isTouched(host))).toBeLessThan(300);
		await daemon.until(() => addressesOn(host, "eth1").length === 2, 5);
	});

	test("is left to it for a second at most", async () => {
		const host = await createFakeHost();
		host.write("/run/udev/control", "");
		const daemon = await startDaemon(host);
		host.plug(eth1);
		const ms = await daemon.until(() => isTouched(host), 5);
		expect(ms).toBeGreaterThan(990);
		expect(ms).toBeLessThan(1300);
	});
});

async function fightOverAddress(host: FakeHost, daemon: Daemon) {
	for (let time = 0; time < 3; time += 1) {
		await host.type("ip addr del 10.0.2.63/32 dev eth1");
		await daemon.sleep(2);
	}
	expect(daemon.status().drift[0]?.leftUntil).toBeDefined();
}

/** Opening a file fails where `codeOf` its path is given; returns what ends that. */
function failReads(
	{ system: { fs } }: FakeHost,
	codeOf: (path: string) => string | undefined,
): () => void {
	const { openSync } = fs;
	Object.assign(fs, {
		openSync: (...words: Parameters<typeof openSync>) => {
			const code = codeOf(String(words[0]));
			if (code) throw Object.assign(new Error(code), { code });
			return openSync(...words);
		},
	});
	return () => {
		Object.assign(fs, { openSync });
	};
}

/** Minutes between times, as far as they lie more than 30 s after the first. */
function minutesApart(times: number[], firstMs: number): number[] {
	const apart: number[] = [];
	let last = firstMs;
	for (const time of times) {
		// One run may try a file several times.
		if (time - last < 30_000) continue;
		apart.push((time - last) / 60_000);
		last = time;
	}
	return apart;
}

function warnings(daemon: Daemon): string[] {
	return daemon.log().filter((line) => !line.startsWith("info"));
}

function changes(host: FakeHost): string[] {
	return host.operations
		.list()
		.map(({ kind, target }) => `${kind} ${target}`)
		.filter((text) => !/\/run\/eni-configure|\.lock|\/lock$/.test(text));
}

function commands(host: FakeHost): string[] {
	return host.operations
		.list()
		.filter(({ kind }) => kind === "command")
		.map(({ target }) => target);
}

test("a NIC that waits and vanishes without a word of the monitor's is not asked about any more", async () => {
	const host = await createFakeHost({
		enis: [{ name: "eth1", addresses: ["10.0.2.62"], listed: false }],
	});
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	expect(daemon.status().waiting.map(({ link }) => link)).toContain("eth1");
	// Its line is lost.
	const heard = [...host.signals.watchers];
	host.signals.watchers.clear();
	host.kernel.unplug("eth1");
	await daemon.sleep(3);
	for (const watcher of heard) host.signals.watchers.add(watcher);
	expect(daemon.status().waiting.map(({ link }) => link)).not.toContain("eth1");
	const before = host.metadata.requests.length;
	await daemon.sleep(8);
	expect(host.metadata.requests.length - before).toBeLessThan(8);
});
