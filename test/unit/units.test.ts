import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Known, problemsOf, valuesOf } from "./unit-file.js";

const root = join(__dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
// What CentOS 7.2's systemd and kernel know.
const known: Known = JSON.parse(read("fixtures/systemd-219-directives.json"));
const names = readdirSync(join(root, "systemd")).filter((name) =>
	name.endsWith(".service"),
);
const daemon = read("systemd/eni-configure.service");
const boot = read("systemd/eni-configure-boot.service");
const words = (text: string, section: string, key: string) =>
	valuesOf(text, section, key).flatMap((value) => value.split(/\s+/));

test("both units are looked at", () => {
	expect(names.sort()).toEqual([
		"eni-configure-boot.service",
		"eni-configure.service",
	]);
});

describe.each(names)("%s", (name) => {
	const text = read(`systemd/${name}`);

	test("says nothing that systemd 219 does not know", () => {
		expect(problemsOf(text, known)).toEqual([]);
	});

	test("starts a subcommand that the command line knows", () => {
		const commands = [
			...read("src/command-line.ts").matchAll(
				/\.command\(\s*\[?"([a-z]+)[ "]/g,
			),
		].map(([, word]) => word);
		expect(commands).toContain("configure");
		const [start = "", ...more] = valuesOf(text, "Service", "ExecStart");
		expect(more).toEqual([]);
		const [program, command, ...flags] = start.replace(/^-/, "").split(" ");
		expect(program).toBe("/usr/bin/eni-configure");
		expect(commands).toContain(command);
		expect(flags).toEqual([]);
	});

	test("is wanted by the boot", () => {
		expect(words(text, "Install", "WantedBy")).toEqual(["multi-user.target"]);
	});

	test("gives its processes the machine's own mounts, network and way to other domains", () => {
		for (const key of [
			"PrivateNetwork",
			"PrivateTmp",
			"PrivateDevices",
			"ProtectHome",
			"ProtectSystem",
			"NoNewPrivileges",
			"RuntimeDirectory",
		])
			expect(valuesOf(text, "Service", key), key).toEqual([]);
	});
});

describe("the daemon's unit", () => {
	test("comes after whatever sets the network up", () => {
		expect(words(daemon, "Unit", "After")).toEqual(
			expect.arrayContaining([
				"network.service",
				"NetworkManager.service",
				"network.target",
				"cloud-init.service",
				"eni-configure-boot.service",
			]),
		);
		// These run `eni-configure --all --wait` and come after multi-user.target.
		expect(words(daemon, "Unit", "After")).not.toContain("cloud-final.service");
	});

	test.each([
		["Type", "simple"],
		["KillMode", "mixed"],
		["TimeoutStopSec", "60"],
		["ExecReload", "/bin/kill -HUP $MAINPID"],
		["Restart", "on-failure"],
		["RestartPreventExitStatus", "2 7"],
	])("has %s=%s", (key, value) => {
		expect(valuesOf(daemon, "Service", key)).toEqual([value]);
	});

	test("is enabled and disabled together with the boot unit", () => {
		expect(words(daemon, "Install", "Also")).toEqual([
			"eni-configure-boot.service",
		]);
		expect(words(boot, "Install", "Also")).toEqual([]);
	});

	test("is started again with a pause, and not for ever", () => {
		const seconds = (key: string) =>
			Number.parseInt(valuesOf(daemon, "Service", key)[0] ?? "", 10) *
			(/min$/.test(valuesOf(daemon, "Service", key)[0] ?? "") ? 60 : 1);
		expect(seconds("RestartSec")).toBeGreaterThanOrEqual(1);
		// With longer pauses the limit would never be reached.
		expect(seconds("RestartSec") * seconds("StartLimitBurst")).toBeLessThan(
			seconds("StartLimitInterval"),
		);
	});

	test("keeps what the work takes of root's rights", () => {
		const [dropped = ""] = valuesOf(daemon, "Service", "CapabilityBoundingSet");
		expect(dropped).toMatch(/^~/);
		for (const name of [
			"NET_ADMIN",
			"NET_RAW",
			"CHOWN",
			"FOWNER",
			"DAC_OVERRIDE",
			"KILL",
			"SYS_PTRACE",
			"SYS_MODULE",
		])
			expect(dropped.split(/[~ ]/)).not.toContain(`CAP_${name}`);
	});
});

describe("the boot unit", () => {
	test("comes before whatever reads ifcfg files, after udev and its disks", () => {
		expect(words(boot, "Unit", "Before")).toEqual(
			expect.arrayContaining([
				"network-pre.target",
				"network.service",
				"NetworkManager.service",
			]),
		);
		expect(words(boot, "Unit", "Wants")).toEqual([
			"network-pre.target",
			"systemd-udev-settle.service",
		]);
		expect(words(boot, "Unit", "After")).toEqual([
			"systemd-udev-settle.service",
		]);
		expect(words(boot, "Unit", "RequiresMountsFor")).toEqual(
			expect.arrayContaining(["/var/lib/eni-configure"]),
		);
	});

	test("costs a boot 10 s at most and never fails it", () => {
		const limits = ["TimeoutStartSec", "TimeoutStopSec"].map((key) =>
			Number(valuesOf(boot, "Service", key)[0]),
		);
		expect(limits.reduce((sum, one) => sum + one)).toBeLessThanOrEqual(10);
		expect(valuesOf(boot, "Service", "Type")).toEqual(["oneshot"]);
		expect(valuesOf(boot, "Service", "ExecStart")[0]).toMatch(/^-/);
		expect(words(boot, "Install", "RequiredBy")).toEqual([]);
	});
});

describe("a unit is refused", () => {
	test.each([
		[
			"a word that came later",
			"Service",
			"ReadWritePaths=/etc",
			"is not known",
		],
		["another one", "Service", "StateDirectory=eni-configure", "is not known"],
		["a misspelt one", "Service", "KilMode=mixed", "is not known"],
		[
			"the start limit as from systemd 230 on",
			"Unit",
			"StartLimitIntervalSec=10min",
			"is not known",
		],
		[
			"the start limit in the section of later versions",
			"Unit",
			"StartLimitInterval=10min",
			"belongs in [Service]",
		],
		["an order among services", "Service", "After=network.target", "[Unit]"],
		["a value that came later", "Service", "ProtectSystem=strict", "none of"],
		["a type that came later", "Service", "Type=exec", "none of"],
		[
			"a right that kernel 3.10 does not know",
			"Service",
			"CapabilityBoundingSet=~CAP_SYS_TIME CAP_BPF",
			"CAP_BPF is not known",
		],
		["a need for the network", "Unit", "Requires=network.service", "may fail"],
		[
			"the same in other words",
			"Unit",
			"BindsTo=NetworkManager.service",
			"may",
		],
		["a line that is none", "Service", "Restart", "no directive"],
		["a section of another kind", "Timer", "OnBootSec=1", "no section"],
	])("for %s", (_, section, line, reason) => {
		const text = daemon.replace(/\n\[Install\]/, `\n[${section}]\n${line}\n$&`);
		expect(problemsOf(text, known)).toEqual([expect.stringContaining(reason)]);
	});
});
