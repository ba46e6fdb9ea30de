import { describe, expect, test } from "vitest";
import { readOptions, type Values } from "../../src/commands/options";
import { status } from "../../src/commands/status";
import type { StatusView } from "../../src/commands/status-view";
import type { DaemonStatus } from "../../src/model";
import { run } from "./agent";
import { scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import type { Tree } from "./metadata";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const mac1 = "52:54:00:bf:b3:51";
const statusFile = "/run/eni-configure/status.json";
const stateFile = "/var/lib/eni-configure/state.json";

interface Shown {
	text: string;
	json: StatusView & { version: number; command: string };
	exitCode: number;
}

/** Runs `status` for people and for --json, and expects it to have left the machine as it was. */
async function statusOf(host: FakeHost, values: Values = {}): Promise<Shown> {
	const machine = () => host.snapshot() + host.read(stateFile)?.content;
	const before = machine();
	const show = async (json: boolean) => {
		let text = "";
		const options = await readOptions(
			host.system.fs,
			"status",
			{ ...values, json },
			{},
		);
		host.operations.reset();
		const exitCode = await status(
			host.system,
			options,
			(more) => {
				text += more;
			},
			async () => ({ os: "CentOS Linux 7", cores: 4, memoryGiB: 7.64 }),
		);
		expect(host.operations.list()).toEqual([]);
		return { text, exitCode };
	};
	const { text, exitCode } = await show(false);
	const json = JSON.parse((await show(true)).text);
	expect(machine()).toBe(before);
	return { text, json, exitCode };
}

const nicIn = ({ json }: Shown, name: string) =>
	json.interfaces.find((nic) => nic.name === name);

/** The time on the host's wall clock, so many seconds from now. */
const timeAt = (host: FakeHost, seconds: number) =>
	new Date(host.system.clock.wallMs() + seconds * 1000).toISOString();

/** A daemon's status.json, written 12 minutes ago by process 812. */
function daemonStatus(host: FakeHost, more: Partial<DaemonStatus> = {}) {
	const written: DaemonStatus = {
		version: 1,
		pid: 812,
		startTicks: 500,
		startedAt: timeAt(host, -7200),
		writtenAt: timeAt(host, -720),
		nextResyncAt: timeAt(host, 48),
		metadata: { answeredAt: timeAt(host, -720) },
		lastPass: {
			at: timeAt(host, -720),
			trigger: "resync",
			outcome: "unchanged",
			ms: 41.3,
		},
		waiting: [],
		releases: [],
		drift: [],
		...more,
	};
	host.write(statusFile, JSON.stringify(written));
}

/** Process 812, as /proc shows it. */
function process812(host: FakeHost, startTicks: number) {
	host.write(
		"/proc/812/stat",
		`812 (eni) conf) S 1 812 812 0 -1 4194560 2214 0 3 0 11 4 0 0 20 0 11 0 ${startTicks} 622592000 12345\n`,
	);
}

/** What metadata says of each ENI, by its MAC in upper case. */
function macsOf(host: FakeHost): Record<string, Tree> {
	const { network } = host.metadata.tree as { network: Tree };
	return (network.interfaces as Tree).macs as Record<string, Tree>;
}

function eip(host: FakeHost, mac: string, ip: string, publicIp: string) {
	const addresses = macsOf(host)[mac.toUpperCase()]?.["local-ipv4s"] as Tree;
	(addresses[ip] as Tree)["public-ipv4"] = publicIp;
}

async function managed(): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1] });
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	return host;
}

