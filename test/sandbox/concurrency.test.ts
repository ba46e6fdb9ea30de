import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { agentBundle } from "./paths";
import type { Sandbox } from "./sandbox";
import {
	type AgentReport,
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

const lock = "/var/lib/eni-configure/lock";
const journal = "/var/lib/eni-configure/journal.json";

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
	while (!(await isSo())) await sleep(20);
}

/** Whether somebody has the lock: nobody else could take it now. */
async function isLocked({ guest }: Sandbox): Promise<boolean> {
	return (await guest(["flock", "-n", lock, "true"])).exitCode === 1;
}

/** Whether it runs; one that has ended and that nobody has asked about yet has no command line. */
async function isAlive(pid: number | undefined): Promise<boolean> {
	const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
	return words !== "";
}

/** An environment in which ifup and ifdown note when they begin and when they have ended. */
async function noting(
	sandbox: Sandbox,
	first = "",
): Promise<Record<string, string>> {
	for (const name of ["ifup", "ifdown"]) {
		const script = `#!/bin/bash
${first}
echo "$$ ${name} begins" >>/run/noted
/etc/sandbox/bin/${name} "$@"; rc=$?
echo "$$ ${name} ends" >>/run/noted
exit $rc
`;
		await sandbox.write(`/run/wrap/${name}`, script, 0o755);
	}
	await sandbox.write("/run/noted", "");
	const path = await sandbox.guest(["bash", "-c", "echo $PATH"]);
	return { PATH: `/run/wrap:${path.stdout.trim()}` };
}

async function noted(
	sandbox: Sandbox,
): Promise<{ pid: number; name: string; what: string }[]> {
	const text = await sandbox.read("/run/noted");
	return text
		.split("\n")
		.filter(Boolean)
		.map((line) => {
			const [pid, name = "", what = ""] = line.split(" ");
			return { pid: Number(pid), name, what };
		});
}

/** An agent in the middle of an ifup that takes so long. */
async function inIfup(
	sandbox: Sandbox,
	seconds: string,
	env: Record<string, string> = {},
): Promise<{ child: ReturnType<Sandbox["spawnAgent"]> }> {
	await sandbox.fault("ifup-slow.once", seconds);
	const child = sandbox.spawnAgent(["eth1", "--json"], { env });
	await until(async () => (await sandbox.calls("ifup")).length > 0);
	return { child };
}

/** Starts the agent in a process group of its own: Ctrl-C and systemd signal all of it, commands included. */
async function inGroup(sandbox: Sandbox, args: string[]) {
	const words = [process.execPath, agentBundle, ...args];
	const child = sandbox.spawn([
		...["setsid", "--wait", "bash", "-c"],
		...['echo $$ >/run/group; exec "$@"', "bash", ...words],
	]);
	let said = "";
	child.stderr?.on("data", (data) => {
		said += data;
	});
	await until(
		async () =>
			(await sandbox.exists("/run/group")) &&
			(await sandbox.read("/run/group")).endsWith("\n"),
	);
	return {
		id: Number(await sandbox.read("/run/group")),
		said: () => said,
		ended: child,
	};
}

