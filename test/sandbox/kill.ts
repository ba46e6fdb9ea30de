import type { Sandbox } from "./sandbox";
import type { AgentReport } from "./scenario";

/** One change that the agent makes, from one settled state of the machine to the next. */
export interface Change {
	name: string;
	/** What the cloud and the admin do before it. */
	prepare(sandbox: Sandbox): Promise<unknown>;
	args: string[];
}

/** What a walk through kills came to. */
export interface Tally {
	/** SIGKILLs that ended a running agent. */
	hits: number;
	/** How many of them left a journal, and the next start recovered it. */
	recoveries: number;
	/** How many of them hit a start that was recovering. */
	hitsInRecovery: number;
	/** Changes that a kill left in the old state, and in the new one. */
	endedOld: number;
	endedNew: number;
	/** Why the walk was ended early: a state that is neither old nor new, or something left behind. */
	problem: string | undefined;
	/** Settled states, each as text. */
	states: string[];
}

interface Known extends Change {
	old: string;
	wanted: string;
	/** Milliseconds that it takes undisturbed. */
	lengthMs: number;
	/** Milliseconds of them before its journal is on disk. */
	journalMs: number;
}

/** When to kill: so long after the start, or after the journal came to be on disk. */
interface Moment {
	after: "start" | "journal";
	ms: number;
}

const state = "/var/lib/eni-configure";
const journal = `${state}/journal.json`;
const killsPerChange = 8;
const recovering = ["remove", "eth9"];

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
	let at = seed;
	return () => {
		at = (at + 0x6d2b79f5) | 0;
		let word = Math.imul(at ^ (at >>> 15), 1 | at);
		word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
		return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
	};
}

/**
 * Makes the changes in turn, undisturbed in a first lap that measures them, then again and again
 * while the agent is killed at random moments, until `wantedHits` kills have hit. The changes lead
 * round: the last one's state, prepared for the first one, is where the first one starts.
 */
export async function walk(
	sandbox: Sandbox,
	changes: Change[],
	wantedHits: number,
	random: () => number,
): Promise<Tally> {
	const tally: Tally = {
		hits: 0,
		recoveries: 0,
		hitsInRecovery: 0,
		endedOld: 0,
		endedNew: 0,
		problem: undefined,
		states: [],
	};
	const idle = await remains(sandbox);
	const known: Known[] = [];
	for (const change of changes) known.push(await measure(sandbox, change));
	tally.states = known.flatMap(({ old, wanted }) => [old, wanted]);
	let recoveryMs = Math.max(...known.map(({ lengthMs }) => lengthMs));
	for (let at = 0; tally.hits < wantedHits && !tally.problem; at += 1) {
		tally.problem = await disturb(known[at % known.length] as Known);
	}
	return tally;

	// Spread over the whole run; half of them over the part in which there is something to be lost.
	function momentIn({ lengthMs, journalMs }: Known): Moment {
		const isAnywhere = random() < 0.5;
		const ms = random() * (isAnywhere ? lengthMs : lengthMs - journalMs);
		return { after: isAnywhere ? "start" : "journal", ms };
	}

	async function disturb(change: Known): Promise<string | undefined> {
		await change.prepare(sandbox);
		const start = await stateOf(sandbox);
		if (start !== change.old)
			return `before ${change.name}: not the state of the first lap\n${difference(change.old, start)}`;
		for (let attempt = 0; attempt < killsPerChange; attempt += 1) {
			const moment = momentIn(change);
			const where = `${change.name}, killed ${Math.round(moment.ms)} ms after its ${moment.after} (the journal comes after ${change.journalMs} of ${change.lengthMs} ms)`;
			const isHit = await kill(sandbox, change.args, moment);
			if (isHit) tally.hits += 1;
			const hadJournal = await sandbox.exists(journal);
			if (hadJournal && random() < 0.3) {
				const isAnother = await kill(sandbox, recovering, {
					after: "start",
					ms: random() * recoveryMs,
				});
				if (isAnother) tally.hits += 1;
				if (isAnother) tally.hitsInRecovery += 1;
			}
			const isLeft = await sandbox.exists(journal);
			const isRepeated = random() < 0.2;
			const args = isRepeated ? change.args : recovering;
			const began = Date.now();
			const report = await run(sandbox, args, isRepeated ? 0 : 2);
			if (isLeft && !isRepeated) recoveryMs = Date.now() - began;
			if (typeof report === "string") return `${where}: ${report}`;
			if (report.recovered !== isLeft)
				return `${where}: journal left: ${isLeft}, said to be recovered: ${report.recovered}`;
			if (hadJournal) tally.recoveries += 1;
			const left = await leftovers(sandbox, idle);
			if (left) return `${where}: left behind: ${left}`;
			const now = await stateOf(sandbox);
			// A `rollback` that finds an interrupted one undoes that, and stops there.
			const isOldFine =
				!isRepeated || (change.args[0] === "rollback" && report.recovered);
			if (now !== change.wanted && !(isOldFine && now === change.old))
				return `${where}${isRepeated ? ", then run again" : ""}: neither old nor new\n  against the old:\n${difference(change.old, now)}\n  against the new:\n${difference(change.wanted, now)}`;
			if (now === change.wanted) {
				if (isHit) tally.endedNew += 1;
				return undefined;
			}
			if (isHit) tally.endedOld += 1;
		}
		const report = await run(sandbox, change.args, 0);
		if (typeof report === "string") return `${change.name}: ${report}`;
		const now = await stateOf(sandbox);
		return now === change.wanted
			? undefined
			: `${change.name} after ${killsPerChange} kills:\n${difference(change.wanted, now)}`;
	}
}

