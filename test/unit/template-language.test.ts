import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { errorOf, rendererOf, specOf, templates } from "./given.js";

// Generous: it only has to catch what would never end.
const hangMs = 5000;

const many = specOf({
	addresses: Array.from({ length: 30 }, (_, at) =>
		at === 0 ? "192.168.1.62/26" : `192.168.1.${at}/32`,
	),
});
const nested = (depth: number, what: string) =>
	"{{#each @root.sources}}".repeat(depth) + what + "{{/each}}".repeat(depth);

function refusal(text: string, kind: "ifcfg" | "rule" = "rule"): string {
	const own = rendererOf(templates({ [kind]: text }));
	const error = errorOf(() => own[kind](many));
	expect(error.exitCode).toBe(2);
	expect(error.message).toMatch(/^[^\p{Cc}]{1,400}$/u);
	const origin = `template /etc/eni-configure/templates/${kind}.hbs`;
	expect(error.message.startsWith(origin)).toBe(true);
	return error.message.slice(origin.length);
}

describe("a template that", () => {
	test.each([
		["nests loops", nested(6, "x"), /line 1: .*more than 10000 turns/],
		[
			"loops over a huge text",
			nested(2, "x".repeat(60_000)),
			/line 1: .*more than 1048576 bytes/,
		],
		[
			"loops one after the other",
			nested(2, "").repeat(20),
			/more than 10000 turns/,
		],
		["renders a huge text", "x\n".repeat(32_000), /line 1: "x" is not words/],
		[
			"has blocks in blocks in blocks",
			`\n${"{{#if name}}".repeat(3000)}${"{{/if}}".repeat(3000)}`,
			/line 2: blocks are nested more than 8 deep/,
		],
		[
			"has more tags than anybody writes",
			"{{#if name}}{{/if}}\n".repeat(3000),
			/line 501: there are more than 1000 tags/,
		],
		[
			"chains conditions",
			`{{#if name}}${"{{else if name}}".repeat(3900)}`,
			/1000 tags/,
		],
		[
			"nests parentheses",
			`{{a ${"(a ".repeat(15_000)}${")".repeat(15_000)}}}`,
			/line 1: .*longer than 200/,
		],
		[
			"hides parentheses in strings and comments",
			`{{a "{{!" ${"(a ".repeat(15_000)}}}`,
			/line 1: /,
		],
		[
			"hides them behind a backslash",
			`\\{{! {{a ${"(a ".repeat(15_000)}}}`,
			/line 1: .*escaped/,
		],
		[
			"has a path without end",
			`{{name${".name".repeat(12_000)}}}`,
			/longer than 200/,
		],
		["never ends a tag", "ok\n{{name", /line 2: "{{name" has no end/],
		["never ends a comment", "{{!-- }} ", /line 1: .*has no end/],
		["is nothing but braces", "{{".repeat(30_000), /line 1: /],
	])("%s is refused in good time", (_, text, expected) => {
		const start = Date.now();
		expect(refusal(text)).toMatch(expected);
		expect(Date.now() - start).toBeLessThan(hangMs);
	});

	test.each([
		['{{#*inline "a"}}x{{/inline}}'],
		['{{#*inline "a"}}{{> a}}{{> a}}{{/inline}}{{> a}}'],
		["{{> rule}}"],
		["{{> (lookup . 'name')}}"],
		["{{#> layout}}x{{/layout}}"],
		["{{* decorator}}"],
		["{{log name}}"],
		['{{log "\u001b[31m" level="error"}}'],
		['{{lookup . "constructor"}}'],
		["{{lookup this name}}"],
		["{{constructor}}"],
		["{{__proto__}}"],
		["{{this.constructor.constructor}}"],
		["{{sources.map}}"],
		["{{#with constructor}}{{/with}}"],
		["{{#each __proto__}}{{/each}}"],
		["{{#with sources as |constructor|}}{{/with}}"],
		["{{@root.constructor}}"],
		["{{@level}}"],
		["{{{name}}}"],
		["{{{{raw}}}}{{{{/raw}}}}"],
		["{{helperMissing}}"],
		['{{"name"}}'],
		["{{[name]}}"],
		["{{name name}}"],
		["{{each}}"],
		["{{nam\u0000e}}"],
	])("says %j is refused by its line, and told what may stand there", (tag) => {
		const message = refusal(`# fine\n${tag}\n`);
		expect(message).toMatch(/^: line 2: .*is not understood: expected name, /);
	});

	test.each([
		["{{#each sorces}}from {{this}} table 1 priority 1\n{{/each}}", /sorces/],
		["{{#if nothing}}{{/if}}", /nothing/],
		["{{#unless nothing}}{{/unless}}", /nothing/],
		["{{#with nothing}}{{/with}}", /nothing/],
		["{{#each sources}}{{../nothing}}{{/each}}", /nothing/],
		["{{#if name}}{{else if nothing}}{{/if}}", /nothing/],
		["{{#each name}}{{/each}}", /line 1: \{\{#each\}\} takes a list/],
		["{{#each sources}}{{name}}{{/each}}", /name/],
		["{{#each sources}}", /Expecting/],
		["{{/each}}", /Expecting/],
		["{{#each sources}}{{/if}}", /line 1: /],
	])("names what was never given, such as %j, is refused", (text, expected) => {
		expect(refusal(text)).toMatch(expected);
	});

	test.each([
		[
			"{{!-- why (and how) --}}{{! more }}# {{name}} {{mac}} {{gateway}} {{subnet}}\n",
		],
		[
			"{{#each sources}}\nfrom {{.}} table {{../table}} priority {{@root.table}}\n{{/each}}\n",
		],
		["{{#if sources.length}}{{#with sources}}{{/with}}{{/if}}"],
		[
			"{{~#each sources~}}{{#if @first}}{{else if @last}}{{else}}{{/if}}{{~/each~}}",
		],
		[
			"{{#unless name}}x{{^}}{{/unless}}{{#each sources}}{{#if @index}}{{/if}}{{else}}{{/each}}",
		],
	])("says %j is in order", (text) => {
		const own = rendererOf(templates({ rule: text }));
		expect(() => own.rule(many)).not.toThrow();
	});
});

describe("the console", () => {
	const names = ["log", "info", "warn", "error", "debug"] as const;
	const said: unknown[] = [];
	beforeEach(() => {
		for (const name of names)
			vi.spyOn(console, name).mockImplementation((...words) => {
				said.push(words);
			});
	});
	afterEach(() => void vi.restoreAllMocks());

	test("stays silent whatever a template asks for", () => {
		for (const tag of [
			"{{log name}}",
			"{{sources.map}}",
			'{{lookup . "constructor"}}',
			"{{#each sources}}{{this.length}}{{/each}}",
			"{{sources.0.length}}",
		])
			try {
				rendererOf(templates({ rule: `${tag}\n` })).rule(many);
			} catch {
				// Refused or not: nothing may be said.
			}
		expect(said).toEqual([]);
	});
});

test("a template that was refused once is refused again, and one that was fine stays fine", () => {
	const own = rendererOf(
		templates({ rule: nested(2, "").repeat(8), route: "{{log name}}\n" }),
	);
	for (let run = 0; run < 3; run += 1) {
		expect(own.rule(many)).toBe("");
		expect(errorOf(() => own.route(many)).kind).toBe("usage");
	}
});

test("a hundred addresses are no trouble for the templates that come with the agent", () => {
	const addresses = Array.from({ length: 100 }, (_, at) =>
		at === 0 ? "10.0.0.5/16" : `10.0.1.${at}/32`,
	);
	const own = rendererOf(templates());
	const spec = specOf({
		addresses,
		subnet: "10.0.0.0/16",
		gateway: "10.0.0.1",
	});
	expect(own.ifcfg(spec)).toContain('IPADDR99="');
	expect(own.rule(spec).match(/^from/gm)).toHaveLength(100);
});
