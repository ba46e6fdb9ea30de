import { expect, test } from "vitest";
import { type Command, run } from "./agent";
import {
	addressesOn,
	expectUntouched,
	policyRules,
	scripts,
} from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { failWhere, type Operation } from "./operations";
import { lineDifference } from "./sweep";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const state = "/var/lib/eni-configure";
const journal = `${state}/journal.json`;
const nothing = lineDifference("", "");

type Matches = (operation: Operation) => boolean;
const atIfup: Matches = ({ target }) =>
	target === "ip addr add" || target.startsWith("addr add 10.0.1.63");
const atCommit: Matches = ({ kind, target }) =>
	kind === "rename" && target.includes("undo/journal.json");

/** Kills the agent at the first operation that matches; the next one can be started. */
async function killed(
	host: FakeHost,
	matches: Matches,
	command: Command = "configure",
	nics = "eth1",
): Promise<FakeHost> {
	host.operations.setFaults((operation) =>
		matches(operation) ? { stop: true } : undefined,
	);
	const { stop } = await run(host, command, nics);
	expect(stop, "the agent was to be killed").toBeDefined();
	host.endProcess();
	return host;
}

async function configured(): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1] });
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	return host;
}

test.each<[string, Command, string]>([
	["configure of the same NIC", "configure", "eth1"],
	["configure of another NIC", "configure", "eth2"],
	["configure --all", "configure", ""],
	["remove", "remove", "eth2"],
])("%s recovers first, and says so once", async (_, command, nics) => {
	const host = await createFakeHost({
		enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
	});
	await killed(host, atIfup);
	expect(host.read(journal)).toBeDefined();
	host.log.length = 0;
	const next = await run(
		host,
		command,
		nics,
		nics === "" && command === "configure" ? { all: true } : {},
	);
	expect(next.recovered).toBe(true);
	expect(
		host.log.filter(({ message }) => message.startsWith("recovered")),
	).toEqual([
		{
			level: "warning",
			message:
				"recovered: `eni-configure configure` of eth1 was interrupted; the machine is as it was before it",
		},
	]);
	expect(host.read(journal)).toBeUndefined();
	expect((await run(host, "configure", "eth2")).recovered).toBe(false);
});

test("an error after a recovery still says that there was one", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atIfup);
	host.write("/etc/eni-configure/templates/ifcfg.hbs", "{{#if}");
	const refused = await run(host, "configure", "eth1");
	expect({
		exitCode: refused.exitCode,
		recovered: refused.recovered,
	}).toEqual({ exitCode: 2, recovered: true });
});

test("plan changes nothing, and says that an earlier run was interrupted", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atIfup);
	const before = host.snapshot();
	const plan = await run(host, "plan", "eth1");
	expect(plan.notes.map(({ text }) => text).join()).toContain(
		"was interrupted",
	);
	expect({ snapshot: host.snapshot(), journal: host.read(journal) }).toEqual({
		snapshot: before,
		journal: expect.objectContaining({ mode: 0o600 }),
	});
});

test("a floating address that moved in, or away, since the kill stays where its owner wants it", async () => {
	const host = await configured();
	await host.type("ip addr add 10.0.1.98/32 dev eth1");
	host.assign("eth1", "10.0.1.70");
	await killed(host, ({ target }) => target.startsWith("addr add 10.0.1.70"));
	await host.type("ip addr del 10.0.1.98/32 dev eth1");
	await host.type("ip addr add 10.0.1.99/32 dev eth1");
	await host.type("ip rule add from 10.0.1.99 lookup 77 priority 1500");
	expect((await run(host, "remove", "eth9")).recovered).toBe(true);
	expect(addressesOn(host, "eth1")).toEqual([
		"10.0.1.62/24",
		"10.0.1.63/32",
		"10.0.1.99/32",
	]);
	expect(policyRules(host)).toContain("1500 from 10.0.1.99 lookup 77");
});

