import { AgentError } from "./errors.js";
import { readUserFile } from "./files.js";
import { paths } from "./paths.js";
import { type Templates, templateNames } from "./render.js";
import type { System } from "./system.js";

const limit = 64 * 1024;

/** Each template as the user has it in /etc/eni-configure/templates/, else as it came with the agent. */
export function loadTemplates(system: System): Templates {
	const entries = templateNames.map((name) => {
		const places = [
			`${paths.userTemplates}/${name}.hbs`,
			`${system.templates}/${name}.hbs`,
		];
		for (const origin of places) {
			const file = readUserFile(system.fs, origin, limit);
			if (file) return [name, { text: file.content, origin }] as const;
		}
		throw new AgentError(
			"internal",
			`the template ${places[1]} is missing: the installation is incomplete`,
		);
	});
	return Object.fromEntries(entries) as Templates;
}
