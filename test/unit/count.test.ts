import { execFileSync, spawn } from "node:child_process";
import {
	existsSync,
	mkdtempSync,
	readFileSync,
	realpathSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { expect, onTestFinished, test } from "vitest";

const counter = join(__dirname, "../../bench/count.cjs");

/** A program, bundled as the agent is, and what it takes to run it counted. */
function program(source: string) {
	const folder = realpathSync(mkdtempSync(join(tmpdir(), "count-")));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	const counts = join(folder, "counts.json");
	writeFileSync(join(folder, "program.ts"), source);
	buildSync({
		entryPoints: [join(folder, "program.ts")],
		outfile: join(folder, "program.cjs"),
		// Where execa is.
		nodePaths: [join(__dirname, "../../node_modules")],
		bundle: true,
		platform: "node",
		format: "cjs",
		target: "node16",
	});
	const words = ["-r", counter, join(folder, "program.cjs"), folder];
	const env = { ...process.env, BENCH_COUNTS: counts };
	const read = () => JSON.parse(readFileSync(counts, "utf8"));
	return { folder, counts, words, env, read };
}

test("files written in place or by a rename, fsyncs, and every way to start a program are counted", () => {
	const { folder, words, env, read } = program(`
		import * as fs from "node:fs";
		import { execSync, execFileSync, exec, spawn } from "node:child_process";
		import { execa } from "execa";
		const folder = process.argv[2];
		function write(name: string, text: string, to?: string) {
			const fd = fs.openSync(folder + "/" + name, "w");
			fs.writeSync(fd, Buffer.from(text));
			fs.fsyncSync(fd);
			fs.closeSync(fd);
			if (to) fs.renameSync(folder + "/" + name, folder + "/" + to);
		}
		write("plain", "12345");
		write(".new", "123", "kept");
		write(".new", "1234", "kept");
		fs.renameSync(folder + "/kept", folder + "/moved");
		fs.writeFileSync(folder + "/text", "ä");
		fs.unlinkSync(folder + "/text");
		console.log("no file");
		fs.writeSync(2, "no file either");
		execSync("true");
		execFileSync("true", ["a"]);
		exec("true b");
		spawn("true", ["c"]);
		void execa("true", ["d"]);
	`);
	execFileSync(process.execPath, words, { env, stdio: "pipe" });
	const { spawns, loaded, ...counts } = read();
	expect(counts).toEqual({
		fsyncs: 3,
		renames: 3,
		removals: 1,
		bytes: 14,
		files: {
			[`${folder}/plain`]: { bytes: 5, times: 1 },
			[`${folder}/kept`]: { bytes: 7, times: 2 },
			[`${folder}/text`]: { bytes: 2, times: 1 },
		},
		kernel: {},
	});
	expect(spawns).toEqual([
		["sh", "-c", "true"],
		["true", "a"],
		["/bin/sh", "-c", "true b"],
		["true", "c"],
		["true", "d"],
	]);
	expect(Object.keys(loaded)).toEqual(["program.cjs"]);
});

test("a signal asks for the counts of a process that runs on", async () => {
	const { counts, words, env, read } = program(`
		import { spawn } from "node:child_process";
		spawn("true");
		setInterval(() => spawn("true"), 100000);
		console.log("ready");
	`);
	const child = spawn(process.execPath, words, { env });
	onTestFinished(() => void child.kill("SIGKILL"));
	await new Promise((resolve) => child.stdout.once("data", resolve));
	expect(existsSync(counts)).toBe(false);
	child.kill("SIGUSR2");
	while (!existsSync(counts))
		await new Promise((resolve) => setTimeout(resolve, 5));
	expect(read().spawns).toEqual([["true"]]);
	expect(child.exitCode).toBe(null);
});
