import * as v from "valibot";
import { LineCounter, parseDocument } from "yaml";
import { AgentError } from "./errors.js";
import { readFile } from "./files.js";
import type { StaticSource } from "./model.js";
import { isMac } from "./observe/parse-metadata.js";
import type { PartialSettings } from "./settings.js";
import { parseStaticSource } from "./static-source.js";
import type { FileSystem } from "./system.js";

const limit = 64 * 1024;

const text = v.pipe(
	v.string("expected text"),
	v.maxLength(256, "expected at most 256 characters"),
);
const texts = v.pipe(
	v.array(text, "expected a list"),
	v.maxLength(256, "expected at most 256 entries"),
);
const mac = v.pipe(
	text,
	v.check(isMac, "expected a MAC address such as 52:54:00:bf:b3:51"),
);
const schema = v.strictObject(
	{
		metadataUrl: v.optional(text),
		backend: v.optional(
			v.picklist(["auto", "initscripts"], "expected auto or initscripts"),
		),
		restart: v.optional(
			v.picklist(
				["auto", "interface", "service", "none"],
				"expected auto, interface, service or none",
			),
		),
		routing: v.optional(
			v.picklist(["policy", "none"], "expected policy or none"),
		),
		rpFilter: v.optional(v.picklist([0, 1, 2], "expected 0, 1 or 2")),
		exclude: v.optional(
			v.strictObject(
				{
					names: v.optional(texts, []),
					macs: v.optional(v.array(mac, "expected a list"), []),
					drivers: v.optional(texts, []),
				},
				"expected names, macs or drivers",
			),
		),
		interfaces: v.optional(
			v.record(
				v.pipe(
					text,
					v.regex(
						/^[A-Za-z0-9_:-]{1,17}$/,
						"expected a NIC name or a MAC address",
					),
				),
				v.strictObject(
					{ addresses: texts, gateway: text, netmask: v.optional(text) },
					"expected addresses and gateway",
				),
				"expected NIC names or MAC addresses with addresses and gateway",
			),
		),
	},
	"expected keys and values",
);

/**
 * Reads the config file. None at the default place is fine; one that was named has to be there.
 * Throws an AgentError of kind `usage` whose line names the file, the path in it and what was expected.
 */
export function readConfig(
	fs: FileSystem,
	path: string,
	isRequired: boolean,
): PartialSettings {
	const file = readFile(fs, path, limit);
	if (!file) {
		if (isRequired)
			throw new AgentError("usage", `${path}: there is no such file`);
		return {};
	}
	const value = parseYaml(
		path,
		Buffer.from(file.content, "latin1").toString("utf8"),
	);
	if (value === null || value === undefined) return {};
	const result = v.safeParse(schema, value, { abortEarly: true });
	if (!result.success) {
		const issue = result.issues[0];
		const place = (v.getDotPath(issue) ?? "")
			.replace(/\p{Cc}/gu, "?")
			.slice(0, 120);
		const isUnknown =
			issue.type === "strict_object" && issue.expected === "never";
		throw new AgentError(
			"usage",
			`${path}: ${place ? `${place}: ` : ""}${isUnknown ? `unknown key; expected one of ${knownKeys(place)}` : issue.message}`,
		);
	}
	const { interfaces, ...rest } = result.output;
	return {
		...rest,
		...(interfaces ? { interfaces: parseInterfaces(path, interfaces) } : {}),
	};
}

function parseYaml(path: string, source: string): unknown {
	const lines = new LineCounter();
	const document = parseDocument(source, {
		lineCounter: lines,
		uniqueKeys: true,
		prettyErrors: false,
	});
	const problem = document.errors[0];
	if (problem) {
		const at = lines.linePos(problem.pos[0]);
		throw new AgentError(
			"usage",
			`${path}: line ${at.line}: ${problem.message.split("\n")[0]}`,
		);
	}
	try {
		// No alias is worth a "billion laughs".
		return document.toJS({ maxAliasCount: 20 });
	} catch (error) {
		throw new AgentError(
			"usage",
			`${path}: ${(error as Error).message}`,
			error,
		);
	}
}

function knownKeys(place: string): string {
	if (place.startsWith("exclude.")) return "names, macs, drivers";
	if (place.startsWith("interfaces.")) return "addresses, gateway, netmask";
	return Object.keys(schema.entries).join(", ");
}

function parseInterfaces(
	path: string,
	given: Record<
		string,
		{ addresses: string[]; gateway: string; netmask?: string | undefined }
	>,
): Record<string, StaticSource> {
	const keys = Object.keys(given).map((key) =>
		isMac(key) ? key.toLowerCase() : key,
	);
	const twice = keys.find((key, at) => keys.indexOf(key) !== at);
	if (twice)
		throw new AgentError(
			"usage",
			`${path}: interfaces: ${twice} is there twice`,
		);
	return Object.fromEntries(
		Object.entries(given).map(([key, { addresses, gateway, netmask }]) => {
			const source = parseStaticSource({ addresses, gateway, netmask });
			if (typeof source === "string")
				throw new AgentError("usage", `${path}: interfaces.${key}.${source}`);
			return [isMac(key) ? key.toLowerCase() : key, source];
		}),
	);
}
