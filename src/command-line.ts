import yargs from "yargs";
import { version } from "../package.json";
import type { Command } from "./plain-words.js";
import { escapeSteering, printable } from "./quote.js";

const targetOptions = {
	all: {
		type: "boolean",
		describe: "All secondary ENIs of this machine",
		group: "Which NICs:",
	},
	address: {
		type: "string",
		describe:
			"Address with prefix, instead of the metadata service's; may be repeated. Needs --gateway and exactly one NIC",
		group: "Addresses without metadata:",
	},
	netmask: {
		type: "string",
		describe: "Mask for an --address without a prefix",
		group: "Addresses without metadata:",
	},
	gateway: {
		type: "string",
		describe: "Gateway of the ENI's subnet",
		group: "Addresses without metadata:",
	},
	"from-metadata": {
		type: "boolean",
		describe:
			"Forget addresses given by flags, go by the metadata service again",
		group: "Addresses without metadata:",
	},
	restart: {
		type: "string",
		describe: "auto | interface | service | none: what Step 7 restarts [auto]",
		group: "How:",
	},
	routing: {
		type: "string",
		describe:
			"policy | none: replies leave by their own NIC, or not our business [policy]",
		group: "How:",
	},
	"rp-filter": {
		type: "string",
		describe: "0 | 1 | 2: reverse path filter to set [0]",
		group: "How:",
	},
	backend: {
		type: "string",
		describe: "auto | initscripts [auto]",
		group: "How:",
	},
	force: {
		type: "boolean",
		describe:
			"Replace files made by hand; copies are kept and `remove` gives them back",
		group: "How:",
	},
	prune: {
		type: "boolean",
		describe: "Remove addresses that the metadata service no longer lists",
		group: "How:",
	},
	"metadata-url": {
		type: "string",
		describe: "Base address of the metadata service",
		group: "How:",
	},
} as const;

const waitOptions = {
	wait: {
		type: "boolean",
		describe: "Wait for NICs and metadata that are not ready yet",
		group: "Waiting:",
	},
	"wait-timeout": {
		type: "string",
		describe: "Seconds that --wait waits at most [60]",
		group: "Waiting:",
	},
	"lock-timeout": {
		type: "string",
		describe: "Seconds to wait for another run to end [60]",
		group: "Waiting:",
	},
} as const;

const outputOptions = {
	config: {
		type: "string",
		describe: "Config file [/etc/eni-configure/config.yaml]",
		group: "Output and config:",
	},
	json: {
		type: "boolean",
		describe: "Print the result as JSON",
		group: "Output and config:",
	},
	verbose: {
		type: "boolean",
		describe: "Say more",
		group: "Output and config:",
	},
	quiet: {
		type: "boolean",
		describe: "Say only what went wrong",
		group: "Output and config:",
	},
} as const;

const exitCodes = `Exit codes: 0 converged, 1 internal error, 2 usage, config or unknown NIC, 3 rolled back,
4 metadata not ready or invalid, 5 refused, 6 rollback failed, 7 another run holds the lock.

The default route and the primary NIC are never touched. What does not verify is rolled back.`;

const switches = [
	...["all", "from-metadata", "force", "prune", "dry-run"],
	...["wait", "json", "verbose", "quiet"],
];

// yargs takes `--dry-run=1` for false and `--force false` for a value: neither is what was meant.
function switchProblem(words: string[]): string | undefined {
	for (const [at, word] of words.entries()) {
		const [flag = "", value] = word.split("=", 2);
		if (!switches.some((name) => flag === `--${name}`)) continue;
		const next = words[at + 1];
		if (value !== undefined || next === "true" || next === "false") {
			return `${flag} takes no value`;
		}
	}
	return undefined;
}

/**
 * Takes a command line apart and runs its command; returns the exit code. Prints help and what is wrong with it.
 * `run` gets a command with its values as yargs has them.
 */
