import { execFileSync } from "node:child_process";
import { join } from "node:path";
import runtime from "handlebars/runtime";
import { describe, expect, test } from "vitest";
import type { InterfaceSpec } from "../../src/model.js";
import { createRenderer } from "../../src/render.js";
import { engineFor } from "../../src/template-engine.js";
import { compileOptions, createEngine } from "../../src/template-language.js";
import {
	casesIn,
	readFixture,
	rendererOf,
	specOf,
	templates,
} from "./given.js";

const root = join(__dirname, "../..");
const script = `
	import { compileOptions, precompiledModule } from "./packaging/precompile.mjs";
	console.log(JSON.stringify([compileOptions, precompiledModule("templates")]));`;
const [options, moduleText] = JSON.parse(
	execFileSync(process.execPath, ["--input-type=module", "-e", script], {
		cwd: root,
		encoding: "utf8",
	}),
);
const precompiled: Record<string, TemplateSpecification> = new Function(
	moduleText.replace("export const precompiled =", "return"),
)();

describe("the templates that the build compiles", () => {
	const handlebars = runtime.create();
	const engine = createEngine(handlebars, (text) =>
		handlebars.template(precompiled[text] as TemplateSpecification),
	);
	const own = createRenderer(templates(), engine);
	const later = rendererOf(templates());

	test("are all that come with the agent, and compiled as others are", () => {
		const texts = Object.values(templates()).map(({ text }) => text);
		expect(Object.keys(precompiled).sort()).toEqual(texts.sort());
		expect(options).toEqual(compileOptions);
	});

	test.each(casesIn("ifcfg"))("render %s the same", (name) => {
		const spec = specOf(
			JSON.parse(
				readFixture("ifcfg", name, "spec.json"),
			) as Partial<InterfaceSpec>,
		);
		for (const kind of ["ifcfg", "route", "rule"] as const)
			expect(own[kind](spec)).toBe(later[kind](spec));
		const settings = [{ link: "eth1", leaf: "rp_filter", value: "0" }];
		expect(own.sysctl(settings)).toBe(later.sysctl(settings));
	});
});

test("a template of the user's is compiled when it is needed", async () => {
	const engine = await engineFor(["# {{name}}\n"]);
	expect(engine.compile("# {{name}}\n")({ name: "eth1" })).toBe("# eth1\n");
});
