import runtime from "handlebars/runtime";
import { precompiled } from "./precompiled-templates.js";
import { createEngine, type Engine } from "./template-language.js";

/** An engine for templates of these texts; Handlebars' compiler is loaded for those alone that did not come with the agent. */
export async function engineFor(texts: string[]): Promise<Engine> {
	if (texts.every((text) => Object.hasOwn(precompiled, text))) {
		const handlebars = runtime.create();
		return createEngine(handlebars, (text) =>
			handlebars.template(precompiled[text] as TemplateSpecification),
		);
	}
	const { compilingEngine } = await import("./template-compiler.js");
	return compilingEngine();
}
