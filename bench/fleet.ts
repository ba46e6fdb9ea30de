// A fleet of daemons on paper: when each of them asks the metadata service, by the agent's own jitter and back-off. No
// I/O; the same seed gives the same figures. test/host/fleet.test.ts holds one guest of it against the real daemon.
import { maxQuestions, patienceMs } from "../src/daemon/cloud";
import { askAgainMs, firstResyncMs, resyncMs } from "../src/daemon/retry";
import { createTimers } from "../src/daemon/timers";
import { calmMs } from "../src/daemon/triggers";
import { defaultMetadataUrls } from "../src/observe/metadata";
import { requestLimits } from "../src/observe/metadata-limits";
import { lineChart } from "./chart";

/** How the metadata service answers: not at all (the connection is refused), or by silence until the client gives up. */
export type Trouble = "refused" | "silent";

export interface Outage {
	trouble: Trouble;
	fromMs: number;
	toMs: number;
}

export interface GuestOptions {
	/** Secondary ENIs, all of them configured. */
	enis: number;
	resyncSeconds: number;
	startMs: number;
	endMs: number;
	outage?: Outage | undefined;
	/** One more NIC appears at each of these times, and metadata list it at once. */
	plugsMs?: readonly number[];
	/** What an answer takes. */
	latencyMs: number;
	/** The daemon's source of randomness: numbers from 0 to 1. */
	random: () => number;
}

const { timeoutMs } = requestLimits;
const bases = defaultMetadataUrls.length;

/** A question that has not been answered or given up yet. */
interface Open {
	number: number;
	endMs: number;
	/** The service gives a list of ENIs. */
	isListed: boolean;
}

interface Question {
	/** All NICs, and the primary's addresses; else only those that wait. */
	isFull: boolean;
	/** ENIs that are known, one request each. */
	known: number;
	/** ENIs whose gateway and mask are not known, four requests each. */
	fresh: number;
}

/**
 * One guest with its daemon, from its start to `endMs`: calls `request` with the time of every request that it sends, those
 * that fail included, roughly in order. Its machine is known to it from before: it was started again.
 */
