import { acquireLock } from "../apply/lock.js";
import { realSystem } from "../real-system.js";
import type { HttpResult, System } from "../system.js";
import { replay } from "../trace/replay.js";
import { keyOf, readTrace } from "../trace/trace.js";
import { createLog } from "./log.js";
import type { Values } from "./options.js";
import type { Begun } from "./run.js";

const lockTimeoutMs = 60_000;
const freshMs = 1000;

/**
 * `configure` for who may have nothing to do: where all that the last run of the same words looked at is the
 * same, so is the outcome, and most of the agent need not even be loaded. Else the run that would have been.
 */
export async function configureAgain(
	words: string[],
	values: Values,
): Promise<number> {
	const log = createLog(values, process.env);
	const system = realSystem(log, values["dry-run"] !== true);
	const key = keyOf(words, process.env);
	const trace = system.uid() === 0 ? readTrace(system.fs, key) : undefined;
	const begun: Begun = { system, key };
	if (trace) {
		// The service is asked before the lock is there: whoever had it may have gone by a newer answer.
		const freshUntilMs = system.clock.nowMs() + freshMs;
		const locking = acquireLock(system, lockTimeoutMs);
		const looking = replay(system, trace.seen, locking).catch(() => undefined);
		try {
			begun.lock = await locking;
		} catch (problem) {
			begun.problem = problem;
		}
		const isFresh = system.clock.nowMs() < freshUntilMs;
		const looked = begun.lock && (await looking);
		if (looked?.isSame && isFresh) {
			begun.lock?.release();
			for (const [level, message] of trace.log) system.log(level, message);
			return 0;
		}
		const http = askOnce(system, freshUntilMs, looked?.answers);
		begun.system = { ...system, http };
	}
	const { runCommand } = await import("./run.js");
	return runCommand("configure", values, begun);
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
