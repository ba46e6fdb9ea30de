import type { Run } from "./agent";
import { run, runBoot } from "./agent";
import type { Loss } from "./disk";
import type { FakeHost } from "./fake-host";
import {
	describeOperation,
	type Fault,
	type FaultPlan,
	type Operation,
} from "./operations";
import { describeFiles } from "./snapshot";
import { lineDifference, type Scenario } from "./sweep";

/** Every kind of step a plan can hold, sorted: each has to be interrupted at least once. */
export const stepKinds = [
	"addr",
	"link",
	"remove",
	"route",
	"rule",
	"run",
	"sysctl",
	"write",
] as const;
export type StepKind = (typeof stepKinds)[number];

/** What a sweep over crash points found. */
export interface Crashes {
	/** How many times the agent was stopped dead. */
	points: number;
	/** Step kinds that were interrupted. */
	kinds: Set<StepKind>;
	/** A line for each crash after which the machine was neither old nor new. */
	problems: string[];
}

/** Adds up what sweeps found. */
export function createTally() {
	const kinds = new Set<StepKind>();
	let points = 0;
	return {
		/** Counts a sweep; returns its problems. */
		add: (crashes: Crashes): string[] => {
			points += crashes.points;
			for (const kind of crashes.kinds) kinds.add(kind);
			return crashes.problems;
		},
		points: () => points,
		kinds: () => [...kinds].sort(),
	};
}

interface States {
	old: string;
	wanted: string;
}

const losses: Loss[] = [
	{ bytes: "lost", entries: "lost" },
	{ bytes: "lost", entries: "kept" },
	{ bytes: "lost", entries: "some" },
	{ bytes: "kept", entries: "lost" },
	{ bytes: "kept", entries: "kept" },
];
const stateDirectory = "/var/lib/eni-configure";

/** Where a run can be ended: before each of its operations, and in the middle of each write. */
async function pointsOf({
	prepare,
	act,
	exitCode = 0,
}: Scenario): Promise<{ operation: Operation; fault: Fault }[]> {
	const host = await prepare();
	const undisturbed = await act(host);
	if (undisturbed.exitCode !== exitCode)
		throw new Error(
			`undisturbed: exit ${undisturbed.exitCode} ${undisturbed.error}`,
		);
	return host.operations
		.list()
		.flatMap((operation) => [
			{ operation, fault: { stop: true } as Fault },
			...(operation.kind === "write"
				? [{ operation, fault: { stop: true, isTorn: true } as Fault }]
				: []),
		]);
}

/** All that a run may change, as text: files, kernel, the agent's record and the users' files it keeps. */
function stateOf(host: FakeHost): string {
	return `${host.snapshot()}${host.record()}\n${describeFiles(host.disk, `${stateDirectory}/backup`)}`;
}

/** What an interrupted run must not leave once the next one has started. */
function leftovers(host: FakeHost): string[] {
	return [
		...["/etc", stateDirectory]
			.flatMap((directory) => host.disk.list(directory))
			.filter((path) => /\/\.eni-configure-|\/journal\.json$/.test(path))
			.filter((path) => path !== `${stateDirectory}/undo/journal.json`),
		...[...host.programs.open.values()].map((path) => `open: ${path}`),
	];
}

/** A start that wants nothing but recovers what is to be recovered: a NIC that is not there is removed. */
async function start(host: FakeHost): Promise<Run> {
	return run(host, "remove", "eth9");
}

function stopWhere(number: number, fault: Fault): FaultPlan {
	return (operation) => (operation.number === number ? fault : undefined);
}

/** Lets the agent die at one operation of a run; says whether it did. */
async function dieAt(
	host: FakeHost,
	number: number,
	fault: Fault,
	act: Scenario["act"],
): Promise<boolean> {
	host.operations.setFaults(stopWhere(number, fault));
	const { stop } = await act(host);
	return stop !== undefined;
}

/** The kind of the step that an operation belongs to; undefined for the agent's own bookkeeping. */
function stepKindOf({ kind, target }: Operation): StepKind | undefined {
	if (kind === "sysctl") return "sysctl";
	if (kind === "command") return "run";
	if (kind === "ip") {
		const word = target.split(" ").find((one) => !one.startsWith("-"));
		return word as StepKind;
	}
	if (!target.startsWith("/etc/")) return undefined;
	return kind === "unlink" && !target.includes("/.eni-configure-")
		? "remove"
		: "write";
}

function judge(host: FakeHost, { old, wanted }: States): string | undefined {
	const state = stateOf(host);
	const left = leftovers(host);
	if (left.length > 0) return `left behind: ${left.join(", ")}`;
	if ([old, wanted].some((one) => sorted(one) === sorted(state)))
		return undefined;
	return `neither old nor new; against the old:\n${lineDifference(old, state)}\n    against the new:\n${lineDifference(wanted, state)}`;
}

// The order of a link's further addresses, and of rules of one priority, says nothing.
function sorted(text: string): string {
	return text.split("\n").sort().join("\n");
}

/**
 * Kills the agent at every point of a run; the machine goes on. The next start leads back to the old
 * state or on to the new one, and the run repeated leads to the new one.
 */