export function simulateGuest(
	options: GuestOptions,
	request: (atMs: number) => void,
): void {
	const { enis, startMs, endMs, outage, latencyMs, random } = options;
	const timers = createTimers();
	const plugs = [...(options.plugsMs ?? [])].sort((a, b) => a - b);
	let configured = enis;
	let waiting = 0;
	let [waitingSinceMs, asked] = [0, 0];
	// When the first question about those that wait is answered.
	let readyMs = Number.POSITIVE_INFINITY;
	let open: Open[] = [];
	let [started, listedBy] = [0, 0];
	let silentSinceMs: number | undefined;
	let hasAnswered = false;
	// Until then the daemon waits for an answer, before a pass.
	let busyMs = startMs;

	function troubleAt(atMs: number): Trouble | undefined {
		return outage && atMs >= outage.fromMs && atMs < outage.toMs
			? outage.trouble
			: undefined;
	}

	// Reads side by side, which have one fate: whether they were answered, and when. One base after the other until one answers.
	function readAll(
		atMs: number,
		count: number,
		left: number,
	): { isOk: boolean; endMs: number } {
		if (count === 0) return { isOk: true, endMs: atMs };
		for (let at = 0; at < count; at += 1) request(atMs);
		const trouble = troubleAt(atMs);
		if (!trouble) return { isOk: true, endMs: atMs + latencyMs };
		const lostMs = atMs + (trouble === "silent" ? timeoutMs : latencyMs);
		// A daemon that has been answered before waits for one base only.
		const isLast = left === 1 || (hasAnswered && trouble === "silent");
		return isLast
			? { isOk: false, endMs: lostMs }
			: readAll(lostMs, count, left - 1);
	}

	// instance-id and the list of MACs first, then all ENIs side by side.
	function converse(atMs: number, { isFull, known, fresh }: Question) {
		const listing = readAll(atMs, 2, bases);
		if (!listing.isOk) return { ...listing, isListed: false };
		const count = (isFull ? 1 : 0) + known + fresh * 2;
		const lists = readAll(listing.endMs, count, 1);
		const rest =
			fresh > 0 && lists.isOk ? readAll(lists.endMs, fresh * 2, 1) : lists;
		return { ...rest, isListed: true };
	}

	// Takes in what has been answered or given up by now.
	function close(atMs: number): void {
		const ended = open.filter(({ endMs }) => endMs <= atMs);
		if (ended.length === 0) return;
		open = open.filter(({ endMs }) => endMs > atMs);
		ended.sort((a, b) => a.endMs - b.endMs);
		for (const { number, endMs, isListed } of ended) {
			hasAnswered ||= isListed;
			// One that was asked earlier and ends later says nothing new.
			if (number < listedBy) continue;
			listedBy = number;
			silentSinceMs = isListed ? undefined : (silentSinceMs ?? endMs);
		}
	}

	function untilAskMs(atMs: number, attempt: number, waitedMs: number) {
		close(atMs);
		const silentMs = atMs - (silentSinceMs ?? atMs);
		return askAgainMs(attempt, waitedMs, silentMs, random());
	}

	function ask(atMs: number, isFull: boolean): void {
		close(atMs);
		if (open.length >= maxQuestions) return;
		started += 1;
		const known = isFull ? configured : 0;
		const question = { isFull, known, fresh: waiting };
		const { isOk, endMs, isListed } = converse(atMs, question);
		open.push({ number: started, endMs, isListed });
		const answeredMs = isOk ? endMs : Number.POSITIVE_INFINITY;
		if (waiting > 0) readyMs = Math.min(readyMs, answeredMs);
		// A pass follows when all is answered, or patience is at its end.
		if (isFull) busyMs = Math.min(endMs, atMs + patienceMs);
	}

	function plug(atMs: number): void {
		waiting += 1;
		ask(atMs, true);
		// Other lines may follow about the same NIC.
		busyMs = Math.max(busyMs, atMs + calmMs);
		if (readyMs <= busyMs) return;
		[waitingSinceMs, asked] = [busyMs, 1];
		timers.set("ask", busyMs + untilAskMs(busyMs, 0, 0));
	}

	function takeReady(): void {
		// The daemon sets this timer whenever other NICs wait than before, and finds nothing to ask about.
		if (timers.at("ask") < Number.POSITIVE_INFINITY)
			timers.set("ask", readyMs + untilAskMs(readyMs, 0, 0));
		configured += waiting;
		waiting = 0;
		readyMs = Number.POSITIVE_INFINITY;
	}

	function takeTimers(atMs: number): void {
		const due = timers.take(atMs);
		if (due.includes("resync")) {
			timers.set("resync", atMs + resyncMs(options, random()));
			ask(atMs, true);
		}
		if (due.includes("ask") && waiting > 0) {
			const waitedMs = atMs - waitingSinceMs;
			timers.set("ask", atMs + untilAskMs(atMs, asked, waitedMs));
			asked += 1;
			ask(atMs, false);
		}
	}

	timers.set("resync", startMs + firstResyncMs(options, random()));
	ask(startMs, true);
	for (;;) {
		const plugMs = plugs[0] ?? Number.POSITIVE_INFINITY;
		const dueMs = Math.min(timers.nextMs(), plugMs, readyMs);
		const nowMs = Math.max(dueMs, busyMs);
		if (nowMs >= endMs) return;
		if (dueMs === readyMs) takeReady();
		else if (dueMs === plugMs) {
			plugs.shift();
			plug(nowMs);
		} else takeTimers(nowMs);
	}
}

export interface FleetOptions {
	guests: number;
	/** Secondary ENIs of each guest. */
	enis: number;
	resyncSeconds: number;
	/** Guests start at any time within so long; 0 for all at once. */
	startSpreadMs: number;
	/** Hot-plugs that each guest has in a day, at any time. */
	plugsPerDay: number;
	/** Guests of one hypervisor, which is the service for these alone. */
	guestsPerHost: number;
	latencyMs: number;
	outage: Outage;
	durationMs: number;
	seed: number;
}

/** The highest second, and how much more that is than the mean. */
export interface Peak {
	/** Requests in that second. */
	requests: number;
	/** Seconds since the beginning. */
	atSecond: number;
	/** Requests in that second over the mean. */
	ratio: number;
}