describe("a machine as it should be", () => {
	test("says so first, then what it is and uses, then each NIC, then the daemon", async () => {
		const { text, json, exitCode } = await statusOf(await managed());
		expect(exitCode).toBe(0);
		expect(
			text.split("\n").filter((line) => !line.startsWith("changed:")),
		).toEqual([
			"summary:  all is well",
			"machine:  CentOS Linux 7, 4 cores, 7.6 GiB",
			expect.stringMatching(/^backend: {2}initscripts \(/),
			"metadata: 2 ENIs",
			"use:      ENIs 2 of 4, addresses 3 of 40",
			"",
			"eth0     52:54:00:bf:b3:50  up, primary",
			"         10.0.1.10/24",
			`eth1     ${mac1}  up, managed, table 1001, from metadata`,
			"         10.0.2.62/24",
			"         10.0.2.63/32",
			"         gateway 10.0.2.1",
			"",
			"daemon:   never ran since the boot",
			"",
		]);
		expect(json).toMatchObject({
			version: 1,
			command: "status",
			machine: { os: "CentOS Linux 7", cores: 4, memoryGiB: 7.6 },
			backend: { name: "initscripts" },
			metadata: "2 ENIs",
			attention: [],
			daemon: null,
			limits: {
				enis: { used: 2, of: 4 },
				addresses: { used: 3, of: 40 },
				source: expect.stringContaining("guide"),
				notes: [],
			},
			drift: [],
			planned: [],
			problems: [],
			lastChange: { command: "configure", links: ["eth1"] },
		});
		expect(nicIn({ text, json, exitCode }, "eth1")).toEqual({
			name: "eth1",
			mac: mac1,
			role: "managed",
			up: true,
			addresses: ["10.0.2.62/24", "10.0.2.63/32"],
			publicIps: {},
			table: 1001,
			gateway: "10.0.2.1",
			source: "metadata",
			released: false,
			verdict: null,
			backOff: null,
			privateIps: ["10.0.2.62", "10.0.2.63"],
			missing: [],
			notes: [],
		});
	});

	test("shows EIPs beside their addresses, the primary's too", async () => {
		const host = await managed();
		eip(host, mac1, "10.0.2.63", "203.0.113.7");
		eip(host, "52:54:00:bf:b3:50", "10.0.1.10", "203.0.113.9");
		const shown = await statusOf(host);
		expect(shown.text).toContain("         10.0.2.63/32 (EIP 203.0.113.7)\n");
		expect(shown.text).toContain("         10.0.1.10/24 (EIP 203.0.113.9)\n");
		expect(nicIn(shown, "eth1")?.publicIps).toEqual({
			"10.0.2.63": "203.0.113.7",
		});
	});

	test("says when the last change was, and how it is undone", async () => {
		const host = await managed();
		expect((await statusOf(host)).text).toMatch(
			/^changed: {2}.*: configure eth1; `eni-configure rollback` undoes it$/m,
		);
		await run(host, "rollback", "");
		expect((await statusOf(host)).text).toMatch(
			/^changed: {2}.*: rollback eth1$/m,
		);
	});
});

describe("the use of the limits", () => {
	test("above the table is a note, for one ENI and for all of them", async () => {
		const many = Array.from({ length: 12 }, (_, at) => `10.0.2.${at + 10}`);
		const host = await createFakeHost({
			enis: [
				{ name: "eth1", addresses: many },
				...[2, 3, 4].map((at) => ({
					name: `eth${at}`,
					addresses: [`10.0.${at + 1}.62`],
				})),
			],
		});
		const { text, json } = await statusOf(host);
		expect(text).toContain("use:      ENIs 5 of 4, addresses 16 of 40\n");
		expect(json.limits?.notes).toEqual([
			expect.stringContaining("5 ENIs are bound"),
			expect.stringContaining("eth1 has 12 private IPs"),
		]);
		for (const note of json.limits?.notes ?? [])
			expect(text).toContain(`\n          ${note}\n`);
	});

	test("goes by the guest's NICs while metadata is silent", async () => {
		const host = await managed();
		host.metadata.trouble = { kind: "failed", reason: "refused", reset: false };
		const { text, json } = await statusOf(host);
		expect(json.limits).toMatchObject({
			enis: { used: 2, of: 4 },
			addresses: { used: 3, of: 40 },
		});
		expect(text).toContain("summary:  look at the metadata service\n");
		expect(text.match(/cannot be read from/g)).toHaveLength(1);
	});
});

describe("the primary", () => {
	test("shows the private IPs that the cloud gives it and the guest lacks", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.assign("eth0", "10.0.1.11");
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth0")).toMatchObject({
			role: "primary",
			privateIps: ["10.0.1.10", "10.0.1.11"],
			missing: ["10.0.1.11"],
		});
		expect(shown.text.match(/10\.0\.1\.11\b/g)).toHaveLength(1);
	});
});

