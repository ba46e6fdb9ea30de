import type { ExecaChildProcess } from "execa";
import { describe, expect, it } from "vitest";
import type { StatusView } from "../../src/commands/status-view.js";
import { parseStat } from "../../src/observe/process-start.js";
import { agentBundle } from "./paths";
import type { Sandbox } from "./sandbox";
import { inSandbox, otherSubnet, run, sameSubnet, shell } from "./scenario";

const statusFile = "/run/eni-configure/status.json";
const eth2 = {
	name: "eth2",
	subnet: "10.0.3.0/24",
	addresses: ["10.0.3.20"],
};

/** `status` as uid 65534, for people and as JSON. */
async function ask(sandbox: Sandbox) {
	const words = [process.execPath, agentBundle, "status"];
	const plain = await sandbox.asNobody(words);
	expect(plain.exitCode, plain.stdout + plain.stderr).toBe(0);
	const { stdout } = await sandbox.asNobody([...words, "--json"]);
	return { text: plain.stdout, json: JSON.parse(stdout) as StatusView };
}

/** A process of the guest whose name is as odd as names get, and when it started. */
async function startOdd(
	sandbox: Sandbox,
): Promise<{ child: ExecaChildProcess; pid: number; startTicks: number }> {
	const name = "/run/odd) R 1 (x";
	await shell(sandbox, `cp "$(type -P sleep)" '${name}'; chmod 755 '${name}'`);
	const child = sandbox.spawn([name, "600"]);
	for (;;) {
		const { stdout } = await sandbox.guest([
			"bash",
			"-c",
			"cat /proc/[0-9]*/stat 2>/dev/null || true",
		]);
		const stat = stdout.split("\n").find((line) => line.includes("(odd) R 1"));
		const startTicks = parseStat(stat ?? "")?.startTicks;
		if (stat && startTicks !== undefined)
			return { child, pid: Number(stat.split(" ")[0]), startTicks };
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

const secondsFromNow = (seconds: number) =>
	new Date(Date.now() + seconds * 1000).toISOString();

/** What a daemon would have written a minute ago. */
const written = (pid: number, startTicks: number) => ({
	version: 1,
	pid,
	startTicks,
	startedAt: secondsFromNow(-7200),
	writtenAt: secondsFromNow(-60),
	nextResyncAt: secondsFromNow(30),
	metadata: { answeredAt: secondsFromNow(-60) },
	lastPass: {
		at: secondsFromNow(-60),
		trigger: "eth1",
		outcome: "applied",
		ms: 131,
	},
	lastChange: { at: secondsFromNow(-60), link: "eth1", text: "applied" },
	waiting: [],
	releases: [],
	drift: [],
});

describe("status, asked by an ordinary user", () => {
	it("finds all well after a run: roles, addresses, EIPs, the machine's limits, no daemon", () =>
		inSandbox(
			{ enis: [{ ...sameSubnet, publicIps: { "10.0.1.21": "203.0.113.7" } }] },
			async (sandbox) => {
				await run(sandbox, ["--all"]);
				const { text, json } = await ask(sandbox);
				expect(text).toMatch(/^summary: {2}all is well\nmachine: {2}\S/);
				expect(text).toMatch(/^use: {6}ENIs 2 of [2468], addresses 4 of \d+$/m);
				expect(text).toContain("10.0.1.21/32 (EIP 203.0.113.7)");
				expect(text).toMatch(/\n\ndaemon: {3}never ran since the boot\n$/);
				expect(json).toMatchObject({
					attention: [],
					drift: [],
					planned: [],
					problems: [],
					daemon: null,
				});
				// Known to root alone, like the journal it stands in.
				const asRoot = await sandbox.agent(["status", "--json"]);
				expect(asRoot.json<StatusView>().lastChange).toMatchObject({
					command: "configure",
					links: ["eth1"],
					at: expect.stringMatching(/^\d{4}-/),
				});
			},
		));

	it("names what drifted on the real kernel, what is new in the cloud, and what is held", () =>
		inSandbox({ enis: [otherSubnet, eth2] }, async (sandbox) => {
			await sandbox.write(
				"/etc/sysconfig/network-scripts/ifcfg-eth2",
				"DEVICE=eth2\n",
			);
			await run(sandbox, ["eth1"]);
			await sandbox.ip("addr", "del", "10.0.2.21/32", "dev", "eth1");
			await sandbox.ip("rule", "del", "from", "10.0.2.22");
			await sandbox.sysctl("conf/eth1/arp_ignore", 0);
			await sandbox.assign("eth1", "10.0.2.23");
			await sandbox.assign("eth0", "10.0.1.11");
			const { text, json } = await ask(sandbox);
			const summaries = json.drift?.map(({ summary }) => summary).join("\n");
			expect(json.drift?.every(({ link }) => link === "eth1")).toBe(true);
			expect(summaries).toContain("10.0.2.21/32");
			expect(summaries).toContain("from 10.0.2.22/32");
			expect(summaries).toContain("net.ipv4.conf.eth1.arp_ignore = 1 (was 0)");
			expect(summaries).not.toContain("10.0.2.23");
			expect(JSON.stringify(json.planned)).toContain("10.0.2.23");
			expect(text).toMatch(/^ {9}drift: .*10\.0\.2\.21\/32/m);
			expect(text).toMatch(/^ {9}held: .*ifcfg-eth2/m);
			expect(text).toMatch(/^summary: {2}look at eth2 held; drift: eth1$/m);
			expect(json.interfaces.find(({ name }) => name === "eth0")).toMatchObject(
				{
					role: "primary",
					privateIps: ["10.0.1.10", "10.0.1.11"],
					missing: ["10.0.1.11"],
				},
			);
		}));

	it("knows a running daemon by pid and start time, and says when it was seen last once it is gone", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["--all"]);
			const { child, pid, startTicks } = await startOdd(sandbox);
			await sandbox.write(
				statusFile,
				JSON.stringify(written(pid, startTicks)),
				0o644,
			);
			const { text, json } = await ask(sandbox);
			expect(text).toMatch(
				new RegExp(
					`^daemon: {3}running, pid ${pid}, since .* \\(2 h ago\\)\n {10}last pass \\d+ s ago: eth1, applied, 131 ms\n {10}last change \\d+ s ago: eth1: applied\n {10}next resync in \\d+ s$`,
					"m",
				),
			);
			expect(json.daemon).toMatchObject({ running: true, pid });

			await sandbox.write(
				statusFile,
				JSON.stringify(written(pid, startTicks + 1)),
			);
			expect((await ask(sandbox)).json.daemon?.running).toBe(false);
			await sandbox.write(statusFile, JSON.stringify(written(pid, startTicks)));
			expect((await ask(sandbox)).json.daemon?.running).toBe(true);
			child.kill("SIGKILL");
			await sandbox.guest(["kill", "-9", String(pid)]);
			await child;
			const after = await ask(sandbox);
			expect(after.text).toMatch(
				/^daemon: {3}not running \(last seen \d+ s ago\)$/m,
			);
			expect(after.text).toMatch(/^eth1 .* managed, table 1001/m);
		}));

	it.each([
		["a FIFO", "mkfifo P", "not a regular file"],
		["a link to itself", "ln -s P P", "in a circle"],
		["an endless device", "ln -s /dev/zero P", "not a regular file"],
		["two megabytes", "head -c 2000000 /dev/zero >P", "larger than"],
		["garbage", "head -c 5000 /dev/urandom >P", "cannot be understood"],
		["of another version", `echo '{"version": 9}' >P`, "version is 9"],
	])(
		"says in one line that status.json is %s, and goes on",
		(_, script, problem) =>
			inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
				await shell(
					sandbox,
					`mkdir -p /run/eni-configure; ${script.replaceAll("P", statusFile)}`,
				);
				const { text } = await ask(sandbox);
				const lines = text.split("\n").filter((one) => one.includes(problem));
				expect(lines, text).toHaveLength(1);
				expect(lines[0]).toMatch(/^daemon: {3}not known: /);
				expect(text).toMatch(/^eth1 .* not configured/m);
			}),
	);

	it("says what it may not read, and shows the rest", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["--all"]);
			await shell(
				sandbox,
				"cd /var/lib/eni-configure; rm state.json; mkfifo state.json; rm /etc/sysctl.conf; mkfifo /etc/sysctl.conf",
			);
			const { text, json } = await ask(sandbox);
			expect(text).toMatch(/^not seen: .*state\.json is not a regular file/m);
			expect(text).toMatch(/^not seen: .*sysctl\.conf is not a regular file/m);
			expect(text).toMatch(/^eth1 .*up, managed/m);
			expect(json.drift).toBeNull();
		}));
});
