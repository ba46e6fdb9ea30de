import type { Sandbox } from "../../test/sandbox/sandbox";
import { createSandbox } from "../../test/sandbox/sandbox";
import { type Daemon, startDaemon } from "../daemon";
import { manyEnis } from "../eni";
import { type Say, sleep } from "../measure";
import type { Node, Nodes } from "../node";
import { rssOf, type Used, usedBy } from "../processes";
import { type Part, ratioRow } from "../row";
import { spreadOf } from "../statistics";

const runs = 2;
// V8 looks every 8 s whether to collect garbage, and does so once or twice some 10 to 70 s after the last activity.
const quietMs = 10_000;
const comeToRestMs = 240_000;
const restMs = 45_000;
const sampleMs = 1000;
const lookMs = 3000;
const cpuLimitPercent = 0.02;

/** A daemon with nothing to do, and a Node with a timer that is never due, in the same guest. */
interface Pair {
	node: Node;
	sandbox: Sandbox;
	daemon: Daemon;
	/** The pid of the other. */
	bare: number;
}

interface Rest {
	/** Resident memory in KiB: the median over the time at rest. */
	rssKib: number;
	bareRssKib: number;
	/** The same before V8 has collected its garbage. */
	rssBeforeKib: number;
	used: Used;
	/** Processor time in ms that V8 takes to come to rest after the last activity. */
	collectMs: number;
	/** Processor time of one look at an unchanged guest in ms, of its children too, without that. */
	lookMs: number;
}

/**
 * Memory, processes, wake-ups and processor time of a daemon between two looks. It takes some minutes, in which next to
 * nothing happens: `others` is called then and measures everything else, and only when that is done its daemons have work
 * again.
 */
export async function rest(
	{ own, el7 }: Nodes,
	say: Say,
	others: () => Promise<unknown>,
): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	const opened: Sandbox[] = [];
	try {
		const pairs: Pair[] = [];
		for (const node of [own, el7])
			for (let run = 0; run < runs; run += 1)
				pairs.push(await openPair(node, opened));
		say(
			`rest: ${runs} daemons of each Node, with a minute or more until V8 rests, too`,
		);
		const done = others();
		const [rests] = await Promise.all([
			Promise.all(pairs.map((pair) => atRest(pair, done))),
			done,
		]);
		for (const node of [own, el7]) {
			const those = rests.filter((_, at) => pairs[at]?.node === node);
			part.rows.push(...rowsOf(node, those));
			part.raw[`rest on ${node.name}`] = those;
			const median = (numberOf: (one: Rest) => number) =>
				spreadOf(those.map(numberOf)).median;
			const look = median((one) => one.lookMs);
			const collect = median((one) => one.collectMs);
			part.notes.push(
				`Rest on ${node.name}: a look at the unchanged guest takes about ${look.toFixed(0)} ms of processor time, its processes included (by SIGHUP, which also reads the config), and V8 after it up to ${collect.toFixed(0)} ms for its garbage: together ${((look + collect) / 600).toFixed(2)} % of a core with one look a minute. Before that collection the daemon has ${(median((one) => one.rssBeforeKib) / 1024).toFixed(1)} MiB.`,
			);
		}
	} finally {
		await Promise.all(opened.map((sandbox) => sandbox.close()));
	}
	part.notes.unshift(
		`Rest: the daemon as its unit starts it, with two ENIs of three addresses, which it has configured; both processes are in the same guest and are looked at in turn, once a second for ${restMs / 1000} s. \`resyncSeconds\` is 3600, so that no look falls into that time, and it begins when no thread of the daemon has woken for ${quietMs / 1000} s: the metadata service has closed the kept-alive connections, and V8, which wakes every 8 s until then, has collected its garbage, which takes up to 70 s; with a look every 60 s that is under way most of the time. Wake-ups are of all threads; processor time is the scheduler's count in nanoseconds. The daemon's \`ip monitor\`, a process of its own, is not in these figures.`,
	);
	return part;
}

