import { type Lock, lockAndRun } from "../apply/lock.js";
import { requestLimits } from "../observe/metadata-limits.js";
import { showKernel } from "../observe/show-kernel.js";
import type { HttpResult, RunResult, System } from "../system.js";
import {
	answerText,
	isAsSeen,
	outputOf,
	placeOfRun,
	type Seen,
} from "./look.js";

/** What came of looking again. */
export interface Replay {
	/** Undefined where it could not be had at once: then nothing has been looked at. */
	lock: Lock | undefined;
	/** When it was there, by System.clock. */
	lockedMs: number;
	isSame: boolean;
	/** What the metadata service has answered meanwhile, by URL. */
	answers: Map<string, HttpResult>;
}

// So many files are looked at before answers are read that have come meanwhile.
const filesAtOnce = 16;
// So many conversations: one more costs as much as it saves where the service is near, and it is.
const maxLanes = 2;

/**
 * Takes the lock and looks again at all that a run has seen: the metadata service as gently as a run asks it, the kernel by
 * `ip`, files and the like. The service is asked at once; the rest, which others may be changing, is looked at with the
 * lock, and not at all where somebody else has it. Ends early where something is not the same. `find` says what was
 * seen, and has time for it: until the lock is there.
 * @throws AgentError where the lock's file cannot be opened.
 */
export async function replay(
	system: System,
	find: () => Seen[] | undefined,
): Promise<Replay> {
	const answers = new Map<string, HttpResult>();
	let isOver = false;
	let lockedMs = 0;
	let other: Promise<Seen | undefined> | undefined;
	const shown = lockAndRun(system, kernelShown, () => {
		lockedMs = system.clock.nowMs();
		other = seen && findOther(system, seen);
	});
	const seen = find();
	const answered = answersAgain(system, seen ?? [], answers, () => isOver);
	try {
		const { lock, result } = await shown;
		const found = lock && seen && ((await other) ?? otherRun(seen, result));
		if (found) system.log("debug", `not as it was: ${found[0]} ${found[1]}`);
		const isSame = lock && seen && !found && (await answered);
		return { lock, lockedMs, isSame: isSame === true, answers };
	} finally {
		// Whatever came of it, nobody is left to ask.
		isOver = true;
	}
}

const kernelShown = showKernel();
const shownAt = placeOfRun(kernelShown.argv, kernelShown.input);

// A run starts nothing else, or leaves no trace. As a rule all is as it was printed; else but for what passes by itself.
function otherRun(seen: Seen[], result: RunResult): Seen | undefined {
	const isPrinted = (content: Buffer) =>
		content.equals(Buffer.from(result.stdout)) ||
		content.equals(outputOf(result));
	const isSame = ([, place, text, content]: Seen) =>
		place === shownAt &&
		text === String(result.exitCode) &&
		content !== undefined &&
		isPrinted(content);
	return seen.find((one) => one[0] === "run" && !isSame(one));
}

async function findOther(
	system: System,
	seen: Seen[],
): Promise<Seen | undefined> {
	const files = seen.filter(([kind]) => kind !== "run" && kind !== "http");
	for (let from = 0; from < files.length; from += filesAtOnce) {
		const other = files
			.slice(from, from + filesAtOnce)
			.find((one) => !isAsSeen(system, one));
		if (other) return other;
		await new Promise((resolve) => setImmediate(resolve));
	}
	return undefined;
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
	await Promise.all(Array.from({ length: maxLanes }, () => lane()));
	return isSame;
}
