import { describe, expect, test } from "vitest";
import { type Command, run, runBoot } from "./agent";
import type { Loss } from "./disk";
import { addressesOn, policyRules, scripts } from "./expectations";
import { createFakeHost, type FakeHost, type HostOptions } from "./fake-host";
import { type Fault, failWhere, type Operation } from "./operations";
import { describeFiles } from "./snapshot";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const eth2 = {
	name: "eth2",
	mac: "52:54:00:ab:cd:ef",
	addresses: ["10.0.3.62"],
};
const state = "/var/lib/eni-configure";
const journal = `${state}/journal.json`;
const parked = `${state}/parked`;
const all: Loss = { bytes: "kept", entries: "kept" };
const names = ["ifcfg", "route", "rule"];

const filesOf = (host: FakeHost, name: string, directory = scripts) =>
	Object.fromEntries(
		names.flatMap((kind) => {
			const file = host.read(`${directory}/${kind}-${name}`);
			return file ? [[kind, file.content]] : [];
		}),
	);
const said = (host: FakeHost, level: string) =>
	host.log
		.filter((line) => line.level === level)
		.map(({ message }) => message)
		.join("\n");

async function configured(options: HostOptions = {}): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1, eth2], ...options });
	expect((await run(host, "configure", "eth1 eth2")).outcome).toBe("applied");
	return host;
}

/** A boot with the boot unit; what it exits with, and what was there just before the network service. */
async function boot(host: FakeHost, loss = all) {
	let exitCode: number | undefined;
	let operations: Operation[] = [];
	host.log.length = 0;
	const before = host.clock.nowMs();
	let tookMs = 0;
	await host.reboot(loss, async () => {
		exitCode = await runBoot(host);
		tookMs = host.clock.nowMs() - before;
		operations = [...host.operations.list()];
	});
	return { exitCode, operations, tookMs, service: host.programs.service.state };
}

/** A run that dies at the first operation that matches. */
async function killed(
	host: FakeHost,
	matches: (operation: Operation) => boolean,
	command: Command,
	nics: string,
	values = {},
): Promise<void> {
	host.operations.setFaults((operation) =>
		matches(operation) ? { stop: true } : undefined,
	);
	expect((await run(host, command, nics, values)).stop).toBeDefined();
	host.operations.setFaults(undefined);
}
const atCommit = ({ kind, target }: Operation) =>
	kind === "rename" && target.includes("undo/journal.json");