describe("what is not as it should be", () => {
	test("a new NIC: what the cloud has for it, and that there is something to do, which is no drift", async () => {
		const shown = await statusOf(await createFakeHost({ enis: [eth1] }));
		expect(nicIn(shown, "eth1")).toMatchObject({
			role: "not configured",
			up: false,
			gateway: "10.0.2.1",
			source: "metadata",
			missing: ["10.0.2.62", "10.0.2.63"],
		});
		expect(shown.json.drift).toEqual([]);
		expect(shown.json.planned?.map(({ link }) => link)).toContain("eth1");
		expect(shown.text).toContain(
			"         not in the guest: 10.0.2.62, 10.0.2.63\n",
		);
		expect(shown.text).toMatch(
			/ {9}to do: \d+ steps, see `eni-configure plan eth1`\n/,
		);
	});

	test("an address that was assigned since is to be done, and no drift", async () => {
		const host = await managed();
		host.assign("eth1", "10.0.2.64");
		const shown = await statusOf(host);
		expect(shown.json.drift).toEqual([]);
		expect(shown.json.planned?.map(({ summary }) => summary)).toEqual(
			expect.arrayContaining([
				expect.stringMatching(/^ip addr(ess)? add 10\.0\.2\.64\/32/),
			]),
		);
		expect(nicIn(shown, "eth1")?.missing).toEqual(["10.0.2.64"]);
	});

	test("drift is named by NIC, metadata or not, and beside news of the cloud", async () => {
		const host = await managed();
		await host.type("ip rule del from 10.0.2.63 table 1001 priority 1001");
		host.kernel.sysctls.set("conf/all/rp_filter", "1");
		const check = async () => {
			const { text, json } = await statusOf(host);
			expect(json.drift).toEqual([
				{
					kind: "sysctl",
					link: null,
					target: "net.ipv4.conf.all.rp_filter",
					summary: "net.ipv4.conf.all.rp_filter = 0 (was 1)",
				},
				{
					kind: "rule",
					link: "eth1",
					target: "from 10.0.2.63/32 lookup 1001 priority 1001",
					summary: expect.stringContaining("rule add"),
				},
			]);
			expect(text).toMatch(/^ {9}drift: ip rule add from 10\.0\.2\.63/m);
			expect(text).toMatch(/^shared {3}drift: net\.ipv4\.conf\.all\.rp_f/m);
			expect(text).toMatch(/^summary: {2}look at .*drift: shared, eth1/m);
		};
		await check();
		host.assign("eth1", "10.0.2.64");
		await check();
		host.metadata.trouble = { kind: "failed", reason: "refused", reset: false };
		await check();
	});

	test("a NIC whose file was made by hand is held", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.write(`${scripts}/ifcfg-eth1`, "DEVICE=eth1\n");
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth1")?.verdict?.kind).toBe("held");
		expect(shown.text).toMatch(/^ {9}held: .*ifcfg-eth1/m);
		expect(shown.text).toContain("summary:  look at eth1 held\n");
	});

	test("a NIC that was removed is released, and that is nothing to look at", async () => {
		const host = await managed();
		await run(host, "remove", "eth1");
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth1")).toMatchObject({
			role: "released",
			released: true,
			verdict: { kind: "released" },
		});
		expect(shown.text).toContain("`eni-configure eth1` takes it back");
		expect(shown.text).toContain("summary:  all is well\n");
	});

	test("a NIC that was rolled back: how often, and for how long it is left alone", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.silent.add("eth1");
		await run(host, "configure", "", { all: true });
		await host.clock.sleep(20_000);
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth1")?.backOff).toEqual({
			attempts: 1,
			secondsLeft: expect.any(Number),
		});
		const { secondsLeft = 0 } = nicIn(shown, "eth1")?.backOff ?? {};
		expect(secondsLeft).toBeGreaterThan(30);
		expect(secondsLeft).toBeLessThanOrEqual(40);
		expect(shown.text).toMatch(
			new RegExp(`rolled back once.*tried again in ${secondsLeft} s`),
		);
		expect(shown.text).toContain("summary:  look at eth1 backing-off");
		// Known from the record also where the cloud is silent.
		host.metadata.trouble = { kind: "failed", reason: "refused", reset: false };
		expect((await statusOf(host)).text).toMatch(
			/was rolled back \(once\): not tried again for \d+ s/,
		);
		await host.clock.sleep(60_000);
		expect(nicIn(await statusOf(host), "eth1")?.backOff).toBeNull();
	});

	test("a boot ends a back-off, metadata or not", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.silent.add("eth1");
		await run(host, "configure", "", { all: true });
		host.metadata.trouble = { kind: "failed", reason: "refused", reset: false };
		expect(nicIn(await statusOf(host), "eth1")?.backOff?.attempts).toBe(1);
		await host.reboot();
		expect(nicIn(await statusOf(host), "eth1")?.backOff).toBeNull();
	});

	test("an ENI that metadata does not know well yet is pending, and one without a NIC has a line", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const macs = macsOf(host);
		delete macs[mac1.toUpperCase()]?.["primary-local-ipv4"];
		macs["52:54:00:BF:B3:99"] = {};
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth1")?.verdict?.kind).toBe("pending");
		expect(shown.text).toMatch(/^ {9}pending: primary-local-ipv4 /m);
		expect(shown.text).toMatch(/^- {8}52:54:00:bf:b3:99 {2}pending: the ENI/m);
		expect(shown.json.withoutNic).toEqual([
			{
				kind: "pending",
				name: "-",
				mac: "52:54:00:bf:b3:99",
				reason: expect.any(String),
			},
		]);
		expect(shown.text).toContain(
			"summary:  look at eth1 pending; 52:54:00:bf:b3:99 without a NIC\n",
		);
		expect(shown.text).toContain(
			"the private IPs of 2 of the ENIs are not known",
		);
	});

	test("a NIC that was unbound and left its files behind is named, with what to do", async () => {
		const host = await managed();
		host.unplug("eth1");
		const { text } = await statusOf(host);
		expect(text).toContain("summary:  look at eth1 unbound\n");
		expect(text).toMatch(
			new RegExp(
				`^eth1 {5}${mac1} {2}unbound: .*eni-configure remove eth1`,
				"m",
			),
		);
		await run(host, "remove", "eth1");
		expect((await statusOf(host)).text).toContain("summary:  all is well\n");
	});

	test("a run that was interrupted is said", async () => {
		const host = await managed();
		host.write("/var/lib/eni-configure/journal.json", "{}");
		expect((await statusOf(host)).text).toContain(
			"summary:  look at a run is under way, or was interrupted\n",
		);
	});

	test("addresses from the config are shown with their source, without metadata", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		host.write(
			"/etc/eni-configure/config.yaml",
			`interfaces: {"${mac1}": {addresses: [10.0.2.62/24], gateway: 10.0.2.1}}\n`,
		);
		const shown = await statusOf(host);
		expect(nicIn(shown, "eth1")).toMatchObject({
			role: "not configured",
			source: "config",
		});
	});
});

