import { readConfig } from "../config.js";
import { AgentError } from "../errors.js";
import type { Request, Settings } from "../model.js";
import { paths } from "../paths.js";
import { quote } from "../quote.js";
import { mergeSettings, type PartialSettings } from "../settings.js";
import { parseStaticSource } from "../static-source.js";
import type { FileSystem } from "../system.js";

/** Command-line values as yargs gives them: strings are still unchecked. */
export type Values = Record<string, unknown>;

/** Everything a command goes by, checked. */
export interface Options {
	request: Request;
	settings: Settings;
	wait: boolean;
	waitTimeoutMs: number;
	lockTimeoutMs: number;
	json: boolean;
	verbose: boolean;
}

const environment = {
	metadataUrl: "ENI_CONFIGURE_METADATA_URL",
	backend: "ENI_CONFIGURE_BACKEND",
	restart: "ENI_CONFIGURE_RESTART",
} as const;

/** Checks flags, environment and config file together; rejects with an AgentError of kind `usage` that names the place. */
export async function readOptions(
	fs: FileSystem,
	command: string,
	values: Values,
	env: NodeJS.ProcessEnv,
): Promise<Options> {
	const scalar = (name: string): string | undefined => {
		const value = values[name];
		if (Array.isArray(value))
			throw new AgentError(
				"usage",
				`--${name} is given ${value.length} times: expected once`,
			);
		if (value === "") throw new AgentError("usage", `--${name} needs a value`);
		return value === undefined ? undefined : String(value);
	};
	const flag = (name: string): boolean => {
		if (Array.isArray(values[name]))
			throw new AgentError("usage", `--${name} is given more than once`);
		return values[name] === true;
	};
	const configPath = scalar("config") ?? env.ENI_CONFIGURE_CONFIG;
	const config = await readConfig(
		fs,
		configPath ?? paths.config,
		configPath !== undefined,
	);
	const flags: PartialSettings = {
		metadataUrl: scalar("metadata-url"),
		backend: scalar("backend"),
		restart: scalar("restart"),
		routing: scalar("routing"),
		rpFilter: scalar("rp-filter"),
	};
	const fromEnvironment = Object.fromEntries(
		Object.entries(environment).flatMap(([key, name]) =>
			env[name] ? [[key, env[name]]] : [],
		),
	) as PartialSettings;
	const settings = mergeSettings([
		{
			values: flags,
			nameOf: (key) =>
				`--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
		},
		{
			values: fromEnvironment,
			nameOf: (key) => environment[key as keyof typeof environment],
		},
		{
			values: config,
			nameOf: (key) => `${configPath ?? paths.config}: ${key}`,
		},
	]);
	return {
		request: readRequest(command, values, scalar, flag),
		settings,
		wait: flag("wait"),
		waitTimeoutMs: seconds("wait-timeout", scalar("wait-timeout"), 60),
		lockTimeoutMs: seconds("lock-timeout", scalar("lock-timeout"), 60),
		json: flag("json"),
		verbose: flag("verbose"),
	};
}

function readRequest(
	command: string,
	values: Values,
	scalar: (name: string) => string | undefined,
	flag: (name: string) => boolean,
): Request {
	const nics = [...new Set((values.nics as string[] | undefined) ?? [])];
	const isAll =
		flag("all") || ["status", "rollback", "daemon"].includes(command);
	if (isAll && nics.length > 0)
		throw new AgentError(
			"usage",
			`--all and ${nics.join(", ")}: name NICs, or say --all`,
		);
	if (!isAll && nics.length === 0)
		throw new AgentError(
			"usage",
			"no NIC is named: name one, such as eth1, or say --all",
		);
	for (const name of nics) {
		if (!/^[A-Za-z0-9_.:@-]{1,15}$/.test(name))
			throw new AgentError("usage", `${quote(name)} is not a NIC name`);
	}
	return {
		verb: command === "remove" ? "remove" : "configure",
		targets: isAll ? "all" : nics,
		flags: readAddresses(values, scalar, isAll ? undefined : nics),
		fromMetadata: flag("from-metadata"),
		force: flag("force"),
		prune: flag("prune"),
		skip: [],
		dryRun: command === "plan" || command === "status" || flag("dry-run"),
	};
}

function readAddresses(
	values: Values,
	scalar: (name: string) => string | undefined,
	nics: string[] | undefined,
): Request["flags"] {
	const given =
		values.address === undefined ? [] : ([values.address].flat() as string[]);
	const gateway = scalar("gateway");
	const netmask = scalar("netmask");
	if (given.length === 0) {
		if (gateway !== undefined || netmask !== undefined) {
			throw new AgentError(
				"usage",
				`--${gateway === undefined ? "netmask" : "gateway"} goes with --address`,
			);
		}
		return undefined;
	}
	if (nics?.length !== 1)
		throw new AgentError("usage", "--address goes with exactly one NIC");
	if (values["from-metadata"] === true)
		throw new AgentError(
			"usage",
			"--address and --from-metadata exclude each other",
		);
	const source = parseStaticSource({
		addresses: given.flatMap((text) => text.split(",")),
		gateway,
		netmask,
	});
	if (typeof source === "string") throw new AgentError("usage", `--${source}`);
	return source;
}

function seconds(
	name: string,
	text: string | undefined,
	fallback: number,
): number {
	if (text === undefined) return fallback * 1000;
	if (!/^\d{1,5}(\.\d{1,3})?$/.test(text))
		throw new AgentError(
			"usage",
			`--${name}: ${quote(text)} is not a number of seconds`,
		);
	return Number(text) * 1000;
}