async function openPair(node: Node, opened: Sandbox[]): Promise<Pair> {
	const sandbox = await createSandbox({ enis: manyEnis(2, 3) });
	opened.push(sandbox);
	const config = "/etc/eni-configure/config.yaml";
	await sandbox.write(config, "resyncSeconds: 3600\n", 0o644);
	const bare = sandbox.spawn([node.path, "-e", "setInterval(() => {}, 1e9)"]);
	const daemon = await startDaemon(sandbox, node);
	await daemon.line(/eth2: configured/);
	await sandbox.metadata.dropConnections();
	await sleep(lookMs);
	return { node, sandbox, daemon, bare: bare.pid as number };
}

async function atRest(
	{ sandbox, daemon, bare }: Pair,
	others: Promise<unknown>,
): Promise<Rest> {
	const rssBeforeKib = rssOf(daemon.pid);
	const collectMs = await comeToRest(daemon);
	await sandbox.metadata.clearRequests();
	const lines = daemon.lines();
	const [ours, theirs]: [number[], number[]] = [[], []];
	const before = usedBy(daemon.pid);
	for (let at = 0; at < restMs; at += sampleMs) {
		ours.push(rssOf(daemon.pid));
		theirs.push(rssOf(bare));
		await sleep(sampleMs);
	}
	const used = difference(usedBy(daemon.pid), before);
	const requests = await sandbox.metadata.requests();
	if (requests.length > 0 || daemon.lines() > lines)
		throw new Error("the daemon was not at rest: it asked, or said something");
	await others;
	return {
		rssKib: spreadOf(ours).median,
		bareRssKib: spreadOf(theirs).median,
		rssBeforeKib,
		used,
		collectMs,
		lookMs: await costOfLook(daemon),
	};
}

// The processor time in ms that it took.
async function comeToRest({ pid }: Daemon): Promise<number> {
	const start = usedBy(pid);
	let last = start;
	let quietForMs = 0;
	for (let atMs = 0; quietForMs < quietMs; atMs += sampleMs) {
		if (atMs > comeToRestMs)
			throw new Error(`the daemon does not come to rest in ${atMs} ms`);
		await sleep(sampleMs);
		const now = usedBy(pid);
		quietForMs = now.sleeps === last.sleeps ? quietForMs + sampleMs : 0;
		last = now;
	}
	return difference(last, start).cpuNs / 1e6;
}

async function costOfLook(daemon: Daemon): Promise<number> {
	const before = usedBy(daemon.pid);
	daemon.lookNow();
	await sleep(lookMs);
	const { cpuNs, childrenMs } = difference(usedBy(daemon.pid), before);
	return cpuNs / 1e6 + childrenMs;
}

function difference(after: Used, before: Used): Used {
	return {
		cpuNs: after.cpuNs - before.cpuNs,
		sleeps: after.sleeps - before.sleeps,
		childrenMs: after.childrenMs - before.childrenMs,
		childFaults: after.childFaults - before.childFaults,
	};
}

function rowsOf(node: Node, rests: readonly Rest[]) {
	const words = { what: "daemon at rest", node: node.version };
	const label = (what: string) => `at rest on ${node.name}, ${what}`;
	const worst = (numberOf: (rest: Rest) => number) =>
		Math.max(...rests.map(numberOf));
	const percent = worst(({ used }) => (used.cpuNs / 1e6 / restMs) * 100);
	const started = worst(({ used }) => used.childFaults);
	const sleeps = worst(({ used }) => used.sleeps);
	const counted = { ...words, what: `daemon at rest for ${restMs / 1000} s` };
	return [
		ratioRow(
			{
				...words,
				what: "daemon at rest, resident memory",
				against: "bare Node holding a timer",
				label: label("memory"),
			},
			{
				ours: rests.map(({ rssKib }) => rssKib),
				theirs: rests.map(({ bareRssKib }) => bareRssKib),
			},
			1.35,
			(kib) => `${(kib / 1024).toFixed(1)} MiB`,
		),
		{
			...counted,
			against: "count",
			label: label("wake-ups"),
			measured: "counted",
			result: `${started > 0 ? "some" : "0"} processes, ${sleeps} wake-ups`,
			budget: "none",
			value: started + sleeps,
			limit: 0,
			runs: `${runs}`,
		},
		{
			...counted,
			against: "count",
			label: label("processor"),
			measured: "scheduler's count",
			result: `${percent.toFixed(4)} %`,
			budget: `under ${cpuLimitPercent} % of a core`,
			value: percent,
			limit: cpuLimitPercent,
			runs: `${runs}`,
		},
	];
}
