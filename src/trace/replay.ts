import type { HttpResult, System } from "../system.js";
import { answerText, digestOf, lookAt, outputText } from "./look.js";
import { isOfFiles } from "./record.js";
import type { Trace } from "./trace.js";

const limits = { timeoutMs: 2000, maxBytes: 64 * 1024 };
const maxAtOnce = 4;

/** What came of looking again. */
export interface Replay {
	isSame: boolean;
	/** What the metadata service has answered meanwhile, by URL. */
	answers: Map<string, HttpResult>;
}

/**
 * Looks at all that a run has looked at: files and the like first, programs side by side, and the
 * metadata service, as gently as a run asks it. Ends early where something is not the same.
 */
export async function replay(system: System, trace: Trace): Promise<Replay> {
	const answers = new Map<string, HttpResult>();
	const placesOf = (kind: string) =>
		trace.looks.filter((look) => look.kind === kind).map(({ place }) => place);
	// Programs and the first answer take their time: what is at hand is looked at meanwhile.
	const programs = Promise.all(
		placesOf("run").map((place) => system.run(place.split("\0"))),
	);
	const asking = ask(system, placesOf("http"), answers);
	const files = trace.looks
		.filter(({ kind }) => isOfFiles(kind))
		.map((look) => lookAt(system, look));
	asking.go(digestOf(files) === trace.digests.files);
	const outputs = (await programs).map(outputText);
	const texts = await asking.texts;
	const isSame =
		texts !== undefined &&
		digestOf(files) === trace.digests.files &&
		digestOf(outputs) === trace.digests.programs &&
		digestOf(texts) === trace.digests.answers;
	return { isSame, answers };
}

// The first question alone: a service that does not answer costs its time once.
function ask(
	{ http }: System,
	urls: string[],
	answers: Map<string, HttpResult>,
): { go(isWorthIt: boolean): void; texts: Promise<string[] | undefined> } {
	let go = (_: boolean) => {};
	const isWorthIt = new Promise<boolean>((resolve) => {
		go = resolve;
	});
	const get = async (url: string) => {
		const result = await http(url, limits);
		if (result.kind === "response") answers.set(url, result);
		return result.kind === "response";
	};
	const [first, ...rest] = urls;
	async function all(): Promise<string[] | undefined> {
		if (first === undefined) return [];
		if (!(await get(first)) || !(await isWorthIt)) return undefined;
		const waiting = [...rest];
		const lane = async () => {
			for (let url = waiting.shift(); url; url = waiting.shift())
				if (!(await get(url))) waiting.length = 0;
		};
		await Promise.all(Array.from({ length: maxAtOnce }, lane));
		const texts = urls.map((url) => {
			const answer = answers.get(url);
			return answer && answerText(answer);
		});
		return texts.every((text): text is string => text !== undefined)
			? texts
			: undefined;
	}
	return { go, texts: all() };
}
