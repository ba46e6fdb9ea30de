import { describe, expect, it } from "vitest";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	shell,
} from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const templates = "/etc/eni-configure/templates";
const eth2 = { name: "eth2", subnet: "10.0.3.0/24", addresses: ["10.0.3.20"] };
// Generous: it only has to catch what would never end.
const hang = { timeoutMs: 20_000 };

/** Runs the agent without --json; whatever it prints may not steer a terminal. */
async function say(
	sandbox: Sandbox,
	args: string[],
): Promise<{ exitCode: number; text: string }> {
	const result = await sandbox.agent(args, hang);
	const text = result.stdout + result.stderr;
	expect(text).not.toMatch(/[^\P{Cc}\n\t]|\p{Cf}/u);
	return { exitCode: result.exitCode, text };
}

// Everything the kernel lets a name be: no `/`, no `:`, no white space.
const oddNames = [
	...["$(>/run/x)", "`>/run/x`", ";>/run/x", "&>/run/x", 'a"b', "a'b", "#x"],
	...[
		"-all",
		"--force",
		"\x1b[31m",
		"\x07",
		"\x7f",
		"eth1;",
		"eth1.bak",
		"eth1~",
	],
	...["eth1\\", "x\\dev\\eth1", "é1", "\u202eeth1", "\u009b31m", "eth1\u2003x"],
	...["\ufeffeth1", "con", "table", "via", "dev", "linkdown", "lookup", "[x"],
	...[
		"eth0-range1",
		"*",
		"?",
		"~",
		"!x",
		"%s%n",
		"{{name}}",
		"<!--",
		"constructor",
	],
];

/** Makes a NIC of each name, up, with an address and a route of its own; names them that the kernel took. */
async function plugOddNics(sandbox: Sandbox): Promise<string[]> {
	const taken: string[] = [];
	for (const [at, name] of oddNames.entries()) {
		const script = `ip link add name "$0" type veth peer name "odd$1" || exit 7
			ip link set dev "$0" up && ip addr add 10.250.$1.1/24 dev "$0"
			ip route add 10.251.$1.0/24 dev "$0"`;
		const result = await sandbox.guest(["bash", "-c", script, name, `${at}`]);
		if (result.exitCode === 0) taken.push(name);
		else expect(result.exitCode, name + result.stderr).toBe(7);
	}
	return taken;
}

