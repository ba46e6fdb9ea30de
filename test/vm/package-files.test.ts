import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readConfig } from "../../src/config.js";
import { exitCodes } from "../../src/errors.js";
import { paths } from "../../src/paths.js";
import { mergeSettings } from "../../src/settings.js";
import { requirePrograms, root } from "./packages";

// The hand-written files of the package: what they say, and what they do without a machine.

const read = (path: string) => fs.readFileSync(join(root, path), "utf8");
let folder = "";
beforeAll(() => {
	requirePrograms({
		...{ dash: "dash", bash: "bash", timeout: "coreutils" },
		groff: "groff-base",
	});
	folder = fs.mkdtempSync(join(tmpdir(), "eni-configure-package-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** The config of a text, by the agent's own reader. */
function configOf(text: string) {
	const file = join(folder, "config.yaml");
	fs.writeFileSync(file, text);
	return readConfig(fs, file, true);
}

/** Keys that the agent's reader names when it meets an unknown one at the given place. */
async function knownKeys(text: string): Promise<string[]> {
	try {
		await configOf(text);
	} catch (error) {
		const [, keys = ""] =
			/expected one of (.+)$/.exec((error as Error).message) ?? [];
		return keys.split(", ");
	}
	throw new Error("an unknown key was accepted");
}

const topKeys = () => knownKeys("nosuchkey: 1\n");
const excludeKeys = () => knownKeys("exclude: { nosuchkey: 1 }\n");
const interfaceKeys = () =>
	knownKeys(
		"interfaces: { eth1: { addresses: [], gateway: '', nosuchkey: 1 } }\n",
	);

describe("config.yaml", () => {
	const text = read("packaging/config.yaml");
	// "# Words" explains; "#key: value" is a setting, and "#  key" goes on with it.
	const isSetting = (line: string) => /^#(\S| {2})/.test(line);
	const settings = text
		.split("\n")
		.filter(isSetting)
		.map((line) => line.slice(1))
		.reduce<string[]>((blocks, line) => {
			if (line.startsWith(" ")) blocks.push(`${blocks.pop() ?? ""}${line}\n`);
			else blocks.push(`${line}\n`);
			return blocks;
		}, []);

	test("is all comments, which the agent takes for an empty config", async () => {
		expect(
			text.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
		).toEqual([]);
		expect(await configOf(text)).toEqual({});
	});

	test("has every key that the agent knows, and no other", async () => {
		expect(settings.map((block) => block.split(":")[0]).sort()).toEqual(
			(await topKeys()).sort(),
		);
		const all = parse(settings.join(""));
		expect(Object.keys(all.exclude).sort()).toEqual(
			(await excludeKeys()).sort(),
		);
		const inInterfaces = Object.values<object>(all.interfaces).flatMap(
			Object.keys,
		);
		expect([...new Set(inInterfaces)].sort()).toEqual(
			(await interfaceKeys()).sort(),
		);
	});

	test.each(settings.map((block) => [block.split(":")[0] ?? "", block]))(
		"is accepted with the comment taken off %s",
		async (key, block) => {
			const commented = block.replace(/^(?=.)/gm, "#");
			expect(text).toContain(commented);
			expect(
				Object.keys(await configOf(text.replace(commented, block))),
			).toEqual([key]);
		},
	);

	test("is accepted with all comments taken off, and shows the defaults", async () => {
		const { exclude, interfaces, metadataUrl, ...scalars } = await configOf(
			text
				.split("\n")
				.map((line) => (isSetting(line) ? line.slice(1) : line))
				.join("\n"),
		);
		expect(Object.keys(interfaces ?? {})).toHaveLength(2);
		expect(exclude?.names).not.toEqual([]);
		const settled = (values: object) =>
			mergeSettings([{ values, nameOf: (key) => key }]);
		const byDefault = settled({});
		expect(settled(scalars)).toEqual(byDefault);
		expect(byDefault.metadataUrls[0]).toBe(metadataUrl);
	});
});

describe("eni-configure(8)", () => {
	const source = read("packaging/eni-configure.8");
	const text = source.replace(/\\-/g, "-").replace(/\\f[RBI]/g, "");
	const agent = (...argv: string[]) => {
		const bundle = join(folder, "dist/eni-configure.cjs");
		if (!fs.existsSync(bundle)) {
			const built = spawnSync(
				process.execPath,
				["build.mjs", "--out", join(folder, "dist")],
				{ cwd: root, encoding: "utf8" },
			);
			expect(built.status, built.stderr).toBe(0);
		}
		return spawnSync(process.execPath, [bundle, ...argv], { encoding: "utf8" })
			.stdout;
	};
	const section = (name: string) =>
		text.split(/^\.SH /m).find((part) => part.startsWith(`${name}\n`)) ?? "";

	test("is clean to groff", () => {
		const said = spawnSync(
			"groff",
			["-man", "-ww", "-z", join(root, "packaging/eni-configure.8")],
			{ encoding: "utf8" },
		);
		expect(said.stderr).toBe("");
		expect(said.status).toBe(0);
	});

	test("explains every command, and none that there is not", () => {
		const commands = [
			...read("src/command-line.ts").matchAll(
				/\.command\(\s*\[?"([a-z]+)[ "]/g,
			),
		].map(([, name]) => name);
		expect(commands.length).toBeGreaterThan(7);
		const explained = [
			...section("COMMANDS").matchAll(/^\.TP\n(?:\.B )?([a-z]+)/gm),
		].map(([, name]) => name);
		expect(explained.sort()).toEqual(commands.sort());
	});

	test("explains every flag of every command, and none that there is not", () => {
		const flags = [
			"configure",
			"plan",
			"remove",
			"rollback",
			"status",
			"daemon",
		]
			.flatMap((command) => [
				...agent(command, "--help").matchAll(/^ +(?:-h, )?(--[a-z-]+)/gm),
			])
			.map(([, flag = ""]) => flag);
		expect(flags).toContain("--rp-filter");
		const explained = [
			...section("OPTIONS").matchAll(/^\.TP\n.*?(--[a-z-]+)/gm),
		].map(([, flag]) => flag);
		expect(explained.sort()).toEqual([...new Set(flags)].sort());
	});

	test("explains every exit code", () => {
		const explained = [
			...section("EXIT STATUS").matchAll(/^\.TP\n\.B (\d+)$/gm),
		].map(([, code]) => Number(code));
		expect(explained).toEqual(Object.values(exitCodes).sort());
	});

	test("explains every variable", () => {
		const known = fs
			.readdirSync(join(root, "src/commands"))
			.flatMap((name) => read(`src/commands/${name}`).match(variable) ?? []);
		const explained = section("ENVIRONMENT").match(variable) ?? [];
		expect([...new Set(explained)].sort()).toEqual([...new Set(known)].sort());
		expect(explained).toContain("ENI_CONFIGURE_METADATA_URL");
	});
	const variable = /ENI_CONFIGURE_[A-Z_]+/g;

	test("explains every config key", async () => {
		const words = section("CONFIG").split(/[\s",<>]+/);
		for (const key of await topKeys())
			expect(
				words.some((word) => word.replace(/[.:].*/, "") === key),
				key,
			).toBe(true);
		for (const key of await excludeKeys())
			expect(words).toContain(`exclude.${key}`);
		for (const key of await interfaceKeys())
			expect(
				words.some((word) => word.endsWith(`.${key}`)),
				key,
			).toBe(true);
	});

	test("names every file of the agent's", () => {
		const files = section("FILES");
		for (const path of Object.values(paths)) {
			if (/^\/(sys|proc)\//.test(path)) continue;
			const [directory, name = ""] = /^\/(?:var\/lib|run)\/eni-configure/.test(
				path,
			)
				? [path.split("/eni-configure")[0], path.split("/eni-configure/")[1]]
				: [path];
			expect(files).toContain(directory ?? path);
			expect(files).toContain(name.split("/")[0] ?? "");
		}
	});

	test("says how to undo", () => {
		expect(section("HOW TO UNDO")).toMatch(/eni-configure remove/);
	});
});

/** Runs a shell script with programs of ours in front of the machine's; each writes what it is called with to a log. */
function runScript(
	shell: string,
	script: string,
	programs: Record<string, string>,
) {
	const bin = fs.mkdtempSync(join(folder, "bin-"));
	const log = join(bin, "log");
	fs.writeFileSync(log, "");
	for (const [name, body] of Object.entries(programs))
		fs.writeFileSync(
			join(bin, name),
			`#!/bin/sh\necho "${name} $*" >>'${log}'\n${body}\n`,
			{ mode: 0o755 },
		);
	const startedAt = Date.now();
	const { status, stdout, stderr } = spawnSync(shell, [script], {
		encoding: "utf8",
		env: { PATH: `${bin}:${process.env.PATH}`, STATE: bin },
		timeout: 60_000,
	});
	return {
		...{ status, stdout, stderr, ms: Date.now() - startedAt },
		calls: fs.readFileSync(log, "utf8").split("\n").filter(Boolean),
	};
}

// CentOS's /bin/sh is bash, Debian's is dash.
describe.each(["dash", "bash"])("the cloud-init hook in %s", (shell) => {
	const script = join(root, "systemd/cloud-init-per-boot");
	const idle = { systemctl: "exit 1", "eni-configure": "exit 0" };

	test.each([
		["enabled", "is-enabled*) echo enabled; exit 0"],
		["masked", "is-enabled*) echo masked; exit 1"],
		["running", "is-active*) exit 0"],
	])("does nothing where the daemon is %s", (_, answer) => {
		const { status, calls, stderr } = runScript(shell, script, {
			...idle,
			systemctl: `case "$*" in *eni-configure.service) case "$*" in *${answer} ;; esac ;; esac; exit 1`,
		});
		expect(status).toBe(0);
		expect(stderr).toBe("");
		expect(calls.filter((call) => call.startsWith("eni-configure"))).toEqual(
			[],
		);
	});

	test("configures all NICs where it is not, and says nothing of its own", () => {
		const { status, calls, stderr } = runScript(shell, script, idle);
		expect(status).toBe(0);
		expect(stderr).toBe("");
		expect(calls.filter((call) => call.startsWith("eni-configure"))).toEqual([
			"eni-configure --all --wait --wait-timeout 60 --lock-timeout 30",
		]);
	});

	test.each([1, 2, 3, 4, 5, 6, 7, 42])(
		"fails no boot with exit code %i, and says it in one line",
		(code) => {
			const { status, stderr } = runScript(shell, script, {
				...idle,
				"eni-configure": `exit ${code}`,
			});
			expect(status).toBe(0);
			expect(stderr.trimEnd().split("\n")).toEqual([
				expect.stringMatching(
					new RegExp(`exit code ${code}\\b.*eni-configure status`),
				),
			]);
		},
	);

	test("fails no boot where the agent cannot be started", () => {
		const { status, stderr } = runScript(shell, script, {
			...idle,
			"eni-configure": "",
			timeout: `shift 3; case $1 in systemctl) exit 1 ;; esac; exit 127`,
		});
		expect(status).toBe(0);
		expect(stderr).toContain("exit code 127");
	});

	test("takes less than two minutes, whatever hangs", () => {
		// All limits a hundredth of what they are.
		const scaled = `
k=$2 limit=$3; shift 3
exec /usr/bin/timeout -k "$(awk "BEGIN{print $k/100}")" "$(awk "BEGIN{print $limit/100}")" "$@"`;
		const hung = `trap '' TERM HUP INT; while :; do sleep 1; done`;
		const { status, calls, ms } = runScript(shell, script, {
			...{ systemctl: hung, "eni-configure": hung, timeout: scaled },
		});
		expect(status).toBe(0);
		const limits = calls.flatMap((call) => {
			const [, kill, limit] = /^timeout -k (\d+) (\d+) /.exec(call) ?? [];
			return limit === undefined ? [] : [Number(kill) + Number(limit)];
		});
		expect(limits).toHaveLength(3);
		const seconds = limits.reduce((sum, one) => sum + one);
		expect(seconds).toBeLessThan(120);
		expect(ms).toBeGreaterThan(seconds * 8);
		expect(ms).toBeLessThan(seconds * 10 + 5000);
	});
});

describe.each(["dash", "bash"])("the user data in %s", (shell) => {
	const text = read("docs/cloud-init/user-data.yaml");
	const script = () => {
		const { runcmd } = parse(text);
		expect(runcmd).toHaveLength(1);
		const file = join(folder, "runcmd.sh");
		fs.writeFileSync(
			file,
			// Not into root's home.
			runcmd[0].replace("/root/", `${folder}/`),
		);
		return file;
	};
	// rpm -q finds the package once something has installed it.
	const machine = {
		curl: `while [ "$1" != -o ]; do shift; done; echo rpm >"$2"`,
		rpm: `case $1 in -q) [ -e "$STATE/installed" ] ;; -U) touch "$STATE/installed" ;; esac`,
		yum: `touch "$STATE/installed"`,
		sleep: "",
		systemctl: "",
	};
	const started = [
		"systemctl enable eni-configure.service",
		"systemctl --no-block start eni-configure.service",
	];
	const systemctl = (calls: string[]) =>
		calls.filter((call) => call.startsWith("systemctl"));

	test("is cloud-init's", () => {
		expect(text.split("\n")[0]).toBe("#cloud-config");
		expect(Object.keys(parse(text))).toEqual(["runcmd"]);
	});

	test("installs the package, enables and starts the daemon", () => {
		const { calls, status, stderr } = runScript(shell, script(), machine);
		expect(status).toBe(0);
		expect(stderr).toBe("");
		expect(systemctl(calls)).toEqual(started);
		expect(calls.filter((call) => /^(yum|sleep)/.test(call))).toEqual([]);
	});

	test("tries again where the download fails", () => {
		const { calls } = runScript(shell, script(), {
			...machine,
			curl: `echo x >>"$STATE/tries"; [ "$(wc -l <"$STATE/tries")" -gt 2 ] || exit 7\n${machine.curl}`,
		});
		expect(calls.filter((call) => call.startsWith("sleep"))).toEqual([
			"sleep 2",
			"sleep 5",
		]);
		expect(systemctl(calls)).toEqual(started);
	});

	test("leaves it to yum where something else is needed first", () => {
		const { calls } = runScript(shell, script(), {
			...machine,
			rpm: machine.rpm.replace("-U) touch", "-U) exit 1; touch"),
		});
		expect(calls.some((call) => call.startsWith("yum -y install"))).toBe(true);
		expect(systemctl(calls)).toEqual(started);
	});

	test("says that it gave up, and starts nothing", () => {
		const { calls, stderr } = runScript(shell, script(), {
			...machine,
			curl: "exit 7",
		});
		expect(stderr).toMatch(/could not be installed from http/);
		expect(systemctl(calls)).toEqual([]);
		// No pause that is followed by nothing.
		const turns = calls.flatMap(
			(call) => /^(curl|sleep)/.exec(call)?.[1] ?? [],
		);
		expect(turns.join(" ")).toBe(`curl${" sleep curl".repeat(5)}`);
	});

	test("installs nothing where the image has it already", () => {
		const { calls } = runScript(shell, script(), { ...machine, rpm: "" });
		expect(calls.filter((call) => /^(curl|yum|rpm -U)/.test(call))).toEqual([]);
		expect(systemctl(calls)).toEqual(started);
	});

	test("takes no file with another checksum", () => {
		const file = script();
		fs.writeFileSync(
			file,
			fs.readFileSync(file, "utf8").replace(/^sum=$/m, `sum=${"0".repeat(64)}`),
		);
		const { calls } = runScript(shell, file, machine);
		expect(calls.filter((call) => /^(yum|rpm -U)/.test(call))).toEqual([]);
	});
});