describe("the daemon", () => {
	test("runs: since when, what it did, what it waits for, what it found changed", async () => {
		const host = await managed();
		process812(host, 500);
		daemonStatus(host, {
			lastChange: {
				at: timeAt(host, -600),
				link: "eth1",
				text: "applied: 10.0.2.62/24 and 1 more",
			},
			metadata: { problem: "is down", answeredAt: timeAt(host, -130) },
			waiting: [
				{
					link: "-",
					mac: "52:54:00:bf:b3:99",
					kind: "pending",
					reason: "its NIC has not come up yet",
					retryAt: timeAt(host, 5),
				},
				{ link: "eth2", kind: "held", reason: "made by hand" },
			],
			releases: [
				{ link: "eth1", addresses: ["10.0.2.63/32"], dueAt: timeAt(host, 20) },
			],
			drift: [
				{
					what: "net.ipv4.conf.all.rp_filter",
					times: 1,
					lastAt: timeAt(host, -7000),
				},
				{
					link: "eth1",
					what: "conf/eth1/rp_filter",
					times: 5,
					lastAt: timeAt(host, -60),
					leftUntil: timeAt(host, 240),
				},
			],
		});
		const { text, json } = await statusOf(host);
		expect(text.slice(text.indexOf("daemon:")).split("\n")).toEqual([
			`daemon:   running, pid 812, since ${timeAt(host, -7200)} (2 h ago)`,
			"          last pass 12 min ago: resync, unchanged, 41 ms",
			"          last change 10 min ago: eth1: applied: 10.0.2.62/24 and 1 more",
			"          next resync in 48 s",
			"          52:54:00:bf:b3:99: pending, tried again in 5 s",
			"          eth1: release of 10.0.2.63/32 in 20 s, if metadata still says so",
			"          drifted: eth1: conf/eth1/rp_filter, 5 times, last 60 s ago; somebody else keeps changing it: left alone, tried again in 4 min",
			"          drifted: net.ipv4.conf.all.rp_filter, once, last 2 h ago",
			"          metadata: is down (answered last 2 min ago)",
			"",
		]);
		expect(text).toContain("summary:  all is well\n");
		expect(json.daemon).toMatchObject({
			running: true,
			pid: 812,
			startedAt: timeAt(host, -7200),
			lastPass: { trigger: "resync", outcome: "unchanged", ms: 41.3 },
			lastChange: { link: "eth1" },
			nextResyncAt: timeAt(host, 48),
			waiting: [{ mac: "52:54:00:bf:b3:99" }, { link: "eth2" }],
			releases: [{ link: "eth1" }],
			drift: [{ times: 1 }, { times: 5 }],
			metadata: { problem: "is down" },
		});
	});

	test.each([
		["ended", () => {}],
		["ended, and its pid went to another process", process812],
	])(
		"has %s: when it was seen last, and the rest by a look of its own",
		async (_, other) => {
			const host = await managed();
			other(host, 501);
			daemonStatus(host, {
				waiting: [
					{ link: "eth9", kind: "held", reason: "x", retryAt: timeAt(host, 5) },
				],
			});
			const { text, json } = await statusOf(host);
			expect(text).toContain("daemon:   not running (last seen 12 min ago)\n");
			expect(text).toContain(
				"          last pass 12 min ago: resync, unchanged",
			);
			expect(text).not.toContain("next resync");
			expect(text).not.toContain("eth9");
			expect(text).toContain("summary:  look at the daemon has stopped\n");
			expect(text).toContain(`eth1     ${mac1}  up, managed, table 1001`);
			expect(json.daemon).toMatchObject({
				running: false,
				lastSeenAt: timeAt(host, -720),
			});
		},
	);

	test.each([
		["garbage", "}{", /cannot be understood: no JSON/],
		["empty", "", /cannot be understood/],
		["of another version", '{"version": 2}', /version is 2/],
		["too large", "x".repeat(1024 * 1024 + 1), /larger than the 1048576 bytes/],
		["a directory", undefined, /cannot be read|not a regular file/],
	])(
		"has left a status.json that is %s: a line says so, and the rest is shown",
		async (_, content, problem) => {
			const host = await managed();
			if (content === undefined)
				host.disk.fs.mkdirSync(statusFile, { recursive: true });
			else host.write(statusFile, content);
			const { text, json, exitCode } = await statusOf(host);
			expect(exitCode).toBe(0);
			expect(text).toMatch(/^daemon: {3}not known: .*status\.json/m);
			expect(json.daemon).toMatchObject({
				running: null,
				problem: expect.stringMatching(problem),
			});
			expect(text).toContain(`eth1     ${mac1}  up, managed, table 1001`);
		},
	);

	test("cannot fill the screen, nor steer the terminal", async () => {
		const host = await managed();
		process812(host, 500);
		daemonStatus(host, {
			drift: Array.from({ length: 1000 }, (_, at) => ({
				what: `odd ${at}\n\u001b[31mdaemon: fine`,
				times: 1,
				lastAt: timeAt(host, -1),
			})),
		});
		const { text } = await statusOf(host);
		expect(text.split("\n").length).toBeLessThan(40);
		expect(text).toContain("odd 999?");
		expect(text).toContain("          and 995 more\n");
		expect(text).not.toMatch(/^daemon: fine/m);
	});
});

