// Counts what a process of the agent costs beside time: `node -r bench/count.cjs dist/eni-configure.cjs ...` with
// BENCH_COUNTS=FILE in the environment. The counts since the start are in that file at the exit, and whenever
// SIGUSR2 comes: it appears at once and whole, so who wants a new one removes the old one first. Runs on Node 16.
//
// The bundle sees all of this because esbuild's namespaces of `node:fs` and the like read each property of the
// CommonJS module when it is used. Synchronous calls are counted, the agent has no others (src/system.ts); of children only
// that they were started, not what they do.
"use strict";

const childProcess = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const original = { ...fs };
/** Programs with their arguments, in order. */
const spawns = [];
/** Bytes and how often, by the path that the content ended up under. */
const files = {};
/** The same of files below /proc and /sys: values that the kernel takes, nothing that a disk sees. */
const kernel = {};
let fsyncs = 0;
let renames = 0;
let removals = 0;
// Under a name that it is renamed from: whose content that is, the rename says.
const unnamed = new Map();
// Some functions of fs call others of them.
let depth = 0;

function count(target, name, note) {
	const call = target[name];
	target[name] = function counted(...words) {
		depth += 1;
		try {
			const result = Reflect.apply(call, this, words);
			if (depth === 1) note(words, result);
			return result;
		} finally {
			depth -= 1;
		}
	};
}

function placeOf(file) {
	if (typeof file !== "number") return path.resolve(String(file));
	return original.readlinkSync(`/proc/self/fd/${file}`);
}

function isRegular(file) {
	if (typeof file !== "number") return true;
	return original.fstatSync(file).isFile();
}

function add(table, place, bytes, times) {
	table[place] = table[place] || { bytes: 0, times: 0 };
	table[place].bytes += bytes;
	table[place].times += times;
}

// Output to pipes, terminals and sockets is no writing of files, a redirection of stdout into a file neither.
function noteWrite(file, bytes) {
	if (file === 1 || file === 2 || !isRegular(file)) return;
	const place = placeOf(file);
	if (/^\/(proc|sys)\//.test(place)) add(kernel, place, bytes, 1);
	else unnamed.set(place, (unnamed.get(place) || 0) + bytes);
}

// What has kept the name that it was written under.
function settle() {
	for (const [place, bytes] of unnamed) add(files, place, bytes, 1);
	unnamed.clear();
}

count(fs, "writeSync", ([fd], written) => noteWrite(fd, written));
count(fs, "writevSync", ([fd], written) => noteWrite(fd, written));
for (const name of ["writeFileSync", "appendFileSync"])
	count(fs, name, ([file, data, options]) => {
		const encoding = typeof options === "string" ? options : options?.encoding;
		const bytes =
			typeof data === "string"
				? Buffer.byteLength(data, encoding || "utf8")
				: data.byteLength;
		noteWrite(file, bytes);
	});
for (const name of ["fsyncSync", "fdatasyncSync"])
	count(fs, name, () => {
		fsyncs += 1;
	});
count(fs, "renameSync", ([from, to]) => {
	renames += 1;
	const bytes = unnamed.get(placeOf(from));
	if (bytes === undefined) return;
	unnamed.delete(placeOf(from));
	add(files, placeOf(to), bytes, 1);
});
for (const name of ["unlinkSync", "rmSync"])
	count(fs, name, () => {
		removals += 1;
	});

// spawn, exec and execFile, and with them execa, come through here.
count(childProcess.ChildProcess.prototype, "spawn", ([{ file, args }]) => {
	spawns.push([file, ...(args || []).slice(1)]);
});
for (const name of ["spawnSync", "execFileSync"])
	count(childProcess, name, ([file, args]) => {
		spawns.push([file, ...(Array.isArray(args) ? args : [])]);
	});
count(childProcess, "execSync", ([command]) => {
	spawns.push(["sh", "-c", command]);
});

// The entry reads what it starts by itself.
const sources = new Set();
count(fs, "readFileSync", ([file]) => {
	if (typeof file === "string" && file.endsWith(".cjs"))
		sources.add(path.resolve(file));
});

// The agent's own chunks that were loaded so far, with their sizes in bytes.
function loaded() {
	if (!process.argv[1]) return {};
	const dist = path.dirname(original.realpathSync(process.argv[1]));
	const all = new Set([...Object.keys(require.cache), ...sources]);
	const own = [...all].filter((file) => file.startsWith(dist + path.sep));
	return Object.fromEntries(
		own.map((file) => [path.basename(file), original.statSync(file).size]),
	);
}

function report() {
	const target = process.env.BENCH_COUNTS;
	if (!target) return;
	settle();
	const sum = Object.values(files).reduce((all, { bytes }) => all + bytes, 0);
	const counts = {
		...{ spawns, fsyncs, renames, removals, bytes: sum },
		...{ files, kernel, loaded: loaded() },
	};
	depth += 1;
	try {
		original.writeFileSync(`${target}.new`, JSON.stringify(counts));
		original.renameSync(`${target}.new`, target);
	} finally {
		depth -= 1;
	}
}

process.on("SIGUSR2", report);
process.on("exit", report);