describe("many runs at once", () => {
	it("twenty, and --all again and again beside them: one applies, the others find nothing to do", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			const env = await noting(s);
			let isOver = false;
			const loop = async () => {
				const reports: AgentReport[] = [];
				while (!isOver) reports.push(await run(s, ["--all"], 0, env));
				return reports;
			};
			const looping = loop();
			const ones = await Promise.all(
				Array.from({ length: 20 }, () => run(s, ["eth1"], 0, env)),
			);
			isOver = true;
			const reports = [...ones, ...(await looping)];
			expect(reports.length).toBeGreaterThan(20);
			const outcomes = reports.map(
				({ interfaces }) =>
					interfaces.find(({ name }) => name === "eth1")?.outcome,
			);
			expect(outcomes.filter((one) => one === "applied")).toHaveLength(1);
			expect(outcomes.filter((one) => one !== "applied")).toEqual(
				reports.slice(1).map(() => "unchanged"),
			);
			expect((await noted(s)).map(({ name, what }) => [name, what])).toEqual([
				["ifup", "begins"],
				["ifup", "ends"],
			]);
			expect((await s.ip("rule")).match(/lookup 1001/g)).toHaveLength(3);
			await expectReachable(s, ["10.0.1.10", ...sameSubnet.addresses]);
		}));

	it("that want different things: one after the other, and the last one's wish stands whole", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const env = await noting(s);
			const lists = [
				["10.0.2.20", "10.0.2.21"],
				["10.0.2.20", "10.0.2.22"],
			];
			const wishes = [0, 1, 0, 1, 0, 1].map((at) => lists[at] as string[]);
			await Promise.all(
				wishes.map(([first, ...more]) =>
					run(
						s,
						[
							"eth1",
							...["--restart", "interface", "--gateway", "10.0.2.1"],
							...["--address", [`${first}/24`, ...more].join(",")],
						],
						0,
						env,
					),
				),
			);
			const order = await noted(s);
			expect(order.length).toBeGreaterThan(2);
			for (const [at, { pid, what }] of order.entries()) {
				expect(what).toBe(at % 2 === 0 ? "begins" : "ends");
				expect(pid).toBe(order[at - (at % 2)]?.pid);
			}
			const ofKernel = (await s.ip("-o", "-4", "addr", "show", "eth1")).match(
				/10\.0\.2\.2\d(?=\/)/g,
			);
			const ofRules = (await s.ip("rule")).match(/10\.0\.2\.2\d/g);
			const ofFile = (
				await s.read("/etc/sysconfig/network-scripts/ifcfg-eth1")
			).match(/10\.0\.2\.2\d/g);
			expect(lists).toContainEqual(ofKernel);
			expect([...(ofRules ?? [])].sort()).toEqual(ofKernel);
			expect(ofFile).toEqual(ofKernel);
		}));
});

