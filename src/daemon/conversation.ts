import type { CloudView } from "../model.js";
import {
	askCloud,
	type Conversation,
	type Question,
} from "../observe/metadata.js";
import { readState } from "../state.js";
import type { System } from "../system.js";

// Answers that take longer than that are slow, and the passes go on without them.
const patienceMs = 300;
// While a service does not answer, the next question may already be on its way: so many at once.
const maxAtOnce = 4;

const nothing: CloudView = {
	instanceId: undefined,
	primaryMac: undefined,
	listed: undefined,
	enis: {},
	primaryAddresses: undefined,
	problem: "has not been asked yet",
	requests: 0,
};

/** What the daemon knows of the metadata service, and how it asks. */
export interface Cloud {
	/** The latest answers, those of a conversation that is still going on included. */
	view(): CloudView;
	/**
	 * Asks; without `macs` about every ENI. Resolves when all is answered or patience is at its end,
	 * whichever is first; what comes later comes by `onAnswer`.
	 */
	ask(question: Question, isPartial: boolean): Promise<void>;
	/** Forgets all but these MACs: what is plugged in again may have other addresses. */
	keep(macs: string[]): void;
}

/**
 * Keeps what the metadata service has said. `onAnswer` gets each finished conversation's own view
 * (only what it asked about), and whether nobody was waiting for it any more.
 */
export function openCloud(
	system: System,
	urls: () => string[],
	onAnswer: (view: CloudView, isLate: boolean) => void,
): Cloud {
	let latest = nothing;
	let [started, finished, open] = [0, 0, 0];
	let current: { talk: Conversation; isPartial: boolean } | undefined;

	async function ask(question: Question, isPartial: boolean): Promise<void> {
		if (open >= maxAtOnce) return;
		open += 1;
		started += 1;
		const number = started;
		let isLate = false;
		const talk = askCloud(system, urls(), readState(system), question);
		current = { talk, isPartial };
		const done = new AbortController();
		const settled = talk.settled.then((view) => {
			open -= 1;
			done.abort();
			if (current?.talk === talk) current = undefined;
			// An older question that was answered later knows less.
			if (number < finished) return;
			finished = number;
			latest = merge(latest, view, isPartial);
			onAnswer(view, isLate);
		});
		await Promise.race([settled, system.clock.sleep(patienceMs, done.signal)]);
		isLate = true;
	}
	return {
		ask,
		keep: (macs) => {
			const enis = Object.entries(latest.enis).filter(([mac]) =>
				macs.includes(mac),
			);
			latest = { ...latest, enis: Object.fromEntries(enis) };
		},
		view: () => {
			const early = current?.talk.view();
			return early?.listed && current ? merge(latest, early, true) : latest;
		},
	};
}

// What was not asked about, or has not been answered yet, is as it was.
function merge(
	before: CloudView,
	view: CloudView,
	isPartial: boolean,
): CloudView {
	return {
		...view,
		enis: isPartial ? { ...before.enis, ...view.enis } : view.enis,
		primaryMac: view.primaryMac ?? before.primaryMac,
		primaryAddresses:
			view.primaryAddresses ??
			(isPartial ? before.primaryAddresses : undefined),
	};
}
