import { describe, expect, test } from "vitest";
import type { System } from "../../src/system";
import { placeOfRun } from "../../src/trace/look";
import { type Recorded, recordSystem } from "../../src/trace/record";
import { replay } from "../../src/trace/replay";
import {
	findTrace,
	keyOf,
	parseTrace,
	writeTrace,
} from "../../src/trace/trace";
import { run } from "./agent";
import { scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const eth2 = {
	name: "eth2",
	addresses: ["192.168.1.62", "192.168.1.30"],
	subnet: "192.168.1.0/26",
};

/** One more `--all`, and what it has looked at, if it did nothing else. */
async function recordedRun(host: FakeHost, nics = "") {
	const { system, recorded } = recordSystem(host.system);
	const seen = { ...host, system } as FakeHost;
	const values = nics === "" ? { all: true } : {};
	const { exitCode, outcome } = await run(seen, "configure", nics, values);
	return { exitCode, outcome, recorded: recorded() };
}

/** Looks again as the next run does, and leaves the lock to whoever comes next. */
async function again(system: System, { seen }: Recorded) {
	const looked = await replay(system, () => seen);
	looked.lock?.release();
	return looked;
}

/** A machine with nothing to do, and the trace of the run that found so. */
async function settledHost() {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	await run(host, "configure", "", { all: true });
	const { recorded, outcome } = await recordedRun(host);
	expect(outcome).toBe("unchanged");
	const trace = recorded as Recorded;
	const isSame = async () => (await again(host.system, trace)).isSame;
	return { host, trace, isSame };
}

test("a run that changes something leaves no trace; the next one does", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const first = await recordedRun(host);
	expect(first).toMatchObject({ outcome: "applied", recorded: undefined });
	const second = await recordedRun(host);
	expect(second.outcome).toBe("unchanged");
	const seen = second.recorded?.seen ?? [];
	expect(seen.length).toBeGreaterThan(50);
	// What one look shows is not looked at twice.
	const filesOf = (kind: string) =>
		seen.filter(([one]) => one === kind).map(([, place]) => place);
	expect(filesOf("own")).toContain(`${scripts}/rule-eth1`);
	expect(filesOf("stat")).not.toContain(`${scripts}/rule-eth1`);
	const config = "/etc/eni-configure/config.yaml";
	expect(filesOf("stat")).toContain(config);
	expect(filesOf("open")).not.toContain(config);
});

test("looking again asks the metadata service no more than a run does, and starts no more", async () => {
	const { host, trace, isSame } = await settledHost();
	host.metadata.requests.length = 0;
	host.operations.reset();
	expect(await isSame()).toBe(true);
	const asked = [...host.metadata.requests].sort();
	expect(trace.seen.filter(([kind]) => kind === "run")).toHaveLength(1);
	host.metadata.requests.length = 0;
	await run(host, "configure", "", { all: true });
	expect([...host.metadata.requests].sort()).toEqual(asked);
	expect(asked).toHaveLength(5);
});