describe("who waits for the lock", () => {
	it("names who has it, not another one who waits, and gives up with exit 7 after --lock-timeout", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const { child: holder } = await inIfup(s, "6");
			const waiter = s.spawnAgent(["eth1", "--json"]);
			let said = "";
			waiter.stderr?.on("data", (data) => {
				said += data;
			});
			await until(async () => said.includes("waiting for"));
			for (const seconds of ["0", "1"]) {
				const result = await s.agent(["eth1", "--lock-timeout", seconds]);
				expect(result.exitCode, result.stderr).toBe(7);
				for (const text of [said, result.stderr]) {
					expect(text).toContain(`process ${holder.pid} (`);
					expect(text).toContain(agentBundle);
				}
				expect(result.stderr).toContain(`all of the ${seconds} s`);
			}
			const outcomes = [holder, waiter].map(
				async (one) => JSON.parse((await one).stdout).outcome,
			);
			expect(await Promise.all(outcomes)).toEqual(["applied", "unchanged"]);
		}));

	it("is not taken for somebody with a lock of the same name in a container, and does not take them for it", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) =>
			inSandbox({}, async (container) => {
				await run(container, ["remove", "eth9"], 2);
				// Started first, so that it comes first in the list of processes; its time is up.
				const env = { ENI_CONFIGURE_CHILD_LIMIT_MS: "1000" };
				const other = container.spawn(["flock", lock, "sleep", "12"], { env });
				await until(() => isLocked(container));
				await run(s, ["eth1"]);
				const stranger = s.spawn(["flock", lock, "sleep", "8"]);
				await until(() => isLocked(s));
				const result = await s.agent(["eth1", "--lock-timeout", "6"]);
				expect(result.exitCode, result.stderr).toBe(7);
				expect(result.stderr).toContain(`process ${stranger.pid} (flock`);
				expect(result.stderr).not.toContain(`process ${other.pid} `);
				expect(await isAlive(other.pid)).toBe(true);
			}),
		));

	it("gets it at once when its holder is killed and has no command running", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await s.metadata.hang();
			const holder = s.spawnAgent(["eth1"]);
			await until(() => s.exists(lock));
			await until(() => isLocked(s));
			await until(
				async () =>
					(await s.guest(["pgrep", "-P", `${holder.pid}`])).stdout === "",
			);
			process.kill(holder.pid as number, "SIGKILL");
			await holder;
			await s.metadata.up();
			const next = await run(s, ["eth1", "--lock-timeout", "0"]);
			expect(next.outcome).toBe("applied");
		}));

	it("waits for the ifup that a killed holder has left, names it, and begins when it has ended", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const env = await noting(s);
			const { child: holder } = await inIfup(s, "3", env);
			const [left] = await noted(s);
			process.kill(holder.pid as number, "SIGKILL");
			await holder;
			const next = await s.agent(["eth1"], { env });
			expect(next.exitCode, next.stderr).toBe(0);
			expect(next.stderr).toMatch(
				new RegExp(`waiting for process ${left?.pid} \\(.*ifup eth1\\)`),
			);
			expect(next.stderr).toContain("recovered: `eni-configure configure`");
			expect((await noted(s)).map(({ what }) => what)).toEqual([
				"begins",
				"ends",
				"begins",
				"ends",
			]);
			expect((await noted(s))[1]?.pid).toBe(left?.pid);
			await expectReachable(s, otherSubnet.addresses);
		}));

	it("ends an ifup of a killed agent that outlives its time, and recovers", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			// As if its time had been up since a second after the boot.
			const env = await noting(s, "export ENI_CONFIGURE_CHILD_LIMIT_MS=1000");
			const { child: holder } = await inIfup(s, "1000", env);
			const [left] = await noted(s);
			process.kill(holder.pid as number, "SIGKILL");
			await holder;
			expect(await isAlive(left?.pid)).toBe(true);
			const next = await s.agent(["eth1"]);
			expect(next.exitCode, next.stderr).toBe(0);
			expect(next.stderr).toMatch(
				/process \d+ \(.*ifup eth1\) of an interrupted run should have ended/,
			);
			expect(next.stderr).toContain("recovered: ");
			expect(await isAlive(left?.pid)).toBe(false);
			await expectReachable(s, otherSubnet.addresses);
		}));

	it("never ends one that is within its time, nor a stranger", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const env = await noting(s);
			const { child: holder } = await inIfup(s, "8", env);
			const [left] = await noted(s);
			process.kill(holder.pid as number, "SIGKILL");
			await holder;
			const refused = await s.agent(["eth1", "--lock-timeout", "6"]);
			expect(refused.exitCode, refused.stderr).toBe(7);
			expect((await run(s, ["eth1"])).outcome).toBe("applied");
			expect((await noted(s))[1]).toEqual({ ...left, what: "ends" });
			const stranger = s.guest(["flock", lock, "sleep", "7"]);
			await until(() => isLocked(s));
			expect((await s.agent(["eth1", "--lock-timeout", "6"])).exitCode).toBe(7);
			expect((await stranger).exitCode).toBe(0);
		}));

	it.each(["INT", "TERM"])(
		"ends soon at SIG%s, whomever else the terminal sends it to, and changes nothing",
		(signal) =>
			inSandbox({ enis: [otherSubnet] }, async (s) => {
				await run(s, ["eth1"]);
				await run(s, ["remove", "eth1"]);
				const before = await s.snapshot();
				const stranger = s.guest(["flock", lock, "sleep", "20"]);
				await until(() => isLocked(s));
				const group = await inGroup(s, ["eth1"]);
				await until(async () => group.said().includes("waiting for"));
				process.kill(-group.id, `SIG${signal}`);
				const result = await group.ended;
				expect(result.exitCode, result.stderr).toBe(7);
				expect(result.stderr).toContain(
					`SIG${signal}: interrupted while waiting for process `,
				);
				expect(await isLocked(s)).toBe(true);
				expect(await s.snapshot()).toBe(before);
				void stranger;
			}),
	);
});

describe("a signal to the agent and all that it has started", () => {
	it.each(["INT", "TERM"])(
		"SIG%s: rolled back, no journal left, and the lock is free",
		(signal) =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				const before = await s.snapshot();
				await s.fault("ifup-slow", "10");
				const group = await inGroup(s, ["eth1"]);
				await until(async () => (await s.calls("ifup")).length > 0);
				process.kill(-group.id, `SIG${signal}`);
				const result = await group.ended;
				expect(result.exitCode, result.stderr).toBe(3);
				expect(await s.snapshot()).toBe(before);
				expect(await s.exists(journal)).toBe(false);
				await s.clearFaults();
				const next = await run(s, ["eth1", "--lock-timeout", "0"]);
				expect(next).toMatchObject({ outcome: "applied", recovered: false });
			}),
	);
});