describe("a managed NIC that was unbound while the machine was off", () => {
	test("makes the network service fail, but for the boot unit, which parks its files", async () => {
		const host = await configured();
		const files = filesOf(host, "eth1");
		host.unplug("eth1");
		await host.reboot();
		expect(host.programs.service.state).toBe("failed");
		const record = host.record();
		const { exitCode, service } = await boot(host);
		expect({ exitCode, service }).toEqual({ exitCode: 0, service: "active" });
		expect(filesOf(host, "eth1")).toEqual({});
		expect(filesOf(host, "eth1", parked)).toEqual(files);
		expect(Object.keys(filesOf(host, "eth2"))).toEqual(names);
		expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
		expect(host.disk.attributesOf(parked).mode).toBe(0o700);
		expect(host.record()).toBe(record);
		expect(said(host, "warning")).toContain("eth1: no NIC has the MAC");
		expect(said(host, "error")).toBe("");
	});

	test("is found again by the next ordinary run, which clears its record", async () => {
		const host = await configured();
		host.unplug("eth1");
		await boot(host);
		expect((await run(host, "configure", "", { all: true })).exitCode).toBe(0);
		expect(host.record()).not.toContain('"managed": {\n     "name": "eth1"');
		expect(host.read("/etc/sysctl.conf")?.content).not.toContain("eth1");
		expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
	});

	test.each([
		["named", "eth1", {}],
		["--all", "", { all: true }],
	])(
		"is configured as ever once it is plugged in again (%s), and its copies are gone after the next boot",
		async (_, nics, values) => {
			const host = await configured();
			const files = filesOf(host, "eth1");
			host.unplug("eth1");
			await boot(host);
			host.plug(eth1);
			const again = await run(host, "configure", nics, values);
			expect(again.exitCode).toBe(0);
			expect(filesOf(host, "eth1")).toEqual(files);
			expect(addressesOn(host, "eth1")).toEqual([
				"10.0.1.62/24",
				"10.0.1.63/32",
			]);
			expect(policyRules(host).join()).toContain("from 10.0.1.62 lookup 1001");
			expect(filesOf(host, "eth1", parked)).toEqual(files);
			const { service } = await boot(host);
			expect(service).toBe("active");
			expect(filesOf(host, "eth1", parked)).toEqual({});
			expect((await run(host, "configure", "eth1 eth2")).exitCode).toBe(0);
			expect(filesOf(host, "eth1")).toEqual(files);
		},
	);

	test("is parked anew over the copy of an earlier time", async () => {
		const host = await configured();
		host.unplug("eth1");
		await boot(host);
		host.plug({ ...eth1, addresses: ["10.0.1.70"] });
		await run(host, "configure", "eth1", { prune: true });
		const files = filesOf(host, "eth1");
		host.unplug("eth1");
		await boot(host);
		expect(filesOf(host, "eth1", parked)).toEqual(files);
		expect(files.ifcfg).toContain("10.0.1.70");
	});

	test("is parked where another NIC has its name by now", async () => {
		const host = await configured();
		host.unplug("eth1");
		host.plug({ ...eth1, mac: "52:54:00:00:00:99", addresses: ["10.0.9.62"] });
		const { service } = await boot(host);
		expect(service).toBe("active");
		expect(filesOf(host, "eth1")).toEqual({});
		expect((await run(host, "configure", "", { all: true })).exitCode).toBe(0);
		expect(addressesOn(host, "eth1")).toEqual(["10.0.9.62/24"]);
	});

	test("keeps its files where one was edited by hand: that one is its user's", async () => {
		const host = await configured();
		host.unplug("eth1");
		const path = `${scripts}/ifcfg-eth1`;
		const edited = `${host.read(path)?.content}MTU="1400"\n`;
		host.write(path, edited);
		const before = filesOf(host, "eth1");
		expect((await boot(host)).exitCode).toBe(0);
		expect(filesOf(host, "eth1")).toEqual(before);
		expect(filesOf(host, "eth1", parked)).toEqual({});
	});

	test("keeps a rule file of its user's beside a parked ifcfg", async () => {
		const host = await configured();
		host.unplug("eth1");
		host.write(`${scripts}/rule-eth1`, "from 10.0.1.62 table 77\n");
		expect((await boot(host)).service).toBe("active");
		expect(filesOf(host, "eth1")).toEqual({
			rule: "from 10.0.1.62 table 77\n",
		});
		expect(Object.keys(filesOf(host, "eth1", parked))).toEqual([
			"ifcfg",
			"route",
		]);
	});
});

describe("a managed NIC that is there", () => {
	test("costs a boot nothing: no file is written", async () => {
		const host = await configured();
		const before = describeFiles(host.disk, "/etc");
		const { exitCode, operations, service } = await boot(host);
		expect({ exitCode, operations, service }).toEqual({
			exitCode: 0,
			operations: [],
			service: "active",
		});
		expect(describeFiles(host.disk, "/etc")).toBe(before);
		expect(host.log).toEqual([]);
	});

	test("is known by its MAC in upper and in lower case", async () => {
		const host = await configured();
		for (const link of host.kernel.links)
			Object.assign(link, { mac: link.mac.toUpperCase() });
		await host.reboot(all, async () => {
			for (const link of host.kernel.links)
				Object.assign(link, { mac: link.mac.toUpperCase() });
			expect(await runBoot(host)).toBe(0);
		});
		expect(Object.keys(filesOf(host, "eth1"))).toEqual(names);
		expect(Object.keys(filesOf(host, "eth2"))).toEqual(names);
	});

	test("keeps its files under another name, for udev may be about to rename it", async () => {
		const host = await configured();
		await host.reboot(all, async () => {
			Object.assign(host.kernel.link("eth1") ?? {}, { name: "eth7" });
			expect(await runBoot(host)).toBe(0);
		});
		expect(Object.keys(filesOf(host, "eth1"))).toEqual(names);
	});

	test("keeps its files where the kernel shows no link at all", async () => {
		const host = await configured();
		await host.reboot(all, async () => {
			for (const { name } of [...host.kernel.links]) host.kernel.unplug(name);
			expect(await runBoot(host)).toBe(0);
		});
		expect(Object.keys(filesOf(host, "eth1"))).toEqual(names);
	});
});