describe("a run is made in full when", () => {
	const cases: [string, (host: FakeHost) => unknown][] = [
		[
			"an address is missing",
			(h) => h.type("ip addr del 10.0.1.63/32 dev eth1"),
		],
		[
			"an address stands on another NIC",
			(h) => h.type("ip addr add 10.0.9.9/32 dev eth0"),
		],
		[
			"a rule is missing",
			(h) => h.type("ip rule del from 10.0.1.63 priority 1001"),
		],
		[
			"somebody's rule names an address",
			(h) => h.type("ip rule add from 10.0.1.63 lookup 2000 priority 512"),
		],
		[
			"a route is missing",
			(h) => h.type("ip route del default dev eth1 table 1001"),
		],
		["a link is down", (h) => h.type("ip link set dev eth2 down")],
		["rp_filter is on", (h) => h.kernel.sysctls.set("conf/all/rp_filter", "1")],
		[
			"a file was edited",
			(h) => h.write(`${scripts}/ifcfg-eth1`, 'DEVICE="eth1"\n'),
		],
		[
			"a file belongs to somebody else",
			(h) => {
				const path = `${scripts}/route-eth1`;
				h.write(path, h.read(path)?.content ?? "", { uid: 1000 });
			},
		],
		[
			"a file has another mode",
			(h) => {
				const path = `${scripts}/route-eth1`;
				h.write(path, h.read(path)?.content ?? "", { mode: 0o600 });
			},
		],
		[
			"a symbolic link leads to the same file",
			({ disk: { fs } }) => {
				fs.renameSync(`${scripts}/rule-eth1`, "/var/rule-eth1");
				fs.symlinkSync("/var/rule-eth1", `${scripts}/rule-eth1`);
			},
		],
		["a file is gone", (h) => h.disk.fs.unlinkSync(`${scripts}/rule-eth1`)],
		[
			"a file claims a NIC",
			(h) => h.write(`${scripts}/ifcfg-other`, "DEVICE=eth2\n"),
		],
		[
			"sysctl.conf was edited",
			(h) =>
				h.write(
					"/etc/sysctl.conf",
					`${h.read("/etc/sysctl.conf")?.content}net.ipv4.conf.all.rp_filter = 1\n`,
				),
		],
		[
			"a config has been written",
			(h) => h.write("/etc/eni-configure/config.yaml", "rpFilter: 2\n"),
		],
		[
			"a template has been written",
			(h) => h.write("/etc/eni-configure/templates/rule.hbs", "# none\n"),
		],
		[
			"the record is gone",
			(h) => h.disk.fs.unlinkSync("/var/lib/eni-configure/state.json"),
		],
		[
			"a run was interrupted",
			(h) => h.write("/var/lib/eni-configure/journal.json", "{}"),
		],
		["an address was assigned", (h) => h.assign("eth1", "10.0.1.64")],
		["an address was released", (h) => h.release("eth1", "10.0.1.63")],
		[
			"the metadata service is silent",
			(h) => {
				h.metadata.trouble = "hang";
			},
		],
		[
			"the metadata service has an error",
			(h) => {
				const body = Buffer.from("");
				h.metadata.trouble = { kind: "response", status: 500, body };
			},
		],
		[
			"a NIC was plugged in",
			(h) =>
				h.plug({
					name: "eth3",
					addresses: ["10.0.3.3"],
					subnet: "10.0.3.0/24",
				}),
		],
		["a NIC was unplugged", (h) => h.unplug("eth2")],
		[
			"a container network has come",
			(h) => h.write("/etc/cni/net.d/10-tke.conf", '{"type": "tke-route-eni"}'),
		],
		[
			"NetworkManager runs",
			(h) => {
				h.disk.fs.mkdirSync("/run/NetworkManager", { recursive: true });
				h.processes.set(777, { command: "NetworkManager", open: [] });
				h.write("/proc/777/comm", "NetworkManager\n");
			},
		],
		["a program is missing", (h) => h.programs.missing.add("ip")],
	];
	test.each(cases)("%s", async (_, change) => {
		const { host, isSame } = await settledHost();
		expect(await isSame()).toBe(true);
		await change(host);
		expect(await isSame()).toBe(false);
	});
});

test("nothing that a run has looked at may look otherwise", async () => {
	const { host, trace } = await settledHost();
	for (const [kind, place, text] of trace.seen) {
		// It is seen by files that come and go.
		if (kind === "running") continue;
		const change = text === "error ENOENT" ? "appeared" : kind;
		const looking = again(other(host.system, change, place), trace);
		// What stands in the way of the lock is refused.
		const { isSame } = await looking.catch(() => ({ isSame: false }));
		expect({ kind, place, isSame }).toEqual({ kind, place, isSame: false });
	}
});

