import { managedBy } from "../desire/managed.js";
import type { CloudView, State } from "../model.js";
import { observeLinkFiles } from "../observe/link-files.js";
import { observeLinks } from "../observe/links.js";
import {
	askCloud,
	type Conversation,
	type Question,
} from "../observe/metadata.js";
import { peekState } from "../state.js";
import type { System } from "../system.js";
import {
	nextReleases,
	openReleases,
	type Releases,
	settledIn,
} from "./releases.js";

/** Answers that take longer than that are slow, and the passes go on without them. */
export const patienceMs = 300;
/**
 * While a service does not answer, the next question is already on its way: so many at once. Silence
 * costs each of them 2 s, and there is about one a second.
 */
export const maxQuestions = 8;

// No question is open for as long as so many later ones.
const maxForgotten = 100;

const nothing: CloudView = {
	instanceId: undefined,
	primaryMac: undefined,
	listed: undefined,
	enis: {},
	primaryAddresses: undefined,
	problem: "has not been asked yet",
	requests: 0,
};

/** An answer of the metadata service, by itself. */
export interface Answer {
	/** Only what was asked about, and what no later question has answered yet. */
	view: CloudView;
	/** It is about every ENI, and nobody was waiting for it any more. */
	isLate: boolean;
}

/** What the daemon knows of the metadata service, and how it asks. */
export interface Cloud {
	/** The latest answers, as far as a conversation has got that is still going on. */
	view(): CloudView;
	/**
	 * Asks about some ENIs, or about all where `isPartial` is false. Resolves when all is answered or
	 * patience is at its end, whichever is first; every finished answer comes by onAnswer. False where
	 * too many questions are open for one more.
	 */
	ask(question: Question, isPartial: boolean): Promise<boolean>;
	/** MACs whose answer in a view has been the same for long enough to take addresses away. */
	settled(view: CloudView): string[];
	/** Forgets all ENIs but these: what is plugged in again may have other addresses. */
	keep(macs: string[]): void;
	/** Addresses that are waiting to be believed gone, by MAC. */
	releases(): Releases;
	/** Whether a question has not been answered yet. */
	isOpen(): boolean;
	/** What was wrong with the last answer; undefined where it was complete. */
	problem(): string | undefined;
	/** When the service last gave a list of ENIs, in ms since the boot. */
	answeredMs(): number | undefined;
	/** For how long every question has been left without such a list; 0 where the last one was not. */
	silentMs(): number;
}