describe("a run that a power cut has interrupted", () => {
	test("is undone before the network service starts, with neither `ip` nor systemctl", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const plain = await createFakeHost({ enis: [eth1] });
		await plain.reboot();
		await killed(host, atCommit, "configure", "eth1");
		for (const program of ["ip", "systemctl", "ifup", "ifdown"])
			host.programs.missing.add(program);
		const { exitCode } = await boot(host);
		host.programs.missing.clear();
		expect(exitCode).toBe(0);
		expect(host.read(journal)).toBeUndefined();
		expect(host.snapshot()).toBe(plain.snapshot());
		expect(host.record()).toBe(plain.record());
		expect(said(host, "warning")).toContain(
			"recovered: `eni-configure configure` of eth1 was interrupted before this boot",
		);
		expect(await run(host, "configure", "eth1")).toMatchObject({
			outcome: "applied",
			recovered: false,
		});
	});

	test("and the NIC unbound: its files come back and are parked at once", async () => {
		const host = await configured();
		const files = filesOf(host, "eth1");
		await killed(host, atCommit, "remove", "eth1");
		host.unplug("eth1");
		const { service } = await boot(host);
		expect(service).toBe("active");
		expect(filesOf(host, "eth1")).toEqual({});
		expect(filesOf(host, "eth1", parked)).toEqual(files);
		expect(host.read(journal)).toBeUndefined();
	});

	test("has its files labelled where SELinux is on, and not for longer than the boot may take", async () => {
		const host = await createFakeHost({ enis: [eth1], selinux: true });
		await killed(host, atCommit, "configure", "eth1");
		const path = "/etc/sysctl.conf";
		expect((await boot(host)).exitCode).toBe(0);
		expect(host.read(path)?.label).toBe("system_conf_t");

		await killed(host, atCommit, "configure", "eth1");
		host.programs.hanging.add(`restorecon ${path}`);
		const { exitCode, tookMs } = await boot(host);
		expect({ exitCode, journal: host.read(journal) }).toEqual({
			exitCode: 0,
			journal: undefined,
		});
		expect(tookMs).toBeGreaterThan(1000);
		expect(tookMs).toBeLessThan(10_000);
	});

	test("is left to the next start in the same boot, with the files of its NICs", async () => {
		const host = await configured();
		await killed(
			host,
			({ target }) => target === "ifdown eth1",
			"remove",
			"eth1",
		);
		host.endProcess();
		host.unplug("eth1");
		host.unplug("eth2");
		const before = [host.read(journal), filesOf(host, "eth1"), host.record()];
		expect(await runBoot(host)).toBe(0);
		expect([host.read(journal), filesOf(host, "eth1"), host.record()]).toEqual(
			before,
		);
		expect(filesOf(host, "eth2")).toEqual({});
		expect(said(host, "warning")).toContain("left to the next start");
		host.endProcess();
		expect((await run(host, "remove", "eth9")).recovered).toBe(true);
	});

	test("is left to the next start where its NIC is up already", async () => {
		const host = await createFakeHost({ enis: [eth1] });
		const plain = host.snapshot();
		await killed(host, atCommit, "configure", "eth1");
		await host.reboot();
		expect(addressesOn(host, "eth1")).not.toEqual([]);
		expect(await runBoot(host)).toBe(0);
		expect(host.read(journal)).toBeDefined();
		host.endProcess();
		expect((await run(host, "remove", "eth9")).recovered).toBe(true);
		expect(addressesOn(host, "eth1")).toEqual([]);
		expect(policyRules(host)).toEqual([]);
		expect(plain).not.toBe("");
	});

	test("stays journaled where its files cannot be put back; the next start gets there", async () => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		await run(host, "configure", "eth2");
		await killed(host, atCommit, "configure", "eth1");
		host.unplug("eth2");
		await host.reboot(all, async () => {
			host.operations.setFaults(
				failWhere(({ target }) => target.endsWith("/ifcfg-eth1"), "EIO"),
			);
			expect(await runBoot(host)).toBe(0);
		});
		expect(host.read(journal)).toBeDefined();
		expect(said(host, "error")).toContain("the next start tries again");
		// And the other NIC's files are parked none the less.
		expect(Object.keys(filesOf(host, "eth2", parked))).toEqual(names);
		expect(host.programs.service.state).toBe("active");
		host.operations.setFaults(undefined);
		expect((await run(host, "remove", "eth9")).recovered).toBe(true);
		expect(filesOf(host, "eth1")).toEqual({});
	});

	test.each([
		["empty", ""],
		["cut off", '{"version":1,"id":"x","bootId":"y","steps":[{"kind":"wri'],
		["of zeros", "\0".repeat(512)],
	])(
		"and whose journal is %s: that is set aside and named, and files are parked",
		async (_, content) => {
			const host = await configured();
			host.write(journal, content);
			host.unplug("eth1");
			const { exitCode, service } = await boot(host);
			expect({ exitCode, service }).toEqual({ exitCode: 0, service: "active" });
			expect(host.read(`${journal}.damaged-1`)?.content).toBe(content);
			expect(said(host, "error")).toContain("damaged-1");
		},
	);
});

