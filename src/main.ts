import { readFileSync } from "node:fs";
import path from "node:path";
import { version } from "../package.json";
import { parsePlainWords } from "./plain-words.js";

// The entry loads the rest on demand: what most people type, and every boot and daemon, is understood without yargs,
// and its help has been written down when the agent was built.

let isDaemon = false;

async function main(words: string[]): Promise<number> {
	const [word] = words;
	if (words.length === 1 && word === "--version") return print(`${version}\n`);
	const help = words.length === 1 && (word === "--help" || word === "-h");
	const text = help ? readHelp() : undefined;
	if (text !== undefined) return print(text);

	const plain = parsePlainWords(words);
	isDaemon = plain?.command === "daemon";
	if (plain?.command === "configure") {
		const { configureAgain } = await import("./commands/again.js");
		return configureAgain(words, plain.values);
	}
	const { runCommand } = await import("./commands/run.js");
	if (plain) return runCommand(plain.command, plain.values);
	const { runCommandLine } = await import("./command-line.js");
	return runCommandLine(words, (command, values) => {
		isDaemon = command === "daemon";
		return runCommand(command, values);
	});
}

// Where the build has not written it (a first build of itself), yargs knows it.
function readHelp(): string | undefined {
	try {
		return readFileSync(path.join(__dirname, "help.txt"), "utf8");
	} catch {
		return undefined;
	}
}

function print(text: string): number {
	process.stdout.write(text);
	return 0;
}

// Nobody may be left to read it (`| head`, a terminal that is gone): no reason to end a run half-way.
for (const stream of [process.stdout, process.stderr])
	stream.on("error", () => {});

main(process.argv.slice(2)).then(
	(exitCode) => {
		process.exitCode = exitCode;
		// A question to the metadata service that is still open is nothing to wait for.
		if (isDaemon) process.exit();
	},
	(error) => {
		process.stderr.write(
			`eni-configure: internal error: ${error instanceof Error ? error.stack : String(error)}\n`,
		);
		process.exitCode = 1;
	},
);
