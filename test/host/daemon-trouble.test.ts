import { describe, expect, test } from "vitest";
import { type Daemon, startDaemon } from "./daemon";
import { addressesOn, policyRules } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import type { FaultCode, Operation } from "./operations";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };
const record = "/var/lib/eni-configure/state.json";

async function steady(): Promise<{ host: FakeHost; daemon: Daemon }> {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(45);
	daemon.forget();
	return { host, daemon };
}
const warnings = (daemon: Daemon) =>
	daemon.log().filter((line) => !line.startsWith("info"));

describe("a NIC that cannot be brought up", () => {
	test("is tried again by itself after 1, 2, 5 and then every 10 minutes; the others are not disturbed", async () => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		host.silent.add("eth1");
		const daemon = await startDaemon(host);
		const at: number[] = [];
		let seen = 0;
		while (at.length < 6) {
			await daemon.until(
				() =>
					daemon.log().filter((line) => /eth1: rolled back/.test(line)).length >
					seen,
				700,
			);
			seen += 1;
			at.push(host.clock.nowMs());
		}
		const minutes = at
			.slice(1)
			.map((time, index) => (time - (at[index] ?? 0)) / 60_000);
		for (const [index, expected] of [1, 2, 5, 10, 10].entries()) {
			// A try takes some twelve seconds.
			expect(minutes[index]).toBeGreaterThan(expected);
			expect(minutes[index]).toBeLessThan(expected + 0.5);
		}
		expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
		expect(addressesOn(host, "eth1")).toEqual([]);
		const others = warnings(daemon).filter(
			(line) => !/eth1: rolled back/.test(line),
		);
		expect(others.length).toBeLessThanOrEqual(6);
		host.silent.clear();
		await daemon.until(() => addressesOn(host, "eth1").length === 2, 620);
		await daemon.sleep(5);
		expect(daemon.status().waiting).toEqual([]);
		expect(host.read(record)?.content).not.toContain("backOff");
		expect(await daemon.stop()).toBe(0);
	});

	test("status says when it is tried again", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.silent.add("eth1");
		const daemon = await startDaemon(host);
		await daemon.until(() => /rolled back/.test(daemon.log().join()));
		await daemon.sleep(3);
		const { waiting, writtenAt } = daemon.status();
		expect(waiting).toEqual([
			expect.objectContaining({ link: "eth1", kind: "backing-off" }),
		]);
		const leftMs =
			Date.parse(waiting[0]?.retryAt ?? "") - Date.parse(writtenAt);
		expect(leftMs).toBeGreaterThan(55_000);
		expect(leftMs).toBeLessThanOrEqual(60_000);
	});
});

test("the lock held by another for a minute: one line, no error, and the work is done when it is free", async () => {
	const { host, daemon } = await steady();
	host.processes.set(777, {
		command: "node /usr/bin/eni-configure eth1",
		open: ["/var/lib/eni-configure/lock"],
	});
	host.programs.lock = { pid: 777 };
	host.plug(eth2);
	await daemon.sleep(50);
	expect(addressesOn(host, "eth2")).toEqual([]);
	expect(daemon.log()).toEqual([
		expect.stringMatching(/^info: waiting for process 777/),
	]);
	host.programs.lock = undefined;
	expect(
		await daemon.until(() => addressesOn(host, "eth2").length > 0),
	).toBeLessThan(2500);
});

test("the lock held for hours: the daemon lives, tries again, and says so once", async () => {
	const { host, daemon } = await steady();
	host.programs.lock = { pid: 777 };
	await daemon.sleep(3 * 3600);
	expect(warnings(daemon).length).toBeLessThanOrEqual(2);
	expect(daemon.status().lastPass.error).toMatch(/--lock-timeout|holds|held/);
	host.programs.lock = undefined;
	host.plug(eth2);
	await daemon.until(() => addressesOn(host, "eth2").length > 0, 40);
});

test("while the network service is starting nothing is touched; after it the NIC is configured", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	await daemon.sleep(3);
	host.programs.service = { state: "active", job: 99 };
	const before = host.snapshot();
	host.plug(eth1);
	await daemon.sleep(20);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(warnings(daemon)).toEqual([]);
	expect(daemon.status().lastPass.outcome).toBe("pending");
	host.programs.service.job = undefined;
	await daemon.until(() => addressesOn(host, "eth1").length === 2, 40);
	expect(before).not.toBe(host.snapshot());
});

