import * as v from "valibot";
import {
	type Document,
	isScalar,
	LineCounter,
	parseDocument,
	visit,
} from "yaml";
import { isNicName } from "./desire/candidate.js";
import { AgentError, isAgentError, messageOf } from "./errors.js";
import type { StaticSource } from "./model.js";
import { isMac } from "./observe/parse-metadata.js";
import { printable, quote } from "./quote.js";
import type { PartialSettings } from "./settings.js";
import { parseStaticSource } from "./static-source.js";

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

// To valibot a list is an object too, with 0, 1 and so on for keys.
function keysAndValues<S extends v.GenericSchema>(schema: S, expected: string) {
	return v.pipe(
		v.custom<v.InferInput<S>>((value) => !Array.isArray(value), expected),
		schema,
	);
}

const settings = v.strictObject(
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
		managePrimary: v.optional(v.boolean("expected true or false")),
		resyncSeconds: v.optional(
			v.pipe(
				v.number("expected a number of seconds from 10 to 3600"),
				v.integer("expected whole seconds"),
				v.minValue(10, "expected at least 10 seconds"),
				v.maxValue(3600, "expected at most 3600 seconds"),
			),
		),
		exclude: v.optional(
			keysAndValues(
				v.strictObject(
					{
						names: v.optional(texts, []),
						macs: v.optional(v.array(mac, "expected a list"), []),
						drivers: v.optional(texts, []),
					},
					"expected names, macs or drivers",
				),
				"expected names, macs or drivers",
			),
		),
		interfaces: v.optional(
			keysAndValues(
				v.record(
					v.pipe(
						text,
						v.check(
							(key) => isMac(key) || isNicName(key),
							"expected a NIC name or a MAC address",
						),
					),
					keysAndValues(
						v.strictObject(
							{ addresses: texts, gateway: text, netmask: v.optional(text) },
							"expected addresses and gateway",
						),
						"expected addresses and gateway",
					),
					"expected NIC names or MAC addresses with addresses and gateway",
				),
				"expected NIC names or MAC addresses with addresses and gateway",
			),
		),
	},
	"expected keys and values",
);
const schema = keysAndValues(settings, "expected keys and values");

/**
 * Settings in the text of a config file; throws an AgentError of kind `usage` whose line names the
 * file, the path in it and what was expected.
 */
export function parseConfig(path: string, source: string): PartialSettings {
	const value = parseYaml(path, source);
	if (value === null || value === undefined) return {};
	const result = v.safeParse(schema, value, { abortEarly: true });
	if (!result.success) {
		const issue = result.issues[0];
		const place = printable(v.getDotPath(issue) ?? "").slice(0, 120);
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

// No alias is worth a "billion laughs".
const maxAliases = 20;

function parseYaml(path: string, source: string): unknown {
	const lines = new LineCounter();
	const fail = (problem: string, at?: number, cause?: unknown) => {
		const place = at === undefined ? "" : `line ${lines.linePos(at).line}: `;
		const what = printable(problem.split("\n")[0] ?? "").slice(0, 200);
		return new AgentError("usage", `${path}: ${place}${what}`, cause);
	};
	try {
		const document = parseDocument(source, {
			lineCounter: lines,
			// Done below: yaml compares each key with each other, 2 s for 64 KiB.
			uniqueKeys: false,
			prettyErrors: false,
			logLevel: "error",
		});
		const [problem] = document.errors;
		if (problem)
			throw fail(
				explanations[problem.code] ?? problem.message,
				problem.pos[0],
				problem,
			);
		const odd = oddNode(document);
		if (odd) throw fail(odd.what, odd.at);
		return document.toJS({ maxAliasCount: maxAliases });
	} catch (error) {
		if (isAgentError(error)) throw error;
		throw fail(
			error instanceof RangeError
				? explanations.RESOURCE_EXHAUSTION
				: messageOf(error),
			undefined,
			error,
		);
	}
}

const explanations: Record<string, string> & { RESOURCE_EXHAUSTION: string } = {
	MULTIPLE_DOCS: "a second document begins: expected one",
	RESOURCE_EXHAUSTION: "is nested too deep",
};

// What yaml would read and nobody needs here: tags, keys that are no plain text, keys given twice.
function oddNode(
	document: Document.Parsed,
): { what: string; at: number | undefined } | undefined {
	let odd: { what: string; at: number | undefined } | undefined;
	const found = (what: string, node: { range?: readonly number[] | null }) => {
		odd = { what, at: node.range?.[0] };
		return visit.BREAK;
	};
	visit(document, {
		Node: (_, node) => {
			const { tag } = node as { tag?: string };
			return tag === undefined
				? undefined
				: found(`the tag ${quote(tag)} is not understood: expected none`, node);
		},
		Map: (_, map) => {
			if (map.tag !== undefined)
				return found(
					`the tag ${quote(map.tag)} is not understood: expected none`,
					map,
				);
			const seen = new Set<string>();
			for (const { key } of map.items) {
				if (!isScalar(key) || key.value === null)
					return found("a key is no plain text", map);
				const text = String(key.value);
				if (seen.has(text))
					return found(
						`the keys must be unique: ${quote(text)} is there twice`,
						key,
					);
				// What every JavaScript object answers to would pass for a known key.
				if (text in {}) return found(`${quote(text)} is an unknown key`, key);
				seen.add(text);
			}
			return undefined;
		},
	});
	return odd;
}

function knownKeys(place: string): string {
	if (place.startsWith("exclude.")) return "names, macs, drivers";
	if (place.startsWith("interfaces.")) return "addresses, gateway, netmask";
	return Object.keys(settings.entries).join(", ");
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