describe("NICs with odd names", () => {
	it("are left alone, break nothing for the others, and are shown without what they hide", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const names = await plugOddNics(sandbox);
			expect(names.length).toBeGreaterThan(30);
			const before = await sandbox.snapshot();
			const report = await run(sandbox, ["--all"]);
			const applied = report.interfaces.filter(
				({ outcome }) => outcome === "applied",
			);
			expect(applied.map(({ name }) => name)).toEqual(["eth1"]);
			await expectReachable(sandbox, ["10.0.1.10", ...sameSubnet.addresses]);
			for (const [at, name] of names.entries()) {
				const { stdout } = await sandbox.guest([
					"ip",
					"-4",
					"addr",
					"show",
					"dev",
					name,
				]);
				expect(stdout, `${at}`).toMatch(/inet 10\.250\.\d+\.1\/24/);
			}
			for (const file of await sandbox.list(scripts))
				expect(file).toMatch(/^[a-z0-9-]+$/);
			expect(await sandbox.read("/etc/sysctl.conf")).toMatch(
				/^[\x20-\x7e\n]*$/,
			);

			const status = await sandbox.agent(["status", "--json"], hang);
			expect(status.stdout).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
			const shown = status
				.json<{ interfaces: { name: string }[] }>()
				.interfaces.map(({ name }) => name);
			expect(shown).toEqual(expect.arrayContaining(["eth0", "eth1"]));
			expect((await say(sandbox, ["status"])).text).toContain("eth1");
			expect((await say(sandbox, ["plan", "--all"])).exitCode).toBe(0);
			expect((await say(sandbox, ["plan", "eth7"])).exitCode).toBe(2);

			expect((await run(sandbox, ["--all"])).outcome).toBe("unchanged");
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.snapshot()).toBe(before);
			expect(await sandbox.exists("/run/x")).toBe(false);
		}));

	it("whose rule a restart lost: said, never half of it in a batch, and the other rules come back", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const told = await shell(
				sandbox,
				`ip link add name '#x' type veth peer name odd && ip link set dev '#x' up
				ip rule add iif '#x' lookup main priority 700
				ip rule add to 10.99.0.0/16 lookup main priority 701
				type -P systemctl; echo "$PATH"`,
			);
			const [real, path] = told.trim().split("\n");
			await sandbox.write(
				"/run/wrap/systemctl",
				`#!/bin/bash
				[[ $1 != restart ]] || { ip rule del priority 700; ip rule del priority 701; }
				exec ${real} "$@"\n`,
				0o755,
			);
			const report = await run(sandbox, ["eth1", "--restart", "service"], 6, {
				PATH: `/run/wrap:${path}`,
			});
			const wants = report.findings.map(({ want, got }) => `${want}: ${got}`);
			expect(wants).toContain(
				'ip rule add from all iif #x lookup main priority 700: not run: "#x" is no word for `ip -batch`',
			);
			const rules = (await sandbox.ip("rule")).match(/^\d+/gm);
			expect(rules).toEqual(["0", "701", "32766", "32767"]);
			expect(await sandbox.ip("route", "show", "default")).toContain(
				"dev eth0",
			);
			await expectReachable(sandbox, ["10.0.1.10"]);
		}));

	it("given on the command line are refused in one line, whatever they hold", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await plugOddNics(sandbox);
			const before = await sandbox.snapshot();
			for (const name of oddNames.filter(
				(one) =>
					one !== "--force" &&
					one !== "constructor" &&
					one !== "con" &&
					one !== "linkdown" &&
					one !== "lookup",
			)) {
				const { exitCode, text } = await say(sandbox, ["--", name]);
				expect(exitCode, name + text).toBe(2);
				expect(text.trim().split("\n"), text).toHaveLength(1);
			}
			expect(await sandbox.snapshot()).toBe(before);
			expect(await sandbox.exists("/run/x")).toBe(false);
		}));

	it("may be an ENI's: `valueOf`, which every object answers to, gets what the cloud gives it", () =>
		inSandbox(
			{ enis: [{ ...otherSubnet, name: "valueOf" }] },
			async (sandbox) => {
				const before = await sandbox.snapshot();
				expect((await run(sandbox, ["valueOf"])).outcome).toBe("applied");
				expect((await run(sandbox, ["valueOf"])).outcome).toBe("unchanged");
				// By the kernel's word: Node's own list of interfaces leaves such a name out.
				const shown = await sandbox.ip("-o", "-4", "addr", "show", "valueOf");
				for (const address of otherSubnet.addresses) {
					expect(shown).toContain(` ${address}/`);
					expect(
						await sandbox.ip("route", "get", sandbox.far, "from", address),
					).toContain("dev valueOf");
				}
				await run(sandbox, ["remove", "valueOf"]);
				expect(await sandbox.snapshot()).toBe(before);
			},
		));
});

// What a hostile file says, to be run by whoever sources it.
const shellful = [
	'NAME="x DEVICE=$(touch /run/pwned)"',
	"HWADDR=`touch /run/pwned`",
	"cat <<END",
	"$(touch /run/pwned)",
	"END",
	"touch /run/pwned",
	"eval 'touch /run/pwned'",
	`LONG="${"x".repeat(40_000)}`,
	"\x00\x01\x1b[31m\x7f\u009b31m",
	"unbalanced ' \" $( ` ${",
	"trap 'touch /run/pwned' EXIT",
].join("\n");