test("a template that is broken is named once, costs nothing, and mended it is used", async () => {
	const { host, daemon } = await steady();
	const before = host.snapshot();
	host.write("/etc/eni-configure/templates/rule.hbs", "{{#each oops");
	await daemon.sleep(600);
	expect(warnings(daemon)).toEqual([
		expect.stringMatching(/^error: .*rule\.hbs/),
	]);
	expect(daemon.status().lastPass.error).toMatch(/rule\.hbs/);
	host.disk.fs.rmSync("/etc/eni-configure/templates", { recursive: true });
	host.disk.fs.rmSync("/etc/eni-configure", { recursive: true });
	await daemon.sleep(70);
	expect(host.snapshot()).toBe(before);
	expect(daemon.status().lastPass.error).toBeUndefined();
	host.plug(eth2);
	await daemon.until(() => addressesOn(host, "eth2").length > 0);
});

test.each([
	["cut off", '{"version": 1, "interf'],
	["empty", ""],
	["of another version", '{"version": 99}'],
	["not text", "\u0000\u00ff"],
])(
	"a state.json that is %s is set aside; what the files say stays, and goes on",
	async (_, content) => {
		const { host, daemon } = await steady();
		const before = host.snapshot();
		host.write(record, content);
		await daemon.sleep(130);
		expect(host.snapshot()).toBe(before);
		expect(daemon.log().filter((line) => /error/.test(line))).toEqual([]);
		expect(warnings(daemon)).toEqual([
			expect.stringMatching(/state\.json cannot be understood .*damaged-1/),
		]);
		expect(host.disk.list("/var/lib/eni-configure").join()).toContain(
			"state.json.damaged-1",
		);
		expect(
			Object.keys(JSON.parse(host.read(record)?.content ?? "{}").interfaces),
		).toHaveLength(1);
		host.unplug("eth1");
		await daemon.sleep(5);
		expect(policyRules(host)).toEqual([]);
	},
);

test("a state.json that is a directory is named once; moved away, the daemon goes on", async () => {
	const { host, daemon } = await steady();
	host.disk.fs.rmSync(record);
	host.disk.fs.mkdirSync(record);
	host.plug(eth2);
	await daemon.sleep(300);
	expect(daemon.ended()).toBeUndefined();
	expect(warnings(daemon)).toEqual([
		expect.stringMatching(/^error: .*state\.json .*move it away/),
	]);
	host.disk.fs.rmdirSync(record);
	await daemon.until(() => addressesOn(host, "eth2").length > 0, 40);
});

describe("a monitor that dies again and again", () => {
	test("is started again, ever more slowly; one line; events are not lost in between", async () => {
		const { host, daemon } = await steady();
		const started = host.signals.started;
		const end = () => {
			for (const watcher of host.signals.watchers) {
				host.signals.watchers.delete(watcher);
				watcher.end("ended with 1");
			}
		};
		const asked = host.metadata.requests.length;
		for (let second = 0; second < 1800; second += 1) {
			end();
			await daemon.sleep(1);
		}
		const starts = host.signals.started - started;
		// 0.25 to 30 s: some 65 in half an hour.
		expect(starts).toBeGreaterThan(40);
		expect(starts).toBeLessThan(90);
		expect(warnings(daemon)).toHaveLength(1);
		expect(host.metadata.requests.length - asked).toBeLessThan(1500);
		host.plug(eth2);
		await daemon.until(() => addressesOn(host, "eth2").length > 0, 62);
	});

	test("once, and a NIC comes just then: it is seen when the monitor is there again", async () => {
		const { host, daemon } = await steady();
		for (const watcher of [...host.signals.watchers]) {
			host.signals.watchers.delete(watcher);
			watcher.end("ended with SIGKILL");
		}
		await daemon.sleep(0.1);
		host.plug(eth2);
		expect(
			await daemon.until(() => addressesOn(host, "eth2").length > 0),
		).toBeLessThan(1500);
		expect(host.signals.watchers.size).toBe(1);
	});
});