describe("what is in the way", () => {
	test("another run with the lock: said after 3 s, nothing is done", async () => {
		const host = await configured();
		host.unplug("eth1");
		const files = filesOf(host, "eth1");
		const start = host.clock.nowMs();
		await host.reboot(all, async () => {
			host.programs.lock = { pid: 777 };
			host.processes.set(777, {
				command: "eni-configure eth2",
				open: [`${state}/lock`],
			});
			expect(await runBoot(host)).toBe(0);
			expect(host.clock.nowMs() - start).toBeLessThan(5000);
			host.programs.lock = undefined;
		});
		expect(filesOf(host, "eth1")).toEqual(files);
		expect(host.log.map(({ message }) => message).join("\n")).toMatch(
			/process 777[\s\S]*left to that/,
		);
	});

	test.each<[string, (operation: Operation) => boolean, "ENOSPC" | "EROFS"]>([
		[
			"the disk is full",
			({ kind }) => ["open", "write", "mkdir"].includes(kind),
			"ENOSPC",
		],
		["the disk is read-only", () => true, "EROFS"],
		["/etc is read-only", ({ target }) => target.startsWith("/etc/"), "EROFS"],
		["/var is read-only", ({ target }) => target.startsWith("/var/"), "EROFS"],
	])(
		"%s: exit 0, the files stay whole, and the reason is logged",
		async (_, matches, code) => {
			const host = await configured();
			host.unplug("eth1");
			const files = filesOf(host, "eth1");
			await host.reboot(all, async () => {
				host.operations.setFaults(failWhere(matches, code));
				expect(await runBoot(host)).toBe(0);
			});
			expect(filesOf(host, "eth1")).toEqual(files);
			expect(said(host, "error")).toMatch(/no space left|read-only/);
			expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
			host.operations.setFaults(undefined);
			expect((await boot(host)).service).toBe("active");
			expect(filesOf(host, "eth1", parked)).toEqual(files);
		},
	);

	test("flock is missing, or the state directory is somebody else's: exit 0, nothing is done", async () => {
		const host = await configured();
		host.unplug("eth1");
		const files = filesOf(host, "eth1");
		host.programs.missing.add("flock");
		expect((await boot(host)).exitCode).toBe(0);
		expect(said(host, "error")).toContain("util-linux");
		host.programs.missing.clear();
		host.log.length = 0;
		await host.reboot(all, async () => {
			host.disk.fs.mkdirSync(parked);
			host.disk.setAttributes(parked, { mode: 0o777 });
			expect(await runBoot(host)).toBe(0);
		});
		expect(said(host, "error")).toContain(`${parked} can be written by others`);
		expect(filesOf(host, "eth1")).toEqual(files);
	});

	test("a config that is refused and a metadata service that is gone do not matter", async () => {
		const host = await configured();
		host.unplug("eth1");
		host.write("/etc/eni-configure/config.yaml", "nonsense: [");
		host.metadata.trouble = { kind: "failed", reason: "gone", reset: false };
		expect((await boot(host)).service).toBe("active");
	});

	test("an ordinary user: said, nothing is touched", async () => {
		const host = await configured();
		host.unplug("eth1");
		const before = describeFiles(host.disk, "/");
		const { boot: command } = await import("../../src/commands/boot");
		expect(await command({ ...host.system, uid: () => 1000 })).toBe(0);
		expect(describeFiles(host.disk, "/")).toBe(before);
		expect(said(host, "error")).toContain("needs root");
	});
});

