import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startDaemon, until } from "./daemon";
import { agentBundle } from "./paths";
import type { Sandbox } from "./sandbox";
import { fileTimes, inSandbox, otherSubnet, sameSubnet } from "./scenario";

const trace = "/run/eni-configure/unchanged";
const two = { enis: [sameSubnet, { ...otherSubnet, name: "eth2" }] };

/** A plain `eni-configure WORDS`, as people type it, and what Node loaded for it. */
async function type(s: Sandbox, words: string) {
	await s.write(
		"/run/loaded.cjs",
		`process.on("exit", () => require("fs").writeFileSync("/run/loaded", Object.keys(require.cache).join("\\n")));\n`,
	);
	const { exitCode, stderr, stdout } = await s.agent(words.split(" "), {
		env: { NODE_OPTIONS: "-r /run/loaded.cjs" },
	});
	const loaded = await s.read("/run/loaded");
	return { exitCode, stderr, stdout, isWhole: /\/run-\w+\.cjs/.test(loaded) };
}

/** A guest with nothing to do, and a trace of that for these words: the next run of them would end early. */
async function settle(s: Sandbox, words = "--all"): Promise<void> {
	await s.agent(words.split(" "));
	// The kernel has IPv6 addresses of its own, and marks them while it looks for duplicates.
	await until(
		"no address is tentative",
		async () => !(await s.ip("-o", "addr")).includes("tentative"),
	);
	await s.agent(words.split(" "));
	expect(await type(s, words)).toMatchObject({ exitCode: 0, isWhole: false });
}

test("a run that finds all as it was says the same, writes nothing and loads little of the agent", () =>
	inSandbox(two, async (s) => {
		expect(await type(s, "--all")).toMatchObject({
			exitCode: 0,
			isWhole: true,
		});
		expect(await s.exists(trace)).toBe(false);
		// What is printed differs each time.
		await s.agent(["--all", "--json"]);
		expect(await s.exists(trace)).toBe(false);
		await settle(s, "eth1 eth2");
		// Of other words nothing is known.
		const full = await type(s, "--all");
		expect(full).toMatchObject({ exitCode: 0, isWhole: true });
		expect(full.stderr).toContain("eth1: unchanged");
		expect(await s.stat(trace)).toMatchObject({ uid: 0 });
		expect((await s.stat(trace)).mode & 0o777).toBe(0o600);

		const times = await fileTimes(s);
		const written = (await s.stat(trace)).ino;
		await s.metadata.clearRequests();
		const again = await type(s, "--all");
		expect(again).toEqual({ ...full, isWhole: false });
		// The service is asked as ever: instance, list, and each of the three ENIs.
		expect(await s.metadata.requests()).toHaveLength(5);
		expect(await fileTimes(s)).toBe(times);
		expect((await s.stat(trace)).ino).toBe(written);
	}));

const changes: [string, (s: Sandbox) => Promise<unknown>][] = [
	[
		"an address is gone",
		(s) => s.ip("addr", "del", "10.0.1.21/32", "dev", "eth1"),
	],
	[
		"a rule is gone",
		(s) => s.ip("rule", "del", "from", "10.0.1.21", "priority", "1001"),
	],
	["a table is empty", (s) => s.ip("route", "flush", "table", "1002")],
	["a link is down", (s) => s.ip("link", "set", "eth2", "down")],
	["rp_filter is on again", (s) => s.sysctl("conf/all/rp_filter", 1)],
	[
		"a file is gone",
		(s) => s.remove("/etc/sysconfig/network-scripts/rule-eth1"),
	],
	["sysctl.conf is gone", (s) => s.remove("/etc/sysctl.conf")],
	["an address was assigned", (s) => s.assign("eth1", "10.0.1.29")],
];
test.each(changes)(
	"after a run that found nothing to do: %s, and the next one puts it right",
	(_, change) =>
		inSandbox(two, async (s) => {
			await settle(s);
			await change(s);
			const mended = await type(s, "--all");
			expect(mended).toMatchObject({ exitCode: 0, isWhole: true });
			expect(mended.stderr).toMatch(/eth[12]: applied/);
			const report = await s.agent(["--all", "--json"]);
			expect(report.json()).toMatchObject({
				outcome: "unchanged",
				exitCode: 0,
			});
			for (const address of [...sameSubnet.addresses, ...otherSubnet.addresses])
				expect(await s.reach(address)).toBe(true);
		}),
);

test("a trace that somebody else could have written, or that is damaged, is not gone by", () =>
	inSandbox(two, async (s) => {
		await settle(s);
		const text = await s.read(trace);
		await s.write(trace, text, 0o666);
		expect((await type(s, "--all")).isWhole).toBe(true);
		for (const damaged of [
			"",
			"{}",
			text.slice(0, -20),
			text.replace(/"build":"\w/, '"build":"x'),
		]) {
			await s.write(trace, damaged, 0o600);
			expect(await type(s, "--all")).toMatchObject({
				exitCode: 0,
				isWhole: true,
			});
		}
	}));

test("what the metadata service said before the lock was free is not gone by", () =>
	inSandbox(two, async (s) => {
		await settle(s, "--all --prune");
		const holder = s.spawn([
			"flock",
			"/var/lib/eni-configure/lock",
			"sleep",
			"3",
		]);
		await sleep(300);
		const waiting = s.agent(["--all", "--prune"]);
		// By now it has asked, and waits.
		await sleep(1500);
		await s.assign("eth1", "10.0.1.29");
		const { stderr, exitCode } = await waiting;
		expect({ exitCode, stderr }).toMatchObject({
			exitCode: 0,
			stderr: expect.stringContaining("eth1: applied"),
		});
		expect(await s.reach("10.0.1.29")).toBe(true);
		await holder;
	}));

test("over what `ip` would hang, neither a run with a trace nor a daemon starts it", () =>
	inSandbox(two, async (s) => {
		await settle(s);
		const daemon = await startDaemon(s);
		await until("the first pass", () =>
			s.exists("/run/eni-configure/status.json"),
		);
		await s.guest([
			"bash",
			"-ec",
			"rm -f /etc/iproute2/rt_tables; mkfifo /etc/iproute2/rt_tables",
		]);
		// `ip` would be ended after 30 s.
		const beganMs = Date.now();
		const { exitCode, stderr } = await s.agent(["--all"]);
		expect({ exitCode, stderr }).toMatchObject({
			exitCode: 5,
			stderr: expect.stringContaining("/etc/iproute2/rt_tables"),
		});
		daemon.child.kill("SIGHUP");
		await daemon.line(/\/etc\/iproute2\/rt_tables/);
		expect(Date.now() - beganMs).toBeLessThan(20_000);
	}));

test("help is what yargs says", async () => {
	const folder = agentBundle.replace(/\/[^/]*$/, "");
	const written = await readFile(`${folder}/help.txt`, "utf8");
	await inSandbox({}, async (s) => {
		expect((await s.agent(["--help"])).stdout).toBe(written);
		// With one more word it is yargs that answers.
		expect((await s.agent(["--help", "--verbose"])).stdout).toBe(written);
		expect((await s.agent(["--version"])).stdout).toBe(
			(await s.agent(["--version", "--quiet"])).stdout,
		);
	});
});
