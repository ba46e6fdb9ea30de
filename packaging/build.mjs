// Builds the RPMs: .build/packages/eni-configure-VERSION-RELEASE.el7.x86_64.rpm for CentOS 7, with Node 16,
// and the same for el8, with a newer Node. The same commit gives the same bytes.
//
//   node packaging/build.mjs [--target el7|el8] [--release N] [--out DIR]
//
// The time in the packages is that of the commit, or SOURCE_DATE_EPOCH where it is set (outside of git it has to be).
import { execFileSync } from "node:child_process";
import {
	accessSync,
	chmodSync,
	constants,
	copyFileSync,
	cpSync,
	lutimesSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fetchNode } from "./fetch-node.mjs";
import { label, licencesOf } from "./licences.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const work = path.join(root, ".build");
const targets = ["el7", "el8"];

// Which Debian package brings a program.
const programs = {
	rpmbuild: "rpm",
	npm: "npm",
	git: "git",
	gzip: "gzip",
};

// The builder's locale, time zone and shell are not to show in the package (yargs writes its completion
// script for the shell that it sees).
const plain = {
	...{ PATH: process.env.PATH, HOME: process.env.HOME },
	...{ LC_ALL: "C", TZ: "UTC", SHELL: "/bin/sh" },
};

try {
	const { out, release, wanted } = readArguments();
	process.umask(0o022);
	requirePrograms();
	const epoch = sourceDateEpoch();
	mkdirSync(out, { recursive: true });
	mkdirSync(work, { recursive: true });
	// rpm's scripts take no path with a space in it.
	const isPlain = /^[\w./+-]+$/.test(work);
	const scratch = mkdtempSync(
		path.join(isPlain ? work : tmpdir(), "eni-configure-package-"),
	);
	try {
		const bundle = buildBundle(scratch);
		for (const target of wanted) {
			const node = fetchNode(root, target);
			const staged = path.join(scratch, `${target}-files`);
			const licence = stage(staged, bundle, node);
			settleTimes(staged, epoch);
			const file = buildRpm({
				...{ scratch, staged, target, release, licence, epoch },
			});
			const place = path.join(out, path.basename(file));
			// Another disk, perhaps; and half a package is none.
			copyFileSync(file, `${place}.part`);
			renameSync(`${place}.part`, place);
			console.log(place);
		}
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
} catch (error) {
	console.error(`package: ${error.message}`);
	process.exitCode = 1;
}

function readArguments() {
	const { values } = parseArgs({
		options: {
			target: { type: "string" },
			release: { type: "string", default: "1" },
			out: { type: "string", default: path.join(work, "packages") },
		},
	});
	const { target, release, out } = values;
	if (target !== undefined && !targets.includes(target))
		throw new Error(`--target: ${target} is not one of ${targets.join(", ")}`);
	if (!/^[1-9]\d{0,5}$/.test(release))
		throw new Error(`--release: ${release} is no number from 1 on`);
	return {
		out: path.resolve(out),
		release,
		wanted: target === undefined ? targets : [target],
	};
}

function requirePrograms() {
	const folders = (process.env.PATH ?? "").split(path.delimiter);
	const missing = Object.keys(programs).filter(
		(name) => !folders.some((folder) => isExecutable(path.join(folder, name))),
	);
	if (missing.length > 0)
		throw new Error(
			`${missing.join(", ")} not found. On Debian: apt-get install ${missing.map((name) => programs[name]).join(" ")}`,
		);
}

function isExecutable(file) {
	try {
		accessSync(file, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}

// Every time stamp in the package: the commit's, so that a build tomorrow gives the same bytes.
function sourceDateEpoch() {
	const given = process.env.SOURCE_DATE_EPOCH;
	if (given !== undefined) {
		if (/^\d{1,10}$/.test(given)) return Number(given);
		throw new Error(
			`SOURCE_DATE_EPOCH: ${given} is no number of seconds since 1970`,
		);
	}
	let text = "";
	try {
		text = run("git", ["-C", root, "log", "-1", "--format=%ct"]).trim();
	} catch (error) {
		throw new Error(
			`git does not say when the commit was made (${String(error.stderr ?? error.message).trim()}): outside of git set SOURCE_DATE_EPOCH to the seconds since 1970 that the package is to be dated`,
		);
	}
	return Number(text);
}

// A place of its own: dist/ may be in use.
function buildBundle(scratch) {
	const files = path.join(scratch, "dist");
	const inputs = path.join(scratch, "inputs.json");
	run(process.execPath, [
		path.join(root, "build.mjs"),
		...["--out", files, "--inputs", inputs],
	]);
	return { files, inputs: JSON.parse(readFileSync(inputs, "utf8")) };
}

// Puts every file where the machine will have it, and returns the licences for the package's header.
function stage(staged, bundle, node) {
	const put = (from, to, mode = 0o644) => {
		const place = path.join(staged, to);
		mkdirSync(path.dirname(place), { recursive: true });
		copyFileSync(from, place);
		chmodSync(place, mode);
	};
	const write = (to, content) => {
		const place = path.join(staged, to);
		mkdirSync(path.dirname(place), { recursive: true });
		writeFileSync(place, content, { mode: 0o644 });
	};
	const own = (file) => path.join(root, file);

	const library = "/usr/lib/eni-configure";
	put(own("packaging/eni-configure.sh"), "/usr/bin/eni-configure", 0o755);
	put(path.join(node, "bin/node"), `${library}/node`, 0o755);
	for (const name of readdirSync(bundle.files).filter((one) =>
		/\.(cjs|txt)$/.test(one),
	))
		put(path.join(bundle.files, name), `${library}/${name}`);
	// A name for rpm to know, and to take away again; what is in it is made by %post.
	const [main] = readdirSync(bundle.files).filter((one) =>
		/^main-\w+\.cjs$/.test(one),
	);
	write(`${library}/${main}.code`, "");
	cpSync(
		path.join(bundle.files, "templates"),
		path.join(staged, library, "templates"),
		{ recursive: true },
	);
	for (const name of ["eni-configure.service", "eni-configure-boot.service"])
		put(own(`systemd/${name}`), `/usr/lib/systemd/system/${name}`);
	put(own("packaging/tmpfiles.conf"), "/usr/lib/tmpfiles.d/eni-configure.conf");
	put(own("packaging/config.yaml"), "/etc/eni-configure/config.yaml");
	for (const folder of [
		"/etc/eni-configure/templates",
		"/var/lib/eni-configure",
		"/run/eni-configure",
	])
		mkdirSync(path.join(staged, folder), { recursive: true });

	// The hook is the package's; cloud-init finds it by a link.
	const hook = `${library}/cloud-init-per-boot`;
	const link = path.join(
		staged,
		"/var/lib/cloud/scripts/per-boot/eni-configure",
	);
	put(own("systemd/cloud-init-per-boot"), hook, 0o755);
	mkdirSync(path.dirname(link), { recursive: true });
	symlinkSync(hook, link);

	write(
		"/usr/share/man/man8/eni-configure.8.gz",
		run("gzip", ["-n", "-9", "-c", own("packaging/eni-configure.8")], {
			encoding: null,
		}),
	);
	write(
		"/usr/share/bash-completion/completions/eni-configure",
		run(process.execPath, [
			path.join(bundle.files, "eni-configure.cjs"),
			"completion",
		]),
	);
	const docs = "/usr/share/doc/eni-configure";
	for (const name of ["README.md", "CHANGELOG.md"])
		put(own(name), `${docs}/${name}`);
	// Where README's links point.
	for (const name of [
		...["cloud-init/user-data.yaml", "release-checklist.md"],
		...["benchmark.md", "benchmark.svg", "fleet.svg"],
	])
		put(own(`docs/${name}`), `${docs}/docs/${name}`);

	const licences = "/usr/share/licenses/eni-configure";
	put(own("LICENSE"), `${licences}/LICENSE`);
	put(path.join(node, "LICENSE"), `${licences}/node/LICENSE`);
	const bundled = licencesOf(bundle.inputs);
	for (const one of bundled)
		for (const text of one.texts)
			put(text, `${licences}/npm/${label(one)}/${path.basename(text)}`);
	// Node's own is MIT, with those of its parts in its text.
	const names = ["Apache-2.0", "MIT", ...bundled.map(({ licence }) => licence)];
	return [...new Set(names)].sort().join(" AND ");
}

// rpm records a file's time as it finds it.
function settleTimes(folder, epoch) {
	for (const entry of readdirSync(folder, { withFileTypes: true })) {
		const file = path.join(folder, entry.name);
		if (entry.isDirectory()) settleTimes(file, epoch);
		lutimesSync(file, epoch, epoch);
	}
	lutimesSync(folder, epoch, epoch);
}

function buildRpm({ scratch, staged, target, release, licence, epoch }) {
	const { version } = JSON.parse(
		readFileSync(path.join(root, "package.json"), "utf8"),
	);
	if (!/^[0-9.]+$/.test(version))
		throw new Error(
			`package.json: version ${version}: a package of it would sort wrongly, expected numbers and dots`,
		);
	const top = path.join(scratch, `${target}-rpm`);
	mkdirSync(top);
	const macros = {
		...{ _topdir: top, _tmppath: top, _rpmdir: top },
		_rpmfilename: "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
		...{ staged, agent_version: version, agent_release: release },
		...{ agent_target: target, agent_license: licence },
	};
	run(
		"rpmbuild",
		[
			...["-bb", "--quiet", "--target", "x86_64-linux"],
			...Object.entries(macros).flatMap(([name, value]) => [
				"--define",
				`${name} ${value}`,
			]),
			path.join(root, "packaging/eni-configure.spec"),
		],
		// Nor is somebody's ~/.rpmmacros to show in the package.
		{ env: { ...plain, HOME: top, SOURCE_DATE_EPOCH: String(epoch) } },
	);
	const [name, ...more] = readdirSync(top).filter((one) =>
		one.endsWith(".rpm"),
	);
	if (name === undefined || more.length > 0)
		throw new Error(`rpmbuild made ${more.length + 1} packages: expected one`);
	return path.join(top, name);
}

function run(program, argv, options = {}) {
	try {
		return execFileSync(program, argv, {
			encoding: "utf8",
			env: plain,
			maxBuffer: 64 * 1024 * 1024,
			stdio: ["ignore", "pipe", "pipe"],
			...options,
		});
	} catch (error) {
		if (error.status === null || error.stderr === undefined) throw error;
		const said = `${error.stdout ?? ""}${error.stderr}`.trim();
		throw Object.assign(
			new Error(`${program} ended with ${error.status}:\n${said}`),
			{ stderr: error.stderr },
		);
	}
}
