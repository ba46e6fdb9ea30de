import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { execa } from "execa";
import { describe, expect, test, vi } from "vitest";
import { realSystem } from "../../src/real-system";

const system = realSystem(() => {}, false, execa);

function isRunning(command: string): boolean {
	return readdirSync("/proc").some((pid) => {
		try {
			const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
			return words.join(" ").trim() === command;
		} catch {
			return false;
		}
	});
}

test("a changing child whose time is up is ended with all that it has started", async () => {
	const fd = openSync("/dev/null", "r");
	const seconds = `1234.${process.pid}`;
	try {
		const result = await system.run(
			["bash", "-c", `sleep ${seconds} & sleep ${seconds}`],
			{ timeoutMs: 500, inherit: [fd] },
		);
		expect(result.exitCode).toBe(124);
		expect(isRunning(`sleep ${seconds}`)).toBe(false);
	} finally {
		closeSync(fd);
	}
});

test("a child that leaves another behind is over when it ends itself", async () => {
	const result = await system.run(["bash", "-c", "sleep 3 & echo done"]);
	expect(result).toEqual({ exitCode: 0, stdout: "done\n", stderr: "" });
});

test("output beyond any measure is a failure, not half an answer", async () => {
	const result = await system.run(["head", "-c", "40000000", "/dev/zero"]);
	expect({ exitCode: result.exitCode, stdout: result.stdout }).toEqual({
		exitCode: 125,
		stdout: "",
	});
});

test("a program that is not there has exit code 127", async () => {
	expect((await system.run(["no-such-program"])).exitCode).toBe(127);
});

describe("a program that is watched", () => {
	function watched(argv: string[]) {
		const lines: string[] = [];
		const ends: string[] = [];
		const watcher = system.watch(
			argv,
			{ WORD: "from the daemon" },
			{
				line: (line) => lines.push(line),
				end: (reason) => ends.push(reason),
			},
		);
		return { lines, ends, watcher };
	}
	const pause = (ms: number) => system.clock.sleep(ms);

	test("and does not exist ends once, and costs the process nothing", async () => {
		const { lines, ends } = watched(["no-such-program"]);
		await vi.waitFor(() => expect(ends).toHaveLength(1), 5000);
		await pause(100);
		expect(ends).toEqual([expect.stringMatching(/ENOENT.*no-such-program/)]);
		expect(lines).toEqual([]);
		expect((await system.run(["true"])).exitCode).toBe(0);
	});

	test("says its lines whole, of both streams, and ends once", async () => {
		const { lines, ends } = watched([
			"bash",
			"-c",
			'printf "one\\nt"; printf "thr" >&2; sleep 0.2; echo wo; echo ee >&2; echo "$WORD"; exit 3',
		]);
		await vi.waitFor(() => expect(ends).toHaveLength(1), 5000);
		expect([...lines].sort()).toEqual([
			"from the daemon",
			"one",
			"three",
			"two",
		]);
		expect(ends).toEqual(["ended with 3"]);
	});

	test("and is stopped is gone, and that is no end", async () => {
		const seconds = `1235.${process.pid}`;
		const { ends, watcher } = watched(["sleep", seconds]);
		await vi.waitFor(
			() => expect(isRunning(`sleep ${seconds}`)).toBe(true),
			5000,
		);
		watcher.stop();
		await vi.waitFor(
			() => expect(isRunning(`sleep ${seconds}`)).toBe(false),
			5000,
		);
		await pause(100);
		expect(ends).toEqual([]);
	});
});