test("the default route stays where somebody has put it since the kill", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atCommit);
	await host.type("ip route replace default via 10.0.1.1 dev eth1");
	const before = host.snapshot();
	const refused = await run(host, "configure", "eth1");
	expectUntouched(host, refused, before, 5);
	expect(refused.error).toContain("default route");
	await host.type("ip route replace default via 10.0.1.1 dev eth0");
	expect(await run(host, "configure", "eth1")).toMatchObject({
		outcome: "applied",
		recovered: true,
	});
});

test("a sysctl set, and lines added to sysctl.conf, since the kill are left as they are", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atCommit);
	host.kernel.sysctls.set("conf/eth0/rp_filter", "2");
	const path = "/etc/sysctl.conf";
	host.write(path, `${host.read(path)?.content}vm.swappiness = 1\n`);
	await run(host, "remove", "eth9");
	expect(host.kernel.sysctls.get("conf/eth0/rp_filter")).toBe("2");
	expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("1");
	expect(host.read(path)?.content).toBe(
		"# System default settings live in /usr/lib/sysctl.d/00-system.conf.\nnet.ipv4.conf.all.rp_filter = 1\nnet.ipv4.tcp_syncookies = 1\nvm.swappiness = 1\n",
	);
});

test("a file that somebody has saved since the kill is left, and named", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atCommit);
	const path = `${scripts}/ifcfg-eth1`;
	host.write(path, "DEVICE=eth1\nONBOOT=no\n");
	await run(host, "remove", "eth9");
	expect(host.read(path)?.content).toBe("DEVICE=eth1\nONBOOT=no\n");
	expect(host.log.map(({ message }) => message).join("\n")).toContain(path);
	expect(policyRules(host)).toEqual([]);
});

test.each([
	["unbound", undefined],
	["another one under its name", "52:54:00:00:00:99"],
])(
	"a NIC that is %s by the next start keeps nobody from it",
	async (_, mac) => {
		const host = await configured();
		host.assign("eth1", "10.0.1.70");
		await killed(host, ({ target }) => target.startsWith("addr add 10.0.1.70"));
		host.unplug("eth1");
		if (mac) host.plug({ name: "eth1", mac, addresses: ["10.0.9.62"] });
		const next = await run(host, "remove", "eth9");
		expect({ exitCode: next.exitCode, recovered: next.recovered }).toEqual({
			exitCode: 2,
			recovered: true,
		});
		expect(addressesOn(host, "eth1")).toEqual([]);
	},
);

test("while the network service is at work the recovery waits for it, up to the lock's time-out", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atIfup);
	const before = host.snapshot();
	host.programs.service = { state: "active", job: 99 };
	const refused = await run(host, "configure", "eth1", { "lock-timeout": "2" });
	expect({ exitCode: refused.exitCode, snapshot: host.snapshot() }).toEqual({
		exitCode: 5,
		snapshot: before,
	});
	const later = run(host, "configure", "eth1");
	void host.clock.sleep(3000).then(() => {
		host.programs.service = { state: "active", job: undefined };
	});
	expect(await later).toMatchObject({ outcome: "applied", recovered: true });
});

test("a recovery that cannot put everything back exits 6, keeps the journal, and the next start gets there", async () => {
	const fresh = await createFakeHost({ enis: [eth1] });
	const old = fresh.snapshot();
	const host = await killed(fresh, atCommit);
	host.operations.setFaults(
		failWhere(({ kind, target }) => kind === "ip" && /^rule del/.test(target)),
	);
	const failed = await run(host, "configure", "eth1");
	host.operations.setFaults(undefined);
	expect(failed.exitCode).toBe(6);
	expect(failed.error).toContain(journal);
	expect(host.read(journal)).toBeDefined();
	expect((await run(host, "remove", "eth9")).recovered).toBe(true);
	expect(lineDifference(old, host.snapshot())).toBe(nothing);
});