async function measure(sandbox: Sandbox, change: Change): Promise<Known> {
	await change.prepare(sandbox);
	const old = await stateOf(sandbox);
	const start = Date.now();
	const child = sandbox.spawnAgent(change.args);
	await untilJournal(sandbox, child);
	const journalMs = Date.now() - start;
	const { exitCode, stderr } = await child;
	const lengthMs = Date.now() - start;
	if (exitCode !== 0) throw new Error(`${change.name}: ${stderr}`);
	return {
		...change,
		old,
		wanted: await stateOf(sandbox),
		lengthMs,
		journalMs,
	};
}

type Agent = ReturnType<Sandbox["spawnAgent"]>;

/** Waits until an agent's journal is on disk, or the agent has ended. */
async function untilJournal(sandbox: Sandbox, child: Agent): Promise<void> {
	while (child.exitCode === null && child.signalCode === null) {
		if (await sandbox.exists(journal)) return;
		await sleep(2);
	}
}

/** Starts the agent and kills it at a moment; false when it had ended by then. */
async function kill(
	sandbox: Sandbox,
	args: string[],
	{ after, ms }: Moment,
): Promise<boolean> {
	const child = sandbox.spawnAgent(args);
	if (after === "journal") await untilJournal(sandbox, child);
	const timer = setTimeout(() => child.kill("SIGKILL"), ms);
	const { signal } = await child;
	clearTimeout(timer);
	return signal === "SIGKILL";
}

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

async function run(
	sandbox: Sandbox,
	args: string[],
	exitCode: number,
): Promise<AgentReport | string> {
	const result = await sandbox.agent([...args, "--json"]);
	if (result.exitCode === exitCode) return result.json();
	return `\`${args.join(" ")}\` ends with exit ${result.exitCode}: ${result.stderr}`;
}

/** All that a run may change, as text; what has no order in the kernel is sorted. */
async function stateOf(sandbox: Sandbox): Promise<string> {
	const text = await sandbox.snapshot(`${state}/state.json`, `${state}/backup`);
	const [head = "", rules = "", tail = ""] = text.split(
		/^== rules\n|^== routes\n/m,
	);
	const sorted = rules.split("\n").sort().join("\n");
	return `${head}== rules${sorted}\n== routes\n${tail}`;
}

// What no run may leave: temporary files, a journal, files set aside, a rule twice; then processes.
// These without a pipeline, whose own processes are sometimes there to be seen and sometimes not.
const look = `find /etc /var/lib -name '.eni-configure-*' -o -name '*.damaged-*' -o -path ${journal}
	ip rule | sort | uniq -d
	for process in /proc/[0-9]*; do
		[[ $process == /proc/$$ || ! $process/ns/mnt -ef /proc/$$/ns/mnt ]] && continue
		mapfile -d '' words <$process/cmdline && echo "\${words[@]}"
	done 2>/dev/null`;

/** What lies and runs in the guest besides its state; that of an idle one is what may be there. */
async function remains(sandbox: Sandbox): Promise<string> {
	const { stdout } = await sandbox.guest(["bash", "-c", look]);
	return stdout.split("\n").sort().join("\n");
}

/** What a run has left; a look at the kernel that a killed agent asked for may take its time to end. */
async function leftovers(sandbox: Sandbox, idle: string): Promise<string> {
	let now = await remains(sandbox);
	for (let again = 0; again < 40 && now !== idle; again += 1) {
		await sleep(50);
		now = await remains(sandbox);
	}
	return now === idle ? "" : difference(idle, now);
}

function difference(wanted: string, got: string): string {
	const [before, after] = [wanted.split("\n"), got.split("\n")];
	return [
		...before
			.filter((line) => !after.includes(line))
			.map((line) => `    - ${line}`),
		...after
			.filter((line) => !before.includes(line))
			.map((line) => `    + ${line}`),
	].join("\n");
}