describe("a disk that takes no writes for a while", () => {
	const faults: [string, FaultCode, (operation: Operation) => boolean][] = [
		[
			"everything is read-only",
			"EROFS",
			({ kind, target }) =>
				kind !== "ip" &&
				kind !== "command" &&
				kind !== "sysctl" &&
				!target.startsWith("/proc"),
		],
		[
			"the disk is full",
			"ENOSPC",
			({ kind }) => kind === "write" || kind === "open" || kind === "mkdir",
		],
		[
			"the journal cannot be written",
			"ENOSPC",
			({ kind, target }) => kind === "write" && target.includes("journal.json"),
		],
		[
			"the network-scripts cannot be written",
			"EROFS",
			({ target }) => target.includes("/network-scripts/"),
		],
	];
	test.each(faults)(
		"%s: nothing is half done, and all is done when that is over",
		async (_, code, isHit) => {
			const { host, daemon } = await steady();
			const before = host.snapshot();
			host.operations.setFaults((operation) =>
				isHit(operation) ? { fail: code } : undefined,
			);
			await host.type("ip addr del 10.0.2.63/32 dev eth1");
			await daemon.sleep(1);
			// Nothing is written for what the kernel alone lacks, so that may have been put right.
			if (!addressesOn(host, "eth1").includes("10.0.2.63/32"))
				await host.type(
					"ip addr add 10.0.2.63/32 brd 10.0.2.63 label eth1 dev eth1",
				);
			host.assign("eth1", "10.0.2.64");
			await daemon.sleep(900);
			const half = host.snapshot();
			expect(half.split("\n").sort()).toEqual(before.split("\n").sort());
			const said = warnings(daemon);
			expect(said.length).toBeGreaterThan(0);
			// A few kinds of line, each said once for as long as every pass fails alike.
			expect(said.length).toBeLessThan(15);
			host.operations.setFaults(undefined);
			await daemon.until(
				() => addressesOn(host, "eth1").includes("10.0.2.64/32"),
				620,
			);
			await daemon.sleep(5);
			expect(daemon.ended()).toBeUndefined();
			expect(daemon.status().lastPass.error).toBeUndefined();
			expect([...host.programs.open.values()]).toEqual([
				"/var/lib/eni-configure/daemon.lock",
			]);
		},
	);

	test("a status that cannot be written keeps nothing from being done", async () => {
		const { host, daemon } = await steady();
		host.operations.setFaults(({ target }) =>
			target.includes("/run/eni-configure") ? { fail: "ENOSPC" } : undefined,
		);
		host.plug(eth2);
		await daemon.until(() => addressesOn(host, "eth2").length > 0);
		await daemon.sleep(5);
		expect(warnings(daemon)).toEqual([]);
		host.operations.setFaults(undefined);
		await daemon.sleep(66);
		const agoMs =
			host.system.clock.wallMs() - Date.parse(daemon.status().writtenAt);
		expect(agoMs).toBeLessThan(62_000);
	});
});

describe("the end of the daemon", () => {
	test("SIGTERM in the middle of a change: it is rolled back, nothing is left open, exit 0", async () => {
		const host = await createFakeHost();
		host.silent.add("eth1");
		const daemon = await startDaemon(host);
		await daemon.sleep(2);
		host.plug(eth1);
		const before = host.snapshot();
		await daemon.until(() => host.read(`${scripts}/ifcfg-eth1`) !== undefined);
		await daemon.sleep(3);
		expect(await daemon.stop()).toBe(0);
		host.silent.clear();
		expect(host.snapshot()).toBe(before);
		expect(host.programs.open.size).toBe(0);
		expect(host.read("/var/lib/eni-configure/journal.json")).toBeUndefined();
		const second = await startDaemon(host);
		await second.until(() => addressesOn(host, "eth1").length === 2, 5);
	});

	test("SIGKILL in the middle of a change: the next daemon undoes it, says so, and does it again", async () => {
		const host = await createFakeHost();
		const daemon = await startDaemon(host);
		await daemon.sleep(2);
		host.plug(eth1);
		await daemon.until(() => host.read(`${scripts}/ifcfg-eth1`) !== undefined);
		host.endProcess();
		const second = await startDaemon(host);
		await second.until(() => addressesOn(host, "eth1").length === 2, 5);
		expect(second.log().join("\n")).toMatch(/interrupted|undone|recover/i);
	});

	test("the monitor of a daemon that was killed is ended by the next; another daemon's is not", async () => {
		const host = await createFakeHost();
		const monitor = (parent: number, owner: number) => ({
			command: "ip -o monitor link address",
			open: [],
			parent,
			environment: { ENI_CONFIGURE_MONITOR_OF: String(owner) },
		});
		host.processes.set(500, {
			command: "node daemon in a container",
			open: [],
		});
		// Start times in the fake guest are 70000 + pid.
		host.processes.set(501, monitor(500, 70_500));
		host.processes.set(502, monitor(1, 12_345));
		host.processes.set(503, { command: "ip monitor", open: [] });
		await startDaemon(host);
		expect([...host.processes.keys()].sort()).toEqual([500, 501, 503]);
	});

	test("SIGTERM while it waits for the lock ends it within a second", async () => {
		const { host, daemon } = await steady();
		host.programs.lock = { pid: 777 };
		host.plug(eth2);
		await daemon.sleep(2);
		const start = host.clock.nowMs();
		expect(await daemon.stop()).toBe(0);
		expect(host.clock.nowMs() - start).toBeLessThan(1200);
	});
});

const scripts = "/etc/sysconfig/network-scripts";
