import { messageOf } from "../errors.js";
import { refuseEndlessTables } from "../observe/kernel.js";
import { realSystem } from "../real-system.js";
import type { HttpResult, System } from "../system.js";
import { plainHttp } from "../trace/plain-http.js";
import type { Recorded } from "../trace/record.js";
import { type Replay, replay } from "../trace/replay.js";
import { findTrace, keyOf, parseTrace } from "../trace/trace.js";
import { createLog } from "./log.js";
import type { Values } from "./options.js";
import type { Begun } from "./run.js";

const freshMs = 1000;

/**
 * `configure` for who may have nothing to do: where all that the last run of the same words looked at is the
 * same, so is the outcome, and most of the agent need not even be loaded. Else the run that would have been.
 */
export async function configureAgain(
	words: string[],
	values: Values,
	runWhole: (begun: Begun) => Promise<number>,
): Promise<number> {
	const log = createLog(values, process.env);
	const system = realSystem(log, values["dry-run"] !== true);
	const key = keyOf(words, process.env);
	const trace = system.uid() === 0 ? findTrace(system.fs, key) : undefined;
	const begun: Begun = { system, key };
	if (trace !== undefined) {
		// The service is asked before the lock is there: whoever had it may have gone by a newer answer.
		const freshUntilMs = system.clock.nowMs() + freshMs;
		const looked = await lookAgain(system, trace, freshUntilMs);
		if (looked?.isSame) {
			looked.lock?.release();
			for (const [level, message] of looked.log) system.log(level, message);
			return 0;
		}
		if (looked?.lock) begun.lock = looked.lock;
		const http = askOnce(system, freshUntilMs, looked?.answers);
		begun.system = { ...system, http };
	}
	return runWhole(begun);
}

// Undefined where the lock cannot be opened, or `ip` would hang: the run says why.
async function lookAgain(
	system: System,
	trace: Buffer,
	freshUntilMs: number,
): Promise<(Replay & Pick<Recorded, "log">) | undefined> {
	const { http, close } = plainHttp();
	let recorded: Recorded | undefined;
	try {
		refuseEndlessTables(system.fs);
		const looked = await replay({ ...system, http }, () => {
			recorded = parseTrace(trace);
			return recorded?.seen;
		});
		const isSame = looked.isSame && looked.lockedMs < freshUntilMs;
		// Else the process ends now: to close what it has open takes longer than to leave that to the kernel.
		if (!isSame) close();
		return { ...looked, isSame, log: recorded?.log ?? [] };
	} catch (error) {
		close();
		system.log("debug", `not looked at again: ${messageOf(error)}`);
		return undefined;
	}
}

// What has just been answered need not be asked again; later, and a second time, it is.
function askOnce(
	{ http, clock }: System,
	freshUntilMs: number,
	answers = new Map<string, HttpResult>(),
): System["http"] {
	return async (url, limits) => {
		const isFresh = clock.nowMs() < freshUntilMs;
		const answer = isFresh ? answers.get(url) : undefined;
		answers.delete(url);
		return answer ?? http(url, limits);
	};
}