export interface Fleet {
	/** Requests of all guests in each second, those that fail included. */
	perSecond: Uint32Array;
	/** Requests per second while all is well: before the outage, after the start. */
	mean: number;
	/** The same for the time of the outage. */
	outageMean: number;
	/** The looks at the start, where all of them come at once. */
	start: Peak;
	/** After the start and before the outage. */
	steady: Peak;
	outage: Peak;
	/** From the service's return on. */
	after: Peak;
	/** Most requests in one second that the guests of any one hypervisor sent after the start. */
	hostPeak: number;
}

/**
 * The 10,000 guests of the budget: 60 s between looks, a start within five minutes, ten minutes without the service, and one
 * hot-plug for each guest and day.
 */
export const zone: FleetOptions = {
	guests: 10_000,
	enis: 2,
	resyncSeconds: 60,
	startSpreadMs: 5 * 60_000,
	plugsPerDay: 1,
	guestsPerHost: 20,
	latencyMs: 2,
	outage: { trouble: "refused", fromMs: 10 * 60_000, toMs: 20 * 60_000 },
	durationMs: 30 * 60_000,
	seed: 1,
};

// The looks at the start are the guests' own boots; from then on the daemons' jitter has to do.
const startedMs = 5000;

/**
 * Lets the whole fleet run. Where all guests share one service its load is `perSecond`; where each hypervisor answers its
 * own guests, `hostPeak` is the most that one of them gets.
 */
export function simulateFleet(options: FleetOptions): Fleet {
	const { guests, outage, durationMs, guestsPerHost, startSpreadMs } = options;
	const seconds = Math.ceil(durationMs / 1000);
	const perSecond = new Uint32Array(seconds);
	const onHost = new Uint16Array(seconds);
	const settled = Math.ceil((startSpreadMs + startedMs) / 1000);
	let hostPeak = 0;
	for (let guest = 0; guest < guests; guest += 1) {
		const random = randomNumbers(options.seed * 1_000_003 + guest);
		const startMs = random() * startSpreadMs;
		simulateGuest(
			{
				...options,
				startMs,
				endMs: durationMs,
				plugsMs: plugTimes(options, startMs, random),
				random,
			},
			(atMs) => {
				const second = Math.floor(atMs / 1000);
				// What is under way at the end.
				if (second >= seconds) return;
				perSecond[second] = (perSecond[second] ?? 0) + 1;
				onHost[second] = (onHost[second] ?? 0) + 1;
			},
		);
		if ((guest + 1) % guestsPerHost !== 0 && guest + 1 < guests) continue;
		for (let at = settled; at < seconds; at += 1)
			hostPeak = Math.max(hostPeak, onHost[at] ?? 0);
		onHost.fill(0);
	}
	const from = outage.fromMs / 1000;
	const to = outage.toMs / 1000;
	const mean = meanOf(perSecond.subarray(settled, from));
	const peakIn = (first: number, end: number) =>
		peakOf(perSecond, first, end, mean);
	return {
		perSecond,
		mean,
		outageMean: meanOf(perSecond.subarray(from, to)),
		start: peakIn(0, settled),
		steady: peakIn(settled, from),
		outage: peakIn(from, to),
		after: peakIn(to, seconds),
		hostPeak,
	};
}

function meanOf(counts: Uint32Array): number {
	return counts.reduce((sum, count) => sum + count, 0) / counts.length;
}

function peakOf(
	perSecond: Uint32Array,
	first: number,
	end: number,
	mean: number,
): Peak {
	let atSecond = first;
	for (let at = first; at < end; at += 1)
		if ((perSecond[at] ?? 0) > (perSecond[atSecond] ?? 0)) atSecond = at;
	const requests = perSecond[atSecond] ?? 0;
	return { requests, atSecond, ratio: requests / mean };
}

const dayMs = 86_400_000;

// At any time, one as likely as another.
function plugTimes(
	{ plugsPerDay, durationMs }: FleetOptions,
	startMs: number,
	random: () => number,
): number[] {
	const times: number[] = [];
	for (let atMs = startMs; plugsPerDay > 0; ) {
		atMs -= (Math.log(1 - random()) * dayMs) / plugsPerDay;
		if (atMs >= durationMs) break;
		times.push(atMs);
	}
	return times;
}

