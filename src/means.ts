import { detectBackend } from "./backends/detect.js";
import { AgentError } from "./errors.js";
import type { Request, Settings } from "./model.js";
import { observeFacts } from "./observe/facts.js";
import type { Means } from "./plan.js";
import { createRenderer } from "./render.js";
import type { System } from "./system.js";
import { engineFor } from "./template-engine.js";
import { loadTemplates } from "./templates.js";

/** What a plan is made with. Rejects with an AgentError for a host that is not supported, or a template that cannot be used. */
export async function chooseMeans(
	system: System,
	{ verb }: Pick<Request, "verb">,
	settings: Settings,
): Promise<Means> {
	const facts = observeFacts(system.fs);
	const { backend, why } = detectBackend(facts, settings.backend);
	system.log("debug", `backend: ${why}`);
	if (!backend) throw new AgentError("refused", why);
	const templates = loadTemplates(system);
	const texts = Object.values(templates).map(({ text }) => text);
	const renderer = createRenderer(templates, await engineFor(texts));
	// What is taken away is taken away whole, whatever a change would restart.
	const restart = verb === "remove" ? "auto" : settings.restart;
	return { backend, renderer, restart, calm: [] };
}
