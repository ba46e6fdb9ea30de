import { expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	expectUntouched,
	policyRules,
	scripts,
} from "./expectations";
import { createFakeHost } from "./fake-host";
import { failWhere } from "./operations";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const state = "/var/lib/eni-configure/state.json";

test("a roll back that cannot write is reported as such", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	let isReadOnly = false;
	host.silent.add("eth1");
	// The disk turns read-only once the files are written.
	host.operations.setFaults((operation) => {
		isReadOnly ||= operation.target === "ifup eth1";
		return isReadOnly && !["command", "ip", "sysctl"].includes(operation.kind)
			? { fail: "EROFS" }
			: undefined;
	});
	const failed = await run(host, "configure", "eth1");
	expect({ outcome: failed.outcome, exitCode: failed.exitCode }).toEqual({
		outcome: "rollback-failed",
		exitCode: 6,
	});
});

test("a roll back whose `ip` fails is reported as such", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.silent.add("eth1");
	host.operations.setFaults(
		failWhere(
			({ kind, target }) => kind === "ip" && / (del|down)\b/.test(target),
		),
	);
	expect((await run(host, "configure", "eth1")).exitCode).toBe(6);
});

test("after a roll back that failed, a good run still gets there and remove still cleans up", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	host.silent.add("eth1");
	host.operations.setFaults(
		failWhere(
			({ kind, target }) => kind === "ip" && / (del|down)\b/.test(target),
		),
	);
	await run(host, "configure", "eth1");
	host.operations.setFaults(undefined);
	host.silent.clear();
	expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.62/24", "10.0.1.63/32"]);
	await run(host, "remove", "eth1");
	expect(policyRules(host)).toEqual([]);
	expect(host.snapshot()).toContain(before.split("link lo")[0]);
});

test.each([
	"",
	"{",
	"null",
	"[]",
	'{"version":2}',
	'{"version":1,"interfaces":{"x":7},"sysctls":{},"pinned":{}}',
	"\u0000\u00ff",
])(
	"a state file that holds %j is set aside, and the files alone say what is ours",
	async (content) => {
		const host = await createFakeHost({ enis: [eth1] });
		await run(host, "configure", "eth1");
		const configured = host.snapshot();
		host.write(state, content);
		host.assign("eth1", "10.0.1.70");
		expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
		expect(host.read(`${state}.damaged-1`)?.content).toBe(content);
		expect(
			host.log.some(
				({ level, message }) => level === "warning" && message.includes(state),
			),
		).toBe(true);
		host.release("eth1", "10.0.1.70");
		await run(host, "configure", "eth1", { prune: true });
		expect(host.snapshot()).toBe(configured);
		await run(host, "remove", "eth1");
		expect(policyRules(host)).toEqual([]);
		expect(addressesOn(host, "eth1")).toEqual([]);
	},
);

test("without the state record a second run still changes no file and no link", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	await run(host, "configure", "eth1");
	const configured = host.snapshot();
	host.disk.fs.unlinkSync(state);
	expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
	expect(host.snapshot()).toBe(configured);
	expect(host.record()).toContain('"table": 1001');
});

test("something else than a file in the state's place stops the run with its name", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.disk.fs.mkdirSync(state, { recursive: true });
	const before = host.snapshot();
	const refused = await run(host, "configure", "eth1");
	expectUntouched(host, refused, before, 5);
	expect(refused.error).toContain(state);
});

test("a lock that another process holds is waited for, and its holder is named", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	host.programs.lock = { pid: 777 };
	host.processes.set(777, {
		command: "eni-configure daemon",
		open: ["/var/lib/eni-configure/lock"],
	});
	const start = host.clock.nowMs();
	const refused = await run(host, "configure", "eth1", { "lock-timeout": "5" });
	expectUntouched(host, refused, before, 7);
	expect(refused.error).toContain("process 777 (eni-configure daemon)");
	expect(host.clock.nowMs() - start).toBeGreaterThanOrEqual(5000);
	const later = run(host, "configure", "eth1");
	void host.clock.sleep(2000).then(() => {
		host.programs.lock = undefined;
	});
	expect((await later).outcome).toBe("applied");
});

test("two runs at once do not meet: the second finds everything done", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const [first, second] = await Promise.all([
		run(host, "configure", "eth1"),
		run(host, "configure", "eth1"),
	]);
	expect([first.outcome, second.outcome].sort()).toEqual([
		"applied",
		"unchanged",
	]);
	expect(policyRules(host)).toHaveLength(2);
});

test("while the network service is at work a run is put off", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.programs.service = { state: "active", job: 99 };
	const before = host.snapshot();
	const busy = await run(host, "configure", "eth1");
	expect({ outcome: busy.outcome, snapshot: host.snapshot() }).toEqual({
		outcome: "pending",
		snapshot: before,
	});
});

test("an ifup that hangs is ended and made up for", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.programs.hanging.add("ifup eth1");
	expect((await run(host, "configure", "eth1")).exitCode).toBe(0);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.1.62/24", "10.0.1.63/32"]);
});

test.each(["ip", "flock"])(
	"without %s the run is refused by name",
	async (program) => {
		const host = await createFakeHost({ enis: [eth1] });
		host.programs.missing.add(program);
		const before = host.snapshot();
		const refused = await run(host, "configure", "eth1");
		expectUntouched(host, refused, before, 5);
		expect(refused.error).toContain(`\`${program}\``);
	},
);

test("a primary that loses its gateway by a change gets it back", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const before = host.snapshot();
	// As behind a fabric that is confused by the second port: up with eth1, the primary's gateway is silent.
	const plan = failWhere(({ target }) => target === "never");
	host.operations.setFaults((operation) => {
		if (operation.target === "ifup eth1") host.silent.add("eth0");
		if (operation.target === "ifup eth1") host.kernel.neighbours.clear();
		return plan(operation);
	});
	const failed = await run(host, "configure", "eth1");
	expect({ outcome: failed.outcome, exitCode: failed.exitCode }).toEqual({
		outcome: "rolled-back",
		exitCode: 3,
	});
	expect(failed.findings).toContainEqual(
		expect.objectContaining({ link: "eth0", kind: "primary-neighbour" }),
	);
	expect(host.snapshot()).toBe(before);
	expect(host.disk.list(scripts).some((path) => path.endsWith("eth1"))).toBe(
		false,
	);
});