/** The same world, but for one thing in it. */
function other(system: System, kind: string, place: string): System {
	const { fs } = system;
	const isIt = (path: unknown) => String(path) === place;
	const missing = Object.assign(new Error("hidden"), { code: "EIO" });
	const instead = <T extends (path: never, ...rest: never[]) => unknown>(
		call: T,
		answer: () => unknown,
	) =>
		((path: never, ...rest: never[]) =>
			isIt(path) ? answer() : call(path, ...rest)) as T;
	const fail = () => {
		throw missing;
	};
	switch (kind) {
		case "list":
			return {
				...system,
				fs: { ...fs, readdirSync: instead(fs.readdirSync, fail) },
			};
		case "stat":
			return {
				...system,
				fs: { ...fs, lstatSync: instead(fs.lstatSync, fail) },
			};
		case "link":
			return {
				...system,
				fs: { ...fs, readlinkSync: instead(fs.readlinkSync, fail) },
			};
		case "appeared": {
			const something = () => fs.lstatSync("/etc/sysctl.conf");
			const there = {
				lstatSync: instead(fs.lstatSync, something),
				openSync: instead(fs.openSync, fail),
				readdirSync: instead(fs.readdirSync, fail),
				readlinkSync: instead(fs.readlinkSync, fail),
			};
			return { ...system, fs: { ...fs, ...there } };
		}
		case "run":
			return {
				...system,
				run: async (argv, options) => {
					const result = await system.run(argv, options);
					// Behind the shell that takes the lock, and by itself.
					const words = argv[0] === "/bin/sh" ? argv.slice(4) : argv;
					return placeOfRun(words, options?.input) === place
						? { ...result, stdout: `${result.stdout}9: eth9\n` }
						: result;
				},
			};
		case "http":
			return {
				...system,
				http: async (url, limits) =>
					url === place
						? { kind: "response", status: 404, body: Buffer.from("") }
						: system.http(url, limits),
			};
		default:
			return { ...system, fs: { ...fs, openSync: instead(fs.openSync, fail) } };
	}
}

test("the seconds that a lease is still valid may run", async () => {
	const { host, trace } = await settledHost();
	const leased = (seconds: number): System => ({
		...host.system,
		run: async (argv, options) => {
			const result = await host.system.run(argv, options);
			const { stdout } = result;
			const lft = `\\       valid_lft ${seconds}sec preferred_lft ${seconds}sec`;
			return argv.includes("ip")
				? { ...result, stdout: stdout.replace(/^(\d+: eth0.*)$/m, `$1${lft}`) }
				: result;
		},
	});
	const { system, recorded } = recordSystem(leased(86_000));
	await run({ ...host, system } as FakeHost, "configure", "", { all: true });
	const later = { ...trace, ...recorded() };
	expect((await again(leased(85_940), later)).isSame).toBe(true);
	expect((await again(host.system, later)).isSame).toBe(false);
});

describe("the trace in /run", () => {
	const path = "/run/eni-configure/unchanged";
	const key = keyOf(["--all"], {});
	async function written() {
		const { host, trace } = await settledHost();
		writeTrace(host.system.fs, key, trace);
		return host;
	}

	test("is for the same words and variables", async () => {
		const { host, trace } = await settledHost();
		const { fs } = host.system;
		writeTrace(fs, key, trace);
		const bytes = findTrace(fs, key);
		expect(bytes && parseTrace(bytes)).toEqual(trace);
		expect(findTrace(fs, keyOf(["eth1"], {}))).toBeUndefined();
		const env = { ENI_CONFIGURE_RESTART: "none", HOME: "/root" };
		expect(findTrace(fs, keyOf(["--all"], env))).toBeUndefined();
		expect(keyOf(["--all"], { HOME: "/root" })).toBe(key);
	});

	test.each([
		["somebody else's", { uid: 1000 }],
		["one that others can write", { mode: 0o666 }],
	])("%s is not believed", async (_, attributes) => {
		const host = await written();
		host.write(path, host.read(path)?.content ?? "", attributes);
		expect(findTrace(host.system.fs, key)).toBeUndefined();
	});

	test.each(["", "{", "null", "[]", '{"build":"other"}'])(
		"damage is not believed: %j",
		async (text) => {
			const host = await written();
			host.write(path, text);
			expect(findTrace(host.system.fs, key)).toBeUndefined();
		},
	);

	test("of another build is not believed", async () => {
		const host = await written();
		const text = host.read(path)?.content ?? "";
		host.write(path, text.replace('"build":"unbuilt"', '"build":"older"'));
		expect(findTrace(host.system.fs, key)).toBeUndefined();
	});

	test("is written where it differs alone", async () => {
		const { host, trace } = await settledHost();
		const { fs } = host.system;
		writeTrace(fs, key, trace);
		host.operations.reset();
		writeTrace(fs, key, trace);
		expect(
			host.operations.list().filter((one) => /write/.test(String(one))),
		).toEqual([]);
	});
});
