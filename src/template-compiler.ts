import Handlebars from "handlebars";
import {
	compileOptions,
	createEngine,
	type Engine,
} from "./template-language.js";

/** An engine for templates of any text. */
export function compilingEngine(): Engine {
	const handlebars = Handlebars.create();
	return createEngine(handlebars, (source) =>
		handlebars.compile(source, compileOptions),
	);
}
