import { createTwoFilesPatch } from "diff";
import { foreignFiles } from "../desire/foreign-files.js";
import { desire } from "../desire.js";
import { mark } from "../marker.js";
import type { Step } from "../model.js";
import type { Prepared } from "../prepared.js";
import { printableLines } from "../quote.js";
import type { Options } from "./options.js";

// The work grows with its square: 30 000 lines that all differ would take minutes.
const maxEditLength = 2000;

/** A unified diff of what a file step changes; undefined for other steps. */
export function diffOfStep(step: Step): string | undefined {
	if (step.kind === "write")
		return patch(step.path, step.before?.content, step.content);
	if (step.kind === "remove")
		return patch(step.path, step.before.content, undefined);
	return undefined;
}

/** What --force would change in the user's files of a held NIC; undefined where files are not the reason. */
export function diffOfHeld(
	name: string,
	{ observed, means }: Prepared,
	options: Options,
): string | undefined {
	const forced = desire(
		observed,
		{ ...options.request, targets: [name], force: true, verb: "configure" },
		options.settings,
	);
	const spec = forced.interfaces[0];
	if (!spec || forced.overridden.length === 0) return undefined;
	const files = means.backend.files(spec, means.renderer);
	return foreignFiles(name, spec.mac, observed)
		.map((file) => {
			const ours = files.find(({ path }) => path === file.path);
			return patch(file.path, file.content, ours && mark(ours.body));
		})
		.join("\n");
}

function patch(
	path: string,
	before: string | undefined,
	after: string | undefined,
): string {
	const names = [before, after].map((content) =>
		content === undefined ? "/dev/null" : path,
	) as [string, string];
	const text = createTwoFilesPatch(
		...names,
		readable(before),
		readable(after),
		undefined,
		undefined,
		{ maxEditLength },
	);
	return (
		text?.replace(/^=+\n/, "") ??
		`--- ${names[0]}\n+++ ${names[1]}\n(more than ${maxEditLength} lines differ)\n`
	);
}

// Files are kept as latin1; a terminal wants UTF-8, and nothing that could steer it.
function readable(content: string | undefined): string {
	return printableLines(Buffer.from(content ?? "", "latin1").toString("utf8"));
}