/** Opens the daemon's view of the metadata service; nothing is asked yet. */
export function openCloud(
	system: System,
	urls: () => string[],
	onAnswer: (answer: Answer) => void,
): Cloud {
	let latest = nothing;
	let [started, open] = [0, 0];
	// The number of the question that each answer was given to: one that was asked earlier and is
	// answered later knows less.
	let listedBy = 0;
	const answeredBy = new Map<string, number>();
	// The base address that has answered last, and how many questions since then none has answered.
	let base: string | undefined;
	let missed = 0;
	let current: Conversation | undefined;
	let releases: Releases = {};
	let problem: string | undefined;
	let answeredMs: number | undefined;
	// When the first of the questions ended that have brought no list since the last one that did.
	let silentSinceMs: number | undefined;

	function note(all: CloudView, number: number, isPartial: boolean): CloudView {
		const news = Object.entries(all.enis).filter(
			([mac]) => number > (answeredBy.get(mac) ?? 0),
		);
		for (const [mac] of news) answeredBy.set(mac, number);
		const isNewest = number > listedBy;
		const machine = isNewest ? all : latest;
		const view: CloudView = {
			...machine,
			enis: Object.fromEntries(news),
			primaryMac: machine.primaryMac ?? latest.primaryMac,
			primaryAddresses:
				isNewest && !isPartial ? all.primaryAddresses : undefined,
		};
		if (isNewest) {
			listedBy = number;
			problem = problemOf(all);
			const endedMs = system.clock.nowMs();
			if (all.listed) answeredMs = endedMs;
			silentSinceMs = all.listed ? undefined : (silentSinceMs ?? endedMs);
		}
		latest = merge(latest, view, isPartial || !isNewest);
		const { recorded, extras } = configured();
		const nowMs = system.clock.nowMs();
		releases = nextReleases(releases, view, recorded, extras, nowMs);
		return view;
	}

	function configured() {
		const state = peekState(system);
		const recorded = managedBy(observeLinkFiles(system.fs), state).filter(
			({ isLeftover }) => !isLeftover,
		);
		const primary =
			state.extras &&
			observeLinks(system.fs).find(({ mac }) => mac === state.extras?.mac);
		const extras = state.extras && {
			link: primary?.name ?? state.extras.mac,
			mac: state.extras.mac,
			addresses: state.extras.addresses,
		};
		return { recorded, extras };
	}

	function view(): CloudView {
		const early = current?.view();
		return early?.listed ? merge(latest, early, true) : latest;
	}

	// The one that has answered last, or after a failure the next one, comes first.
	function basesInTurn(): string[] {
		const all = urls();
		const at = base === undefined ? -1 : all.indexOf(base);
		const first = at < 0 ? 0 : (at + missed) % all.length;
		return [...all.slice(first), ...all.slice(0, first)];
	}

	async function ask(question: Question, isPartial: boolean) {
		if (open >= maxQuestions) return false;
		open += 1;
		started += 1;
		const number = started;
		const state: State = peekState(system);
		// All bases are one service as a rule. When it comes back from silence, the questions that have waited for
		// the first base would come down on the second one beside those that are due: twice a zone's load.
		const endsAtSilence = base !== undefined;
		const bases = basesInTurn();
		const talk = askCloud(system, bases, state, question, endsAtSilence);
		current = talk;
		let isLate = false;
		const done = new AbortController();
		const settled = talk.settled.then((answer) => {
			open -= 1;
			done.abort();
			if (current === talk) current = undefined;
			const answering = talk.base();
			// Questions that were open side by side have missed the same base.
			const isNext = bases[0] === basesInTurn()[0];
			missed = answering !== undefined ? 0 : missed + (isNext ? 1 : 0);
			base = answering ?? base;
			const news = note(answer, number, isPartial);
			onAnswer({ view: news, isLate: isLate && !isPartial });
		});
		await Promise.race([settled, system.clock.sleep(patienceMs, done.signal)]);
		isLate = true;
		return true;
	}
	return {
		ask,
		view,
		settled: (seen) => settledIn(releases, seen),
		keep: (macs) => {
			const enis = Object.entries(latest.enis).filter(([mac]) =>
				macs.includes(mac),
			);
			latest = { ...latest, enis: Object.fromEntries(enis) };
			// Answers to questions that were asked before are not about what has its MAC next.
			for (const [mac, number] of answeredBy)
				if (macs.includes(mac)) continue;
				else if (number + maxForgotten < started) answeredBy.delete(mac);
				else answeredBy.set(mac, started);
		},
		releases: () => {
			const { recorded, extras } = configured();
			releases = openReleases(releases, latest, recorded, extras);
			return releases;
		},
		isOpen: () => open > 0,
		problem: () => problem,
		answeredMs: () => answeredMs,
		silentMs: () =>
			system.clock.nowMs() - (silentSinceMs ?? system.clock.nowMs()),
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
		enis: { ...before.enis, ...view.enis },
		primaryMac: view.primaryMac ?? before.primaryMac,
		primaryAddresses:
			view.primaryAddresses ??
			(isPartial ? before.primaryAddresses : undefined),
	};
}

function problemOf(view: CloudView): string | undefined {
	if (view.listed === undefined) return view.problem;
	for (const [mac, answer] of Object.entries(view.enis))
		if (answer.state === "error" || answer.state === "unsettled")
			return `${mac}: ${answer.reason}`;
	return undefined;
}