test("a roll back that failed is taken up again by the next start, for the NIC that failed alone", async () => {
	const host = await createFakeHost({
		enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
	});
	host.silent.add("eth1");
	host.operations.setFaults(
		failWhere(
			({ kind, target }) => kind === "ip" && /^rule del .*1001/.test(target),
		),
	);
	const failed = await run(host, "configure", "", { all: true });
	host.operations.setFaults(undefined);
	expect(failed.exitCode).toBe(6);
	const eth2 = addressesOn(host, "eth2");
	expect(eth2).toEqual(["10.0.3.62/24"]);
	expect((await run(host, "remove", "eth9")).recovered).toBe(true);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(policyRules(host)).toEqual(["1002 from 10.0.3.62 lookup 1002"]);
	expect(addressesOn(host, "eth2")).toEqual(eth2);
	expect((await run(host, "configure", "eth2")).outcome).toBe("unchanged");
});

test.each([
	["empty", ""],
	["cut off", '{"version":1,"id":"x","bootId":"y","steps":[{"kind":"wri'],
	["of zeros", "\0".repeat(512)],
	["of another version", '{"version":2}'],
	["a list", "[]"],
])(
	"a journal that is %s is set aside and named, and the run goes on",
	async (_, content) => {
		const host = await createFakeHost({ enis: [eth1] });
		host.write(journal, content);
		const { outcome, exitCode, recovered } = await run(
			host,
			"configure",
			"eth1",
		);
		expect({ outcome, exitCode, recovered }).toEqual({
			outcome: "applied",
			exitCode: 0,
			recovered: false,
		});
		expect(host.read(`${journal}.damaged-1`)?.content).toBe(content);
		expect(
			host.log.find(({ message }) => message.includes("damaged-1")),
		).toMatchObject({ level: "error" });
	},
);

test.each<[string, (text: string) => string]>([
	[
		"a path of somebody else's",
		(text) =>
			text.replaceAll(
				"/etc/sysconfig/network-scripts/ifcfg-eth1",
				"/etc/passwd",
			),
	],
	[
		"a path that climbs out",
		(text) =>
			text.replaceAll(
				"network-scripts/ifcfg-eth1",
				"network-scripts/ifcfg-/../../passwd",
			),
	],
	[
		"a sysctl of somebody else's",
		(text) =>
			text.replaceAll("conf/all/rp_filter", "conf/../../kernel/core_pattern"),
	],
	[
		"a second command in a word",
		(text) =>
			text.replaceAll('"10.0.1.0/24"', '"10.0.1.0/24\\nlink set eth0 down"'),
	],
	[
		"a copy outside of backup/",
		(text) =>
			text.replace('"copies":{}', '"copies":{"x":"../../../etc/passwd"}'),
	],
])("a journal with %s is not acted on", async (_, spoil) => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atCommit);
	const text = host.read(journal)?.content ?? "";
	expect(spoil(text)).not.toBe(text);
	host.write(journal, spoil(text));
	const before = host.snapshot();
	await run(host, "remove", "eth9");
	expect(host.snapshot()).toBe(before);
	expect(host.read(`${journal}.damaged-1`)).toBeDefined();
});

test("a state record whose words would be commands or paths is set aside", async () => {
	const host = await configured();
	const path = `${state}/state.json`;
	const text = host.read(path)?.content ?? "";
	for (const [at, spoilt] of [
		text.replaceAll('"name": "eth1"', '"name": "../../tmp/x"'),
		text.replaceAll('"10.0.1.62/24"', '"10.0.1.62/24\\nlink set eth0 down"'),
		text.replaceAll("conf/all/rp_filter", "../../../tmp/x"),
	].entries()) {
		expect(spoilt).not.toBe(text);
		host.write(path, spoilt);
		expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
		expect(host.read(`${path}.damaged-${at + 1}`)?.content).toBe(spoilt);
	}
});