export async function runCommandLine(
	words: string[],
	run: (command: Command, values: Record<string, unknown>) => Promise<number>,
): Promise<number> {
	// What follows `--` are NICs as well; yargs would drop them.
	// Where bash asks what may follow, `--` is the word under the cursor.
	const isAsked = words[0] === "--get-yargs-completions";
	const end = isAsked ? -1 : words.indexOf("--");
	const argv = end < 0 ? words : words.filter((_, at) => at !== end);
	let exitCode = 0;
	const handle =
		(command: Command) => async (values: Record<string, unknown>) => {
			exitCode = await run(command, values);
		};
	const nics = {
		type: "string",
		array: true,
		describe: "NIC names, such as eth1",
	} as const;
	const cli = yargs(argv)
		.scriptName("eni-configure")
		.locale("en")
		.parserConfiguration({
			"parse-numbers": false,
			"parse-positional-numbers": false,
			"boolean-negation": false,
			"dot-notation": false,
		})
		.usage(
			"$0 NIC...   configure newly bound ENIs: files, rp_filter, restart, verify\n$0 COMMAND",
		)
		.command(
			["configure [nics..]", "$0"],
			"Configure the named NICs, or --all: Steps 5 to 8 of the product guide",
			(y) =>
				y.positional("nics", nics).options({
					...targetOptions,
					"dry-run": {
						type: "boolean",
						describe: "The same as `plan`: change nothing",
						group: "How:",
					},
					...waitOptions,
					...outputOptions,
				}),
			(values) =>
				argv.length === 0 ? noArguments() : handle("configure")(values),
		)
		.command(
			"plan [nics..]",
			"Show what would be done: files as a diff, commands, what stays untouched",
			(y) =>
				y
					.positional("nics", nics)
					.options({ ...targetOptions, ...outputOptions }),
			handle("plan"),
		)
		.command(
			"remove <nics..>",
			"Take the agent's configuration away and give back what was there before",
			(y) =>
				y.positional("nics", nics).options({
					backend: targetOptions.backend,
					"lock-timeout": waitOptions["lock-timeout"],
					...outputOptions,
				}),
			handle("remove"),
		)
		.command(
			"rollback",
			"Undo the last change of the agent's: files and kernel as they were before it",
			(y) =>
				y.options({
					"lock-timeout": waitOptions["lock-timeout"],
					...outputOptions,
				}),
			handle("rollback"),
		)
		.command(
			"status",
			"Show NICs, ENIs and what is configured",
			(y) =>
				y.options({
					"metadata-url": targetOptions["metadata-url"],
					backend: targetOptions.backend,
					...outputOptions,
				}),
			handle("status"),
		)
		.command(
			"daemon",
			"Keep every secondary ENI as the cloud has it, until SIGTERM; SIGHUP looks at once",
			(y) => {
				const { restart, routing, backend } = targetOptions;
				return y.options({
					...{ restart, routing, backend },
					"rp-filter": targetOptions["rp-filter"],
					"metadata-url": targetOptions["metadata-url"],
					"lock-timeout": waitOptions["lock-timeout"],
					config: outputOptions.config,
					verbose: outputOptions.verbose,
					quiet: outputOptions.quiet,
				});
			},
			handle("daemon"),
		)
		// For eni-configure-boot.service alone, so it is in no help.
		.command("boot", false, {}, handle("boot"))
		// Not yargs' own: where it may not end the process, that one goes on to the default command.
		.command(
			"completion",
			"Print a completion script for bash",
			{},
			printCompletion,
		)
		.example("$0 eth1", "configure eth1 by what the metadata service says")
		.example("$0 plan eth1", "show that without doing it")
		.example(
			"$0 --all --wait",
			"every secondary ENI, waiting until each is ready",
		)
		.example(
			"$0 eth1 --address 192.168.1.62/26 --gateway 192.168.1.1",
			"without metadata",
		)
		.epilog(exitCodes)
		.version(version)
		.help()
		.alias("help", "h")
		.strict()
		.wrap(100)
		.exitProcess(false)
		.fail((message, error) => {
			throw error ?? new Error(message);
		});

	function printCompletion(): void {
		cli.showCompletionScript();
	}

	async function noArguments(): Promise<void> {
		process.stderr.write(`${await cli.getHelp()}\n`);
		exitCode = 2;
	}

	try {
		const problem = switchProblem(argv);
		if (problem) throw new Error(problem);
		await cli.parseAsync();
	} catch (error) {
		const message = error instanceof Error ? error.message : String(error);
		if (argv.includes("--json")) {
			const body = {
				version: 1,
				outcome: "refused",
				exitCode: 2,
				error: message,
			};
			process.stdout.write(
				`${escapeSteering(JSON.stringify(body, undefined, 2))}\n`,
			);
		}
		process.stderr.write(
			`eni-configure: ${printable(message.replace(/\n+/g, "; "))}. See eni-configure --help\n`,
		);
		return 2;
	}
	return exitCode;
}