export async function sweepKills(scenario: Scenario): Promise<Crashes> {
	const { prepare, act, exitCode = 0 } = scenario;
	const states = await statesOf(scenario, async () => {});
	const crashes: Crashes = { points: 0, kinds: new Set(), problems: [] };
	for (const { operation, fault } of await pointsOf(scenario)) {
		const host = await prepare();
		const where = `${"isTorn" in fault ? "torn " : ""}${describeOperation(operation)}`;
		if (!(await dieAt(host, operation.number, fault, act))) {
			crashes.problems.push(`${where}: was not reached`);
			continue;
		}
		count(crashes, operation);
		host.endProcess();
		await start(host);
		const problem = judge(host, states);
		if (problem) crashes.problems.push(`killed at ${where}: ${problem}`);
		// What is exactly as before goes on as before: not every one has to show it.
		if (operation.number % 5 !== 0) continue;
		const again = await act(host);
		if (again.exitCode !== exitCode)
			crashes.problems.push(
				`killed at ${where}: the next run ends with exit ${again.exitCode}: ${again.error}`,
			);
		else if (sorted(stateOf(host)) !== sorted(states.wanted))
			crashes.problems.push(
				`killed at ${where}: the next run does not get there:\n${lineDifference(states.wanted, stateOf(host))}`,
			);
	}
	return crashes;
}

/** How a machine gets back to work after a power cut. */
export interface Revival {
	boot(host: FakeHost, loss?: Loss): Promise<void>;
	/** What is done once it has booted. */
	settle(host: FakeHost): Promise<void>;
}

/** It boots with what the cut left, then somebody starts the agent. */
export const byNextStart: Revival = {
	boot: (host, loss) => host.reboot(loss),
	settle: async (host) => {
		await run(host, "configure", "", { all: true });
	},
};

/** The boot unit runs before the network service, and nobody does anything afterwards. */
export const byBootUnit: Revival = {
	boot: (host, loss) => host.reboot(loss, () => runBoot(host)),
	settle: async () => {},
};

/** The same with a power cut at every point (or every third), whatever of the unsynced bytes and names it takes, and a boot. */
export async function sweepPowerCuts(
	scenario: Scenario,
	{ boot, settle }: Revival = byNextStart,
	every = 1,
): Promise<Crashes> {
	const { prepare, act } = scenario;
	const states = await statesOf(scenario, async (host) => {
		await boot(host);
		await settle(host);
	});
	const crashes: Crashes = { points: 0, kinds: new Set(), problems: [] };
	const points = (await pointsOf(scenario)).filter(
		(_, at) => at % every === every - 1,
	);
	for (const { operation, fault } of points) {
		const first = await prepare();
		await dieAt(first, operation.number, fault, act);
		// Mostly little is unsynced, and several ways to lose it come to the same.
		const different = losses.filter((loss, at) => {
			const survivors = first.disk.survivors(loss);
			return !losses
				.slice(0, at)
				.some((other) => first.disk.survivors(other) === survivors);
		});
		for (const loss of different) {
			const host = loss === different[0] ? first : await prepare();
			if (host !== first) await dieAt(host, operation.number, fault, act);
			count(crashes, operation);
			await boot(host, loss);
			await settle(host);
			const problem = judge(host, states);
			if (problem)
				crashes.problems.push(
					`power cut at ${"isTorn" in fault ? "torn " : ""}${describeOperation(operation)}, bytes ${loss.bytes}, entries ${loss.entries}: ${problem}`,
				);
		}
	}
	// What was reported as done is done for good.
	for (const loss of losses) {
		const host = await prepare();
		await act(host);
		await boot(host, loss);
		crashes.points += 1;
		const undo = host.read(`${stateDirectory}/undo/journal.json`);
		await settle(host);
		const problem = judge(host, { old: states.wanted, wanted: states.wanted });
		const what = `power cut after the end, bytes ${loss.bytes}, entries ${loss.entries}`;
		if (problem) crashes.problems.push(`${what}: ${problem}`);
		if (!undo?.content)
			crashes.problems.push(`${what}: the record for rollback is gone`);
	}
	return crashes;
}

/** Kills the agent at a point of a run, then the next start at every point of its recovery. */
export async function sweepKillsInRecovery(
	scenario: Scenario,
	every: number,
): Promise<Crashes> {
	const { prepare, act } = scenario;
	const states = await statesOf(scenario, async () => {});
	const crashes: Crashes = { points: 0, kinds: new Set(), problems: [] };
	const points = (await pointsOf(scenario)).filter(
		(_, at) => at % every === every - 1,
	);
	for (const { operation, fault } of points) {
		const dead = async () => {
			const host = await prepare();
			await dieAt(host, operation.number, fault, act);
			host.endProcess();
			return host;
		};
		const recoveries = await pointsOf({
			prepare: dead,
			act: async (host) => ({ ...(await start(host)), exitCode: 0 }),
		});
		for (const second of recoveries) {
			const host = await dead();
			await dieAt(host, second.operation.number, second.fault, start);
			count(crashes, second.operation);
			host.endProcess();
			await start(host);
			const problem = judge(host, states);
			if (problem)
				crashes.problems.push(
					`killed at ${describeOperation(operation)}, then in the recovery at ${describeOperation(second.operation)}: ${problem}`,
				);
		}
	}
	return crashes;
}

async function statesOf(
	{ prepare, act }: Scenario,
	after: (host: FakeHost) => Promise<void>,
): Promise<States> {
	const before = await prepare();
	await after(before);
	const done = await prepare();
	await act(done);
	await after(done);
	return { old: stateOf(before), wanted: stateOf(done) };
}

function count(crashes: Crashes, operation: Operation): void {
	crashes.points += 1;
	const kind = stepKindOf(operation);
	if (kind) crashes.kinds.add(kind);
}
