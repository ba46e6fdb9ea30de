/** The subcommands; `completion` is the command line's own. */
export type Command =
	| "boot"
	| "configure"
	| "plan"
	| "remove"
	| "rollback"
	| "status"
	| "daemon";

/** A command line as yargs would have taken it apart. */
export interface Plain {
	command: Exclude<Command, "status">;
	values: Record<string, unknown>;
}

const output = ["quiet", "verbose"];
const target = ["all", "from-metadata", "force", "prune"];
const switches: Record<Plain["command"], readonly string[]> = {
	boot: [],
	configure: [...target, "dry-run", "wait", "json", ...output],
	plan: [...target, "json", ...output],
	remove: ["json", ...output],
	rollback: ["json", ...output],
	daemon: output,
};
const withNics = ["configure", "plan", "remove"];
// The shortest names that are no command, nor could be one that is mistyped or to come.
const nic = /^(?:eth|ens|eno|enp)[0-9][0-9a-z]{0,9}$/;

/**
 * Takes a plain command line apart: a command or none, NICs with usual names, switches without a value. Undefined
 * for any other, which is yargs' to understand or to refuse: it takes longer to load than such a run needs.
 */
export function parsePlainWords(words: readonly string[]): Plain | undefined {
	const [first = ""] = words;
	const isNamed = Object.hasOwn(switches, first);
	const command = (isNamed ? first : "configure") as Plain["command"];
	const rest = isNamed ? words.slice(1) : words;
	const given = rest.filter((word) => word.startsWith("--"));
	const names = rest.filter((word) => !word.startsWith("--"));
	const isKnown = given.every((word) =>
		switches[command].includes(word.slice(2)),
	);
	const isOnce = new Set(given).size === given.length;
	const isNics = names.every((name) => nic.test(name));
	const isFit = names.length === 0 || withNics.includes(command);
	// Help for who names nothing, or what is missing.
	const isEmpty =
		withNics.includes(command) &&
		names.length === 0 &&
		!given.includes("--all");
	if (!isKnown || !isOnce || !isNics || !isFit || isEmpty) return undefined;
	return {
		command,
		values: {
			...(names.length > 0 ? { nics: names } : {}),
			...Object.fromEntries(given.map((word) => [word.slice(2), true])),
		},
	};
}