describe("interrupted itself", () => {
	/** Two kinds of boot that change something: one parks, one undoes a run as well. */
	const kinds: [string, () => Promise<FakeHost>][] = [
		[
			"parking",
			async () => {
				const host = await configuredAlone();
				host.unplug("eth1");
				return host;
			},
		],
		[
			"parking what an interrupted removal gives back",
			async () => {
				const host = await configuredAlone();
				await killed(host, atCommit, "remove", "eth1");
				host.unplug("eth1");
				return host;
			},
		],
		[
			"undoing an interrupted run",
			async () => {
				const host = await configuredAlone();
				host.assign("eth1", "10.0.1.70");
				await killed(host, atCommit, "configure", "eth1");
				return host;
			},
		],
	];
	async function configuredAlone(): Promise<FakeHost> {
		const host = await createFakeHost({ enis: [eth1] });
		await run(host, "configure", "eth1");
		return host;
	}
	const losses: Loss[] = [
		all,
		{ bytes: "lost", entries: "lost" },
		{ bytes: "lost", entries: "kept" },
		{ bytes: "kept", entries: "lost" },
	];
	const files = (host: FakeHost) =>
		describeFiles(host.disk, "/etc") +
		describeFiles(host.disk, parked) +
		host.record() +
		String(host.read(journal)?.content);

	/** Every ifcfg, route and rule file is one of those that were there whole, and none of ours is lost. */
	function broken(host: FakeHost, whole: Record<string, string>[]): string[] {
		const found = filesOf(host, "eth1");
		const copies = filesOf(host, "eth1", parked);
		// ifup would bring the NIC up without its rules.
		if (found.ifcfg !== undefined && Object.keys(found).length < names.length)
			return ["ifcfg stands alone"];
		return names.flatMap((kind) => {
			const known = whole.map((one) => one[kind]);
			const texts = [found[kind], copies[kind]].filter(
				(text) => text !== undefined,
			);
			if (texts.length === 0) return [`${kind} is nowhere`];
			return texts.every((text) => known.includes(text))
				? []
				: [`${kind} is not whole`];
		});
	}

	test("leaves no half-written copy behind where the NIC is there again by the next boot", async () => {
		const host = await configuredAlone();
		host.unplug("eth1");
		await host.reboot(all, async () => {
			host.operations.setFaults(({ kind, target }) =>
				kind === "rename" && target.includes("/parked/")
					? { stop: true }
					: undefined,
			);
			expect(await runBoot(host)).toBeUndefined();
		});
		expect(host.disk.list(parked)).toHaveLength(1);
		host.plug(eth1);
		expect((await boot(host)).exitCode).toBe(0);
		expect(host.disk.list(parked)).toEqual([]);
		expect(Object.keys(filesOf(host, "eth1"))).toEqual(names);
	});

	test.each(kinds)(
		"%s: killed, or with the power cut, at every operation, no file is cut or lost and the next boot gets there",
		async (_, prepare) => {
			const model = await prepare();
			const first = filesOf(await configuredAlone(), "eth1");
			const whole = [first, filesOf(model, "eth1")];
			const { operations } = await boot(model);
			expect(operations.length).toBeGreaterThan(5);
			const wanted = { files: files(model), snapshot: model.snapshot() };
			const problems: string[] = [];
			/** A boot that ends at one operation, and the power with it; the ways in which that can lose something. */
			const dieAt = async (number: number, fault: Fault, loss: Loss) => {
				const host = await prepare();
				let different: Loss[] = [];
				await host.reboot(all, async () => {
					host.operations.setFaults((operation) =>
						operation.number === number ? fault : undefined,
					);
					expect(await runBoot(host)).toBeUndefined();
					const survivors = losses.map((one) => host.disk.survivors(one));
					different = losses.filter(
						(_, at) => survivors.indexOf(survivors[at] ?? "") === at,
					);
					host.disk.lose(loss);
				});
				return { host, different };
			};
			const judge = async (host: FakeHost, where: string) => {
				// Where the journal stands, what is missing is still to be put back.
				if (host.read(journal) === undefined)
					problems.push(
						...broken(host, whole).map((text) => `${where}: ${text}`),
					);
				expect((await boot(host)).exitCode).toBe(0);
				const after = { files: files(host), snapshot: host.snapshot() };
				if (JSON.stringify(after) !== JSON.stringify(wanted))
					problems.push(`${where}: the next boot does not get there`);
			};
			for (const { number, kind, target } of operations) {
				const faults: Fault[] = [{ stop: true }];
				if (kind === "write") faults.push({ stop: true, isTorn: true });
				for (const fault of faults) {
					const where = (loss: Loss) =>
						`${number} ${kind} ${target}, ${JSON.stringify({ ...fault, ...loss })}`;
					const { host, different } = await dieAt(number, fault, all);
					await judge(host, where(all));
					for (const loss of different.slice(1))
						await judge((await dieAt(number, fault, loss)).host, where(loss));
				}
			}
			expect(problems).toEqual([]);
		},
		120_000,
	);
});