/** Numbers from 0 to 1 that look random and are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let bits = Math.imul(state ^ (state >>> 15), state | 1);
		bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
		return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
	};
}

/** One row of the benchmark's table. */
export interface FleetRow {
	name: string;
	against: string;
	value: number;
	budget: number;
	unit: string;
	detail: string;
}

const budget = 1.5;

/** The four zones of the budget: started together or not, and both kinds of outage. */
export function simulateZones(): Record<
	"spread" | "together",
	Record<Trouble, Fleet>
> {
	const run = (startSpreadMs: number, trouble: Trouble) =>
		simulateFleet({
			...zone,
			startSpreadMs,
			outage: { ...zone.outage, trouble },
		});
	const both = (startSpreadMs: number) => ({
		refused: run(startSpreadMs, "refused"),
		silent: run(startSpreadMs, "silent"),
	});
	return { spread: both(zone.startSpreadMs), together: both(0) };
}

/**
 * The highest second of all four zones over the mean, for the benchmark's table. The mean is that of the time before the
 * outage; in it, in the outage and after it every second counts, and so does every attempt that is refused or not answered.
 * Left out are the looks at the start of the guests themselves, in which each of them asks once.
 */
export function fleetRow(zones = simulateZones()): FleetRow {
	const { spread, together } = zones;
	const all = [...Object.values(spread), ...Object.values(together)];
	const worst = (when: "steady" | "outage" | "after") =>
		Math.max(...all.map((fleet) => fleet[when].ratio));
	const [steady, outage, after] = (["steady", "outage", "after"] as const).map(
		worst,
	) as [number, number, number];
	const hostPeak = Math.max(...all.map((fleet) => fleet.hostPeak));
	const { mean } = spread.refused;
	return {
		name: `metadata requests of ${count(zone.guests)} guests on paper, highest second`,
		against: `the mean, ${count(mean)} a second`,
		value: round(Math.max(steady, outage, after)),
		budget,
		unit: "x",
		detail: `${round(steady)}x before, ${round(outage)}x in and ${round(after)}x after an outage of ${(zone.outage.toMs - zone.outage.fromMs) / 60_000} minutes (refused and silent, started together and not); one hypervisor's ${zone.guestsPerHost} guests: at most ${hostPeak} in a second; all started in one second: ${count(together.refused.start.requests)} in it`,
	};
}

/** docs/fleet.svg: requests per second over time, of zones that are started together and not, with both kinds of outage. */
export function drawFleet(zones = simulateZones()): string {
	const { spread, together } = zones;
	const { mean } = spread.refused;
	const minutes = (ms: number) => ms / 60_000;
	const [from, to] = [minutes(zone.outage.fromMs), minutes(zone.outage.toMs)];
	const flat = (y: number): [number, number][] => [
		[0, y],
		[minutes(zone.durationMs), y],
	];
	const start = Math.ceil((zone.startSpreadMs + startedMs) / 1000);
	return lineChart({
		title: `${count(zone.guests)} guests ask the metadata service of a zone`,
		subtitle: `A simulation with the agent's own jitter and back-off: ${zone.resyncSeconds} s between looks, ${zone.enis} ENIs each, highest second of each five`,
		xLabel: "minutes since the start",
		yLabel: "requests per second",
		series: [
			{
				name: "connection refused",
				points: highest(spread.refused.perSecond, start),
			},
			{ name: "no answer", points: highest(spread.silent.perSecond, start) },
			{
				name: "all started in one second",
				points: highest(together.silent.perSecond, startedMs / 1000),
			},
			{ name: `${budget} x the mean`, points: flat(mean * budget) },
		],
		marks: [
			{ x: from, text: "the service is gone" },
			{ x: to, text: "it is back" },
		],
	});
}

const drawnSeconds = 5;

// From a second on, as minutes and requests.
function highest(perSecond: Uint32Array, from: number): [number, number][] {
	const first = Math.ceil(from / drawnSeconds) * drawnSeconds;
	const points: [number, number][] = [];
	for (let at = first; at < perSecond.length; at += drawnSeconds) {
		const some = perSecond.subarray(at, at + drawnSeconds);
		points.push([at / 60, Math.max(...some)]);
	}
	return points;
}

function round(ratio: number): number {
	return Math.round(ratio * 100) / 100;
}

function count(value: number): string {
	return Math.round(value).toLocaleString("en-US");
}