describe("a file that network-scripts would read", () => {
	it.each(["ifcfg", "route", "rule"])(
		"full of shell in place of %s-eth1 is never run: held, replaced by --force with a copy, given back",
		(kind) =>
			inSandbox({ enis: [otherSubnet, eth2] }, async (sandbox) => {
				const path = `${scripts}/${kind}-eth1`;
				await sandbox.write(path, shellful, 0o600);
				const before = await sandbox.snapshot();
				const held = await run(sandbox, ["eth1"], 5);
				expect(held.interfaces[0]?.reason).toContain(
					`${kind}-eth1 is not ours`,
				);
				expect((await say(sandbox, ["eth1"])).exitCode).toBe(5);
				expect(await sandbox.snapshot()).toBe(before);

				const all = await run(sandbox, ["--all"], 5);
				expect(
					all.interfaces.map(({ name, outcome }) => [name, outcome]),
				).toEqual(
					expect.arrayContaining([
						["eth1", "refused"],
						["eth2", "applied"],
					]),
				);
				await expectReachable(sandbox, eth2.addresses);
				await run(sandbox, ["remove", "eth2"]);

				expect((await run(sandbox, ["eth1", "--force"])).outcome).toBe(
					"applied",
				);
				await expectReachable(sandbox, otherSubnet.addresses);
				expect(
					await sandbox.read(`/var/lib/eni-configure/backup/${kind}-eth1`),
				).toBe(shellful);
				await run(sandbox, ["remove", "eth1"]);
				expect(await sandbox.snapshot()).toBe(before);
				expect(await sandbox.exists("/run/pwned")).toBe(false);
			}),
	);

	it("full of shell that took the place of ours is not run by --force, nor by remove", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.write(`${scripts}/ifcfg-eth1`, shellful);
			expect((await run(sandbox, ["eth1"], 5)).outcome).toBe("refused");
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.read(`${scripts}/ifcfg-eth1`)).toBe(shellful);
			expect(await sandbox.ip("rule")).not.toContain("10.0.2.");
			await run(sandbox, ["eth1", "--force"]);
			await sandbox.write(`${scripts}/ifcfg-eth1`, shellful);
			await run(sandbox, ["eth1", "--force", "--restart", "interface"]);
			await expectReachable(sandbox, otherSubnet.addresses);
			expect(await sandbox.exists("/run/pwned")).toBe(false);
		}));

	it.each([
		["a FIFO", "mkfifo P", "is not a regular file"],
		[
			"a FIFO somebody writes to",
			"mkfifo P; (sleep 60 >P) &",
			"is not a regular file",
		],
		// Bound, not made: an ordinary user may not make one.
		["a device", ": >P; mount --bind /dev/null P", "is not a regular file"],
		["a directory", "mkdir P", "is not a regular file"],
		[
			"a link elsewhere",
			"echo DEVICE=eth1 >/run/elsewhere; ln -s /run/elsewhere P",
			"is a symbolic link",
		],
		["a link to a file of ours", "", "is a symbolic link"],
		["a link to nothing", "ln -s /none P", "is a symbolic link"],
		["a link to itself", "ln -s P P", "is a symbolic link"],
		["a link to an endless device", "ln -s /dev/zero P", "is a symbolic link"],
		[
			"a megabyte",
			"head -c 1000000 /dev/zero | tr '\\\\0' x >P",
			"larger than",
		],
	])(
		"%s in place of ifcfg-eth1 holds that NIC, with --force too, and no other",
		(_, script, reason) =>
			inSandbox({ enis: [otherSubnet, eth2] }, async (sandbox) => {
				const path = `${scripts}/ifcfg-eth1`;
				if (script === "") {
					await run(sandbox, ["eth1"]);
					const ours = await sandbox.read(path);
					await run(sandbox, ["remove", "eth1"]);
					await sandbox.write("/run/ours", ours);
					await shell(sandbox, `ln -s /run/ours ${path}`);
				} else
					await shell(
						sandbox,
						script
							.replaceAll("P", path)
							.replace(/\) &$/, ") >/dev/null 2>&1 &"),
					);
				const kindOf = async () => shell(sandbox, `stat -c '%F %s %N' ${path}`);
				const [kind, before] = [await kindOf(), await sandbox.snapshot()];
				for (const flags of [[], ["--force"]]) {
					const report = await run(sandbox, ["eth1", ...flags], 5);
					expect(report.interfaces[0]?.reason).toContain(path);
					expect(report.interfaces[0]?.reason).toContain(reason);
					expect(await sandbox.snapshot()).toBe(before);
				}
				const all = await run(sandbox, ["eth1", "eth2", "--force"], 5);
				expect(all.interfaces.map(({ outcome }) => outcome).sort()).toEqual([
					"applied",
					"refused",
				]);
				await expectReachable(sandbox, eth2.addresses);
				expect(await kindOf()).toBe(kind);
			}),
	);

	it("of another name, odd in every way, holds nobody up", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await shell(
				sandbox,
				`cd ${scripts}; mkfifo ifcfg-fifo route-fifo; mkdir ifcfg-dir; ln -s /dev/zero ifcfg-zero
				ln -s ifcfg-loop ifcfg-loop; touch ifcfg-dev; mount --bind /dev/zero ifcfg-dev; head -c 1000000 /dev/zero >ifcfg-big
				printf 'NAME="DEVICE=$(touch /run/pwned)"\\n' >"ifcfg-$'\\n'"; printf x >"ifcfg-$(printf '\\033[31m')"
				for i in $(seq 5000); do echo "DEVICE=odd$i" >ifcfg-odd$i; done
				for i in $(seq 100); do head -c 65536 /dev/zero >ifcfg-zz$i; done`,
			);
			expect((await run(sandbox, ["--all"])).outcome).toBe("applied");
			await expectReachable(sandbox, otherSubnet.addresses);
			expect((await run(sandbox, ["--all"])).outcome).toBe("unchanged");
			expect((await say(sandbox, ["status"])).exitCode).toBe(0);
			expect(await sandbox.exists("/run/pwned")).toBe(false);
		}));

	it("whose name steers the terminal and that claims the NIC is named without that", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(
				`${scripts}/ifcfg-\x1b[31m\nred\u202e`,
				"DEVICE=eth1\n",
			);
			const { exitCode, text } = await say(sandbox, ["eth1"]);
			expect(exitCode).toBe(5);
			expect(text).toContain("ifcfg-?[31m?red? is not ours");
		}));
});