test.each<[string, (host: FakeHost) => void, string]>([
	[
		"the state directory is somebody else's",
		(host) => host.disk.setAttributes(state, { uid: 1000 }),
		state,
	],
	[
		"the state directory can be written by others",
		(host) => host.disk.setAttributes(state, { mode: 0o777 }),
		state,
	],
	[
		"the record can be written by a group",
		(host) => host.disk.setAttributes(`${state}/state.json`, { mode: 0o664 }),
		`${state}/state.json`,
	],
	[
		"a journal is somebody else's",
		(host) => host.write(journal, "{}", { uid: 1000 }),
		journal,
	],
	[
		"a directory is in the journal's place",
		(host) => host.disk.fs.mkdirSync(journal),
		journal,
	],
	[
		"a symbolic link is in the record's place",
		(host) => {
			host.disk.fs.unlinkSync(`${state}/state.json`);
			host.disk.fs.symlinkSync("/etc/passwd", `${state}/state.json`);
		},
		`${state}/state.json`,
	],
	[
		"a symbolic link is in the state directory's place",
		(host) => {
			host.disk.fs.renameSync(state, "/var/lib/elsewhere");
			host.disk.fs.symlinkSync("/var/lib/elsewhere", state);
		},
		state,
	],
])("%s: refused by name, nothing touched", async (_, spoil, name) => {
	const host = await configured();
	host.assign("eth1", "10.0.1.70");
	spoil(host);
	const before = host.snapshot();
	const refused = await run(host, "configure", "eth1");
	expect({ exitCode: refused.exitCode, snapshot: host.snapshot() }).toEqual({
		exitCode: 5,
		snapshot: before,
	});
	expect(refused.error).toContain(name);
});

test("temporary files of an interrupted run are gone after the next start", async () => {
	const host = await killed(
		await createFakeHost({ enis: [eth1] }),
		({ kind, target }) => kind === "rename" && target.includes("rule-eth1"),
	);
	const temporaries = () =>
		[...host.disk.list("/etc"), ...host.disk.list(state)].filter((path) =>
			path.includes("/.eni-configure-"),
		);
	expect(temporaries()).toHaveLength(1);
	await run(host, "remove", "eth9");
	expect(temporaries()).toEqual([]);
});

test("a child of a killed agent that outlives its time is ended by who waits for the lock", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.programs.lock = { pid: 777 };
	host.processes.set(777, {
		command: "ifup eth1",
		open: [`${state}/lock`],
		environment: {
			HOME: "/root",
			ENI_CONFIGURE_CHILD_LIMIT_MS: String(host.clock.nowMs() + 10_000),
		},
	});
	const start = host.clock.nowMs();
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(host.processes.has(777)).toBe(false);
	// Not before its time was up, and not much later.
	expect(host.clock.nowMs() - start).toBeGreaterThan(10_000);
	expect(host.clock.nowMs() - start).toBeLessThan(30_000);
	expect(host.log.map(({ message }) => message).join("\n")).toContain(
		"process 777 (ifup eth1) of an interrupted run",
	);
});

test("another agent, or a child within its time, is waited for and never ended", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.programs.lock = { pid: 777 };
	host.processes.set(777, {
		command: "eni-configure daemon",
		open: [`${state}/lock`],
	});
	const refused = await run(host, "configure", "eth1", {
		"lock-timeout": "30",
	});
	expect(refused.exitCode).toBe(7);
	expect(host.processes.has(777)).toBe(true);
});

test("with SELinux a file that is replaced has its label after configure, remove, roll back and recovery", async () => {
	const label = (host: FakeHost) => host.read("/etc/sysctl.conf")?.label;
	const host = await createFakeHost({ enis: [eth1], selinux: true });
	const fresh = host.snapshot();
	expect(label(host)).toBe("system_conf_t");
	await run(host, "configure", "eth1");
	expect(label(host)).toBe("system_conf_t");
	await run(host, "rollback", "");
	expect(host.snapshot()).toBe(fresh);
	await run(host, "configure", "eth1");
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(fresh);
	host.silent.add("eth1");
	expect((await run(host, "configure", "eth1")).exitCode).toBe(3);
	expect(host.snapshot()).toBe(fresh);
	host.silent.clear();
	await killed(host, atCommit);
	await run(host, "remove", "eth9");
	expect(host.snapshot()).toBe(fresh);
});

test("a floating address that has moved away since the kill, subnet and all, does not keep anybody from a start", async () => {
	const host = await configured();
	await host.type("ip addr add 10.5.0.9/24 dev eth1");
	host.assign("eth1", "10.0.1.70");
	await killed(host, ({ target }) => target.startsWith("addr add 10.0.1.70"));
	await host.type("ip addr del 10.5.0.9/24 dev eth1");
	const next = await run(host, "configure", "eth1");
	expect(next).toMatchObject({ outcome: "applied", recovered: true });
	expect(addressesOn(host, "eth1")).not.toContain("10.5.0.9/24");
});

