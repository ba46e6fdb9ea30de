import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { runCommandLine } from "../../src/command-line.js";
import { readOptions } from "../../src/commands/options.js";
import { messageOf } from "../../src/errors.js";
import { parsePlainWords } from "../../src/plain-words.js";
import type { FileSystem } from "../../src/system.js";

const fs = new Volume() as unknown as FileSystem;

/** What yargs makes of a command line: the commands that it would run, with what they go by. */
async function byYargs(words: string[]): Promise<unknown[]> {
	const runs: unknown[] = [];
	await runCommandLine(words, async (command, values) => {
		runs.push([command, await optionsOf(command, values)]);
		return 0;
	});
	return runs;
}

// `boot` goes by no option; what is refused is refused in the same words.
async function optionsOf(command: string, values: Record<string, unknown>) {
	if (command === "boot") return undefined;
	return readOptions(fs, command, values, {}).catch(messageOf);
}

describe("a plain command line", () => {
	test.each(
		[
			"--all",
			"--all --wait",
			"eth1",
			"eth1 eth2 --force",
			"configure eth1 --quiet",
			"--all --prune --json",
			"plan eth1",
			"plan --all --json",
			"remove eth1",
			"rollback",
			"daemon",
			"daemon --verbose",
			"boot",
		].map((line) => [line]),
	)("%s is understood without yargs, and as yargs would", async (line) => {
		const words = line.split(" ");
		const plain = parsePlainWords(words);
		expect(plain).toBeDefined();
		const { command = "", values = {} } = plain ?? {};
		expect(await byYargs(words)).toEqual([
			[command, await optionsOf(command, values)],
		]);
	});

	test.each(
		[
			"",
			"status",
			"--al",
			"--all=true",
			"--all true",
			"--all --all",
			"--no-all",
			"--address 10.0.0.1/24 eth1",
			"eth1 --",
			"-h",
			"eth1 -h",
			"statsu",
			"completion",
			"remove",
			"remove --all",
			"daemon eth1",
			"plan",
			"plan --wait eth1",
			"configure",
			"--quiet",
			"toString",
			"eth1.5",
			"-1",
		].map((line) => [line]),
	)("`%s` is left to yargs", (line) => {
		expect(parsePlainWords(line === "" ? [] : line.split(" "))).toBeUndefined();
	});

	test("whatever it is made of, it means what yargs takes it for", async () => {
		const word = fc.constantFrom(
			...["configure", "plan", "remove", "rollback", "daemon", "boot"],
			...["eth1", "eth2", "eth10", "ens5", "lo", "status"],
			...["--all", "--wait", "--json", "--quiet", "--verbose", "--force"],
			...["--prune", "--dry-run", "--from-metadata", "--help", "--", "-v"],
		);
		let plainOnes = 0;
		await fc.assert(
			fc.asyncProperty(fc.array(word, { maxLength: 4 }), async (words) => {
				const plain = parsePlainWords(words);
				if (plain === undefined) return;
				plainOnes += 1;
				const { command, values } = plain;
				expect(await byYargs(words)).toEqual([
					[command, await optionsOf(command, values)],
				]);
			}),
			{ numRuns: 1500 },
		);
		expect(plainOnes).toBeGreaterThan(20);
	});
});