describe("other files that the agent reads", () => {
	it.each([
		["FIFOs", "rm -rf P; mkfifo P"],
		["directories", "rm -rf P; mkdir P"],
		["links to themselves", "rm -rf P; ln -s P P"],
		["endless devices", "rm -rf P; ln -s /dev/zero P"],
		["a megabyte of junk", "rm -rf P; head -c 1000000 /dev/urandom >P"],
		[
			"a megabyte of blanks",
			"rm -rf P; head -c 1000000 /dev/zero | tr '\\\\0' ' ' >P",
		],
	])("may be %s", (_, script) =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await shell(
				sandbox,
				"mkdir -p /etc/iproute2/rt_tables.d /etc/cni/net.d; touch /etc/sysctl.d/99-sysctl.conf",
			);
			for (const path of [
				"/etc/os-release",
				"/etc/cni/net.d/00-x.conf",
				"/etc/sysctl.d/99-zz.conf",
				"/run/dhclient-eth1.pid",
			])
				await shell(sandbox, script.replaceAll("P", path));
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			await expectReachable(sandbox, otherSubnet.addresses);
			expect((await say(sandbox, ["status"])).exitCode).toBe(0);
		}),
	);

	it.each([
		["a FIFO", "rm -f P; mkfifo P"],
		["an endless device", "rm -f P; ln -s /dev/zero P"],
		["two megabytes", "head -c 2000000 /dev/zero >P"],
	])(
		"%s among the names of tables, over which `ip` would hang, is refused in one line",
		(_, script) =>
			inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
				const before = await sandbox.snapshot();
				await shell(sandbox, "mkdir -p /etc/iproute2/rt_tables.d");
				for (const name of ["rt_tables", "rt_tables.d/x.conf"]) {
					const path = `/etc/iproute2/${name}`;
					const old = await shell(sandbox, `cat ${path} 2>/dev/null || true`);
					await shell(sandbox, script.replaceAll("P", path));
					const { exitCode, text } = await say(sandbox, ["eth1"]);
					expect(exitCode, text).toBe(5);
					expect(text.trim().split("\n"), text).toHaveLength(1);
					expect(text).toContain(path);
					await shell(sandbox, `rm -f ${path}`);
					await sandbox.write(path, old);
				}
				expect(await sandbox.snapshot()).toBe(before);
			}),
	);

	it("names of tables may be a megabyte of junk", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await shell(
				sandbox,
				"head -c 1000000 /dev/urandom >/etc/iproute2/rt_tables",
			);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
		}));

	it.each([
		["a FIFO", "rm P; mkfifo P"],
		["a directory", "rm P; mkdir P"],
		["a link elsewhere", "mv P /run/moved; ln -s /run/moved P"],
		["two megabytes", "head -c 2000000 /dev/zero >P"],
	])("%s in place of /etc/sysctl.conf is refused in one line", (_, script) =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await shell(sandbox, script.replaceAll("P", "/etc/sysctl.conf"));
			const before = await sandbox.snapshot();
			const { exitCode, text } = await say(sandbox, ["eth1"]);
			expect(exitCode).toBe(5);
			expect(text.trim().split("\n"), text).toHaveLength(1);
			expect(text).toContain("/etc/sysctl.conf");
			expect(await sandbox.snapshot()).toBe(before);
		}),
	);

	it("15 000 lines that contradict ours are planned, applied and taken back in good time", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const fill = (count: number) =>
				shell(
					sandbox,
					`yes net.ipv4.conf.all.rp_filter=1 | head -n ${count} >/etc/sysctl.conf`,
				);
			await fill(30_000);
			const tooMany = await say(sandbox, ["eth1"]);
			expect(tooMany.exitCode).toBe(5);
			expect(tooMany.text).toContain("would become larger than 1048576 bytes");
			await fill(15_000);
			const before = await sandbox.snapshot();
			expect((await say(sandbox, ["plan", "eth1"])).text).toContain(
				"lines differ",
			);
			await run(sandbox, ["eth1"]);
			expect((await run(sandbox, ["eth1"])).outcome).toBe("unchanged");
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.snapshot()).toBe(before);
		}));
});