describe("where something cannot be looked at", () => {
	test.each([
		["garbage", "{"],
		["too large", " ".repeat(4 * 1024 * 1024 + 1)],
	])(
		"a state.json that is %s costs what differs, and nothing else",
		async (_, content) => {
			const host = await managed();
			host.write(stateFile, content);
			const { text, json, exitCode } = await statusOf(host);
			expect(exitCode).toBe(0);
			expect(text).toMatch(/^not seen: .*state\.json/m);
			expect(json).toMatchObject({ drift: null, planned: null });
			expect(text).toMatch(/^eth1 .*up, managed/m);
		},
	);

	test("a refused template or backend costs what differs, and nothing else", async () => {
		const host = await managed();
		host.write("/etc/eni-configure/templates/ifcfg.hbs", "{{#each");
		const broken = await statusOf(host);
		expect(broken.text).toMatch(/^not seen: what differs .*ifcfg\.hbs/m);
		expect(broken.json.drift).toBeNull();
		expect(nicIn(broken, "eth1")?.role).toBe("managed");

		const other = await createFakeHost({ enis: [eth1] });
		other.disk.fs.unlinkSync(`${scripts}/ifup-eth`);
		const refused = await statusOf(other);
		expect(refused.exitCode).toBe(0);
		expect(refused.json.backend.name).toBeNull();
		expect(refused.text).toMatch(/^eth1 .*not configured/m);
	});

	test("without `ip` the rest is shown, and the exit code says it", async () => {
		const host = await managed();
		process812(host, 500);
		daemonStatus(host);
		host.programs.missing.add("ip");
		const { text, json, exitCode } = await statusOf(host);
		expect(exitCode).toBe(5);
		expect(text).toContain(
			"summary:  look at the kernel could not be looked at",
		);
		expect(text).toContain("daemon:   running, pid 812");
		expect(json).toMatchObject({
			error: expect.stringContaining("install iproute"),
			interfaces: [],
			limits: null,
			drift: null,
		});
	});
});
