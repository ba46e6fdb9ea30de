import { maxRequests, requestLimits } from "../observe/metadata-limits.js";
import type { HttpResult, System } from "../system.js";
import { answerText, lookAt, runAgain, type Seen } from "./look.js";

/** What came of looking again. */
export interface Replay {
	isSame: boolean;
	/** What the metadata service has answered meanwhile, by URL. */
	answers: Map<string, HttpResult>;
}

// So many files are looked at before answers are read that have come meanwhile.
const filesAtOnce = 32;

/**
 * Looks again at all that a run has seen: the metadata service as gently as a run asks it, programs side by
 * side, files and the like. The service is asked at once; the rest, which others may be changing, is looked at
 * once `isLocked` resolves, and not at all where it rejects. Ends early where something is not the same.
 */
export async function replay(
	system: System,
	seen: Seen[],
	isLocked: Promise<unknown>,
): Promise<Replay> {
	const answers = new Map<string, HttpResult>();
	let isOver = false;
	const answered = answersAgain(system, seen, answers, () => isOver);
	try {
		await isLocked;
	} catch (error) {
		isOver = true;
		throw error;
	}
	const programs = Promise.all(
		seen.filter(([kind]) => kind === "run").map((one) => runs(system, one)),
	);
	const other = await findOther(system, seen);
	if (other) system.log("debug", `not as it was: ${other[0]} ${other[1]}`);
	isOver = other !== undefined || !(await programs).every(Boolean);
	return { isSame: !isOver && (await answered), answers };
}

async function findOther(
	system: System,
	seen: Seen[],
): Promise<Seen | undefined> {
	const files = seen.filter(([kind]) => kind !== "run" && kind !== "http");
	for (let from = 0; from < files.length; from += filesAtOnce) {
		const other = files
			.slice(from, from + filesAtOnce)
			.find(([kind, place, text]) => lookAt(system, { kind, place }) !== text);
		if (other) return other;
		await new Promise((resolve) => setImmediate(resolve));
	}
	return undefined;
}

async function runs(system: System, [, place, text]: Seen): Promise<boolean> {
	return (await runAgain(system, place)) === text;
}

// The first alone: a service that does not answer costs its time once. None more after one that is other than it was.
async function answersAgain(
	{ http }: System,
	seen: Seen[],
	answers: Map<string, HttpResult>,
	isOver: () => boolean,
): Promise<boolean> {
	const waiting = seen.filter(([kind]) => kind === "http");
	let isSame = true;
	const lane = async (limit = Number.POSITIVE_INFINITY) => {
		for (let count = 0; count < limit && isSame && !isOver(); count += 1) {
			const next = waiting.shift();
			if (next === undefined) return;
			const [, url, text] = next;
			const answer = await http(url, requestLimits);
			if (answer.kind === "response") answers.set(url, answer);
			isSame &&= answerText(answer) === text;
		}
	};
	await lane(1);
	await Promise.all(Array.from({ length: maxRequests }, () => lane()));
	return isSame;
}