test.each<[string, (host: FakeHost) => void]>([
	[
		"a port of a bridge",
		(host) => {
			host.addLink({
				name: "br0",
				mac: "02:00:00:00:00:01",
				devtype: "bridge",
				lowers: ["eth1"],
			});
			Object.assign(host.kernel.link("eth1") ?? {}, { master: "br0" });
		},
	],
	[
		"leased an address",
		(host) => {
			host.processes.set(888, { command: "dhclient eth1", open: [] });
			host.disk.write("/run/dhclient-eth1.pid", "888");
		},
	],
])(
	"a NIC that somebody has made %s since the kill is not taken down",
	async (_, use) => {
		const host = await killed(
			await createFakeHost({ enis: [eth1] }),
			({ target }) => target === "ifup eth1",
		);
		await host.type("ip link set dev eth1 up");
		use(host);
		expect((await run(host, "remove", "eth9")).recovered).toBe(true);
		expect(host.kernel.link("eth1")?.up).toBe(true);
	},
);

test("a journal that cannot be read for the moment is not given up", async () => {
	const fresh = await createFakeHost({ enis: [eth1] });
	const old = fresh.snapshot();
	const host = await killed(fresh, atCommit);
	const { openSync } = host.system.fs;
	host.system.fs.openSync = ((path: string, ...rest: [number]) => {
		if (path === journal)
			throw Object.assign(new Error("EMFILE"), { code: "EMFILE" });
		return openSync(path, ...rest);
	}) as typeof openSync;
	const failed = await run(host, "configure", "eth1");
	host.system.fs.openSync = openSync;
	expect(failed.exitCode).not.toBe(0);
	expect(failed.error).toContain("EMFILE");
	expect((await run(host, "remove", "eth9")).recovered).toBe(true);
	expect(lineDifference(old, host.snapshot())).toBe(nothing);
});

test.each<[string, Matches]>([
	[
		"before the files are ours",
		({ kind, target }) => kind === "rename" && target.endsWith("/ifcfg-eth1"),
	],
	["at its end", atCommit],
])(
	"a takeover of the guide's own file that a power cut ends %s: the file is back, whoever has the default route after the boot",
	async (_, matches) => {
		const host = await createFakeHost({
			enis: [{ name: "eth1", addresses: ["10.0.2.62"] }],
		});
		const path = `${scripts}/ifcfg-eth1`;
		// As in the product guide: its GATEWAY takes the machine's default route at every ifup.
		const guides =
			"DEVICE='eth1'\nNM_CONTROLLED='yes'\nONBOOT='yes'\nIPADDR='10.0.2.62'\nNETMASK='255.255.255.0'\nGATEWAY='10.0.2.1'\n";
		host.write(path, guides);
		host.operations.setFaults((operation) =>
			matches(operation) ? { stop: true } : undefined,
		);
		expect(
			(await run(host, "configure", "eth1", { force: true })).stop,
		).toBeDefined();
		await host.reboot();
		const next = await run(host, "remove", "eth9");
		expect(next.recovered).toBe(true);
		expect(host.read(path)?.content).toBe(guides);
		expect(
			host.disk.list(scripts).filter((one) => /r(ule|oute)-eth1/.test(one)),
		).toEqual([]);
		expect(host.read(journal)).toBeUndefined();
	},
);

test("with --wait, a recovery in the first pass is still told after the second", async () => {
	const host = await killed(await createFakeHost({ enis: [eth1] }), atIfup);
	host.plug({ name: "eth2", addresses: ["10.0.3.62"], listed: false });
	const waited = await run(host, "configure", "eth1 eth2", {
		wait: true,
		"wait-timeout": "2",
	});
	expect(waited.recovered).toBe(true);
});

test("a directory with the name of a temporary file is nobody's, and in nobody's way", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.disk.fs.mkdirSync(`${scripts}/.eni-configure-notes`);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
});