describe("the config file and templates", () => {
	const config = "/etc/eni-configure/config.yaml";
	it.each([
		["a FIFO", "mkfifo P"],
		["a directory", "mkdir P"],
		["a link to itself", "ln -s P P"],
		["a link to nothing", "ln -s /none P"],
		["an endless device", "ln -s /dev/zero P"],
		["a megabyte", "head -c 1000000 /dev/zero | tr '\\\\0' '#' >P"],
		["junk", "head -c 10000 /dev/urandom >P"],
	])("%s in place of either: one line, exit 2, nothing touched", (_, script) =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await shell(sandbox, `mkdir -p ${templates}`);
			const before = await sandbox.snapshot();
			for (const path of [config, `${templates}/rule.hbs`]) {
				await shell(sandbox, script.replaceAll("P", path));
				const { exitCode, text } = await say(sandbox, ["eth1"]);
				expect(exitCode, text).toBe(2);
				expect(text.trim().split("\n"), text).toHaveLength(1);
				expect(text).toContain(path);
				expect(await sandbox.snapshot()).toBe(before);
				await sandbox.remove(path);
			}
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
		}),
	);

	it.each([
		["loops in loops", "{{#each @root.sources}}".repeat(9)],
		[
			"turns without end",
			`${"{{#each @root.sources}}".repeat(8)}${"{{/each}}".repeat(8)}`.repeat(
				2,
			),
		],
		["partials that double", '{{#*inline "a"}}x{{/inline}}{{> a}}{{> a}}'],
		["a partial of itself", '{{#*inline "a"}}{{> a}}{{/inline}}{{> a}}'],
		["a word for the console", '{{log "\x1b[31m" name}}'],
		["a way into prototypes", '{{lookup . "constructor"}}'],
		["parentheses without end", `{{a ${"(a ".repeat(15_000)}`],
		["a misspelt list", "{{#each sorces}}{{/each}}"],
	])("a template with %s: one line, exit 2, nothing touched", (_, text) =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(`${templates}/rule.hbs`, `# mine\n${text}\n`);
			const before = await sandbox.snapshot();
			const said = await say(sandbox, ["eth1"]);
			expect(said.exitCode, said.text).toBe(2);
			expect(said.text.trim().split("\n"), said.text).toHaveLength(1);
			expect(said.text).toContain(`template ${templates}/rule.hbs: line 2: `);
			expect(await sandbox.snapshot()).toBe(before);
		}),
	);
});
