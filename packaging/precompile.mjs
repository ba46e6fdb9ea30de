// The templates that come with the agent, compiled when it is built: Handlebars' compiler takes as long to load as
// all of the agent.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import Handlebars from "handlebars";

/** The same as src/template-language.ts has for those that are compiled later. */
export const compileOptions = { noEscape: true, strict: true };

/** A module like src/precompiled-templates.ts, as JavaScript, for the .hbs files of a folder. */
export function precompiledModule(folder) {
	const entries = readdirSync(folder)
		.filter((name) => name.endsWith(".hbs"))
		.sort()
		.map((name) => {
			// As the agent reads them, see src/files.ts.
			const text = readFileSync(path.join(folder, name), "latin1");
			// Of its own: it is written to.
			const code = Handlebars.precompile(text, { ...compileOptions });
			return `${JSON.stringify(text)}: ${code}`;
		});
	return `export const precompiled = {${entries.join(",\n")}};\n`;
}
