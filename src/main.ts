import { readFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json";
import { parsePlainWords } from "./plain-words.js";

// The entry loads the rest on demand: what most people type, and every boot and daemon, is understood without yargs,
// and its help has been written down when the agent was built.

// A question to the metadata service that is still open is nothing to wait for, nor what Node would tidy up.
let isAtOnce = false;

async function main(words: string[]): Promise<number> {
	const [word] = words;
	if (words.length === 1 && word === "--version") return print(`${version}\n`);
	const help = words.length === 1 && (word === "--help" || word === "-h");
	const text = help ? readHelp() : undefined;
	if (text !== undefined) return print(text);

	const plain = parsePlainWords(words);
	isAtOnce = plain?.command === "daemon";
	if (plain?.command === "configure") {
		const { configureAgain } = await import("./commands/again.js");
		isAtOnce = true;
		return configureAgain(words, plain.values, async (begun) => {
			isAtOnce = false;
			guardOutput();
			const { runCommand } = await import("./commands/run.js");
			return runCommand("configure", plain.values, begun);
		});
	}
	guardOutput();
	const { runCommand } = await import("./commands/run.js");
	if (plain) return runCommand(plain.command, plain.values);
	const { runCommandLine } = await import("./command-line.js");
	return runCommandLine(words, (command, values) => {
		isAtOnce = command === "daemon";
		return runCommand(command, values);
	});
}

// Where the build has not written it (a first build of itself), yargs knows it.
function readHelp(): string | undefined {
	try {
		return readFileSync(join(__dirname, "help.txt"), "utf8");
	} catch {
		return undefined;
	}
}

// Nobody may be left to read it (`| head`, a terminal that is gone): no reason to end a run half-way.
function guardOutput(): void {
	for (const stream of [process.stdout, process.stderr])
		stream.on("error", () => {});
}

function print(text: string): number {
	guardOutput();
	process.stdout.write(text);
	return 0;
}

main(process.argv.slice(2)).then(
	(exitCode) => {
		process.exitCode = exitCode;
		if (isAtOnce) process.exit();
	},
	(error) => {
		process.stderr.write(
			`eni-configure: internal error: ${error instanceof Error ? error.stack : String(error)}\n`,
		);
		process.exitCode = 1;
	},
);
