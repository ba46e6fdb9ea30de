import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { realSystem } from "../../src/real-system";

const system = realSystem(() => {}, false);

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
