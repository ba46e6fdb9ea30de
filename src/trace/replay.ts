import type { HttpResult, System } from "../system.js";
import { answerText, lookAt, outputText, type Seen } from "./look.js";

const limits = { timeoutMs: 2000, maxBytes: 64 * 1024 };
const maxAtOnce = 4;

/** What came of looking again. */
export interface Replay {
	isSame: boolean;
	/** What the metadata service has answered meanwhile, by URL. */
	answers: Map<string, HttpResult>;
}

/**
 * Looks again at all that a run has seen: files and the like, programs side by side, and the metadata
 * service as gently as a run asks it. Ends early where something is not the same.
 */
export async function replay(system: System, seen: Seen[]): Promise<Replay> {
	const isOther = ([kind, place]: Seen) =>
		system.log("debug", `not as it was: ${kind} ${place}`);
	// Programs and the first answer take their time: what is at hand is looked at meanwhile.
	const programs = Promise.all(
		seen.filter(([kind]) => kind === "run").map((one) => runs(system, one)),
	);
	const asked = seen.filter(([kind]) => kind === "http");
	const answers = new Map<string, HttpResult>();
	const first = answersAgain(system, asked.slice(0, 1), answers);
	const other = seen.find(
		([kind, place, text]) =>
			kind !== "run" &&
			kind !== "http" &&
			lookAt(system, { kind, place }) !== text,
	);
	if (other) isOther(other);
	// A service that does not answer costs its time once.
	const isGoing = (await first) && other === undefined;
	const rest = isGoing && answersAgain(system, asked.slice(1), answers);
	const isSame = (await programs).every(Boolean) && (await rest);
	return { isSame, answers };
}

async function runs({ run }: System, [, place, text]: Seen): Promise<boolean> {
	return outputText(await run(place.split("\0"))) === text;
}

// Some at once, none more after one that is other than it was.
async function answersAgain(
	{ http }: System,
	asked: Seen[],
	answers: Map<string, HttpResult>,
): Promise<boolean> {
	const waiting = [...asked];
	let isSame = true;
	const lane = async () => {
		for (let next = waiting.shift(); next && isSame; next = waiting.shift()) {
			const [, url, text] = next;
			const answer = await http(url, limits);
			if (answer.kind === "response") answers.set(url, answer);
			isSame &&= answerText(answer) === text;
		}
	};
	await Promise.all(Array.from({ length: maxAtOnce }, lane));
	return isSame;
}
