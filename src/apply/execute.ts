import { AgentError } from "../errors.js";
import type { Backup, Finding, RunStep, Step } from "../model.js";
import { sysctlPath } from "../observe/kernel.js";
import { type BatchStep, batchLine, unfitWord } from "../plan/ip-batch.js";
import { quote } from "../quote.js";
import type { System } from "../system.js";
import { syncNames, type Unsynced } from "./atomic.js";
import { removeFileStep, writeFileStep } from "./file-steps.js";

/** What executing steps needs and leaves behind. */
export interface Execution {
	system: System;
	/** Descriptor of the lock; changing children inherit it and hold the lock until they have ended. */
	lock: number | undefined;
	/** Go on after a failing `ip` line, as a roll back does: the state decides at the end. */
	force: boolean;
	/** Steps done so far, in order: what a roll back has to undo. */
	done: { step: Step; ms: number }[];
	backups: Backup[];
	/** Names in backup/ for the copies of files that are replaced, by path. */
	copies: Record<string, string>;
}

// One executor per kind: a kind without one does not compile.
const executors: {
	[Kind in Step["kind"]]: (
		steps: Extract<Step, { kind: Kind }>[],
		execution: Execution,
		unsynced: Unsynced,
	) => Promise<Finding[]>;
} = {
	write: each(writeFileStep),
	remove: each(removeFileStep),
	sysctl: each(async (step, { system }) =>
		writeSysctl(system, step.key, step.value, step.link),
	),
	run: each(runCommand),
	link: batch,
	addr: batch,
	rule: batch,
	route: batch,
};

/**
 * Does the steps in order. Neighbouring kernel steps become one `ip -batch`; of neighbouring file steps the names
 * are made durable together, before anything goes by them: the journal undoes any of them without the others. A command
 * that fails is a finding, and the state decides what it is worth; a file that cannot be written throws.
 */
export async function execute(
	steps: Step[],
	execution: Execution,
): Promise<Finding[]> {
	const { fs } = execution.system;
	const unsynced: Unsynced = new Map();
	try {
		const findings = await executeGroups(steps, execution, unsynced);
		syncNames(fs, unsynced);
		return findings;
	} catch (error) {
		try {
			syncNames(fs, unsynced);
		} catch {
			// The first error is the one that says what is wrong; whoever undoes it syncs what it writes.
		}
		throw error;
	}
}

async function executeGroups(
	steps: Step[],
	execution: Execution,
	unsynced: Unsynced,
): Promise<Finding[]> {
	const findings: Finding[] = [];
	for (const group of groupSteps(steps)) {
		if (!group.every(isOfFile)) syncNames(execution.system.fs, unsynced);
		const signal = execution.system.stopSignal();
		if (signal !== undefined && !execution.force) {
			throw new AgentError(
				"rolledBack",
				`${signal}: interrupted before the end`,
			);
		}
		const start = execution.system.clock.nowMs();
		// Noted first: a step that failed half-way has to be undone as well.
		const noted = group.map((step) => ({ step, ms: 0 }));
		execution.done.push(...noted);
		const executor = executors[(group[0] as Step).kind] as (
			steps: Step[],
			execution: Execution,
			unsynced: Unsynced,
		) => Promise<Finding[]>;
		findings.push(...(await executor(group, execution, unsynced)));
		const ms = execution.system.clock.nowMs() - start;
		for (const entry of noted) entry.ms = ms / noted.length;
	}
	return findings;
}

function isOfFile({ kind }: Step): boolean {
	return kind === "write" || kind === "remove";
}

function isBatch(step: Step): step is BatchStep {
	return (
		step.kind === "link" ||
		step.kind === "addr" ||
		step.kind === "rule" ||
		step.kind === "route"
	);
}

function groupSteps(steps: Step[]): Step[][] {
	const groups: Step[][] = [];
	for (const step of steps) {
		const last = groups.at(-1);
		if (last?.[0] && isBatch(last[0]) && isBatch(step)) last.push(step);
		else groups.push([step]);
	}
	return groups;
}

function each<S extends Step>(
	run: (
		step: S,
		execution: Execution,
		unsynced: Unsynced,
	) => Promise<Finding[]>,
) {
	return async (
		steps: S[],
		execution: Execution,
		unsynced: Unsynced,
	): Promise<Finding[]> => {
		const findings: Finding[] = [];
		for (const step of steps)
			findings.push(...(await run(step, execution, unsynced)));
		return findings;
	};
}

/** Sets a sysctl of the running kernel; whether it holds is verify's to see. */
async function writeSysctl(
	system: System,
	key: string,
	value: string,
	link: string | undefined,
): Promise<Finding[]> {
	const { fs } = system;
	const path = sysctlPath(key);
	try {
		const fd = fs.openSync(path, 0o1);
		try {
			fs.writeSync(fd, Buffer.from(`${value}\n`));
		} finally {
			fs.closeSync(fd);
		}
		return [];
	} catch (error) {
		return [
			{
				link,
				kind: "sysctl",
				want: `${path} = ${value}`,
				got: `cannot be written: ${(error as { code?: string }).code}`,
			},
		];
	}
}

async function runCommand(
	step: RunStep,
	{ system, lock }: Execution,
): Promise<Finding[]> {
	const want = `${step.argv.join(" ")} succeeds`;
	const limit = system.clock.nowMs() + step.timeoutMs;
	for (;;) {
		const result = await system.run(step.argv, {
			timeoutMs: step.timeoutMs,
			inherit: lock === undefined ? [] : [lock],
		});
		if (result.exitCode !== 0) {
			const said = (result.stderr.trim() || result.stdout.trim())
				.split("\n")
				.at(-1);
			return [
				{
					link: step.link,
					kind: "command",
					want,
					got: `exit ${result.exitCode}${said ? `: ${said}` : ""}`,
				},
			];
		}
		if (
			step.until === undefined ||
			result.stdout.split("\n").includes(step.until)
		)
			return [];
		if (system.clock.nowMs() >= limit || system.stopSignal()) {
			return [
				{
					link: step.link,
					kind: "command",
					want: `${step.argv.join(" ")} shows ${step.until}`,
					got: `not within ${step.timeoutMs} ms`,
				},
			];
		}
		await system.clock.sleep(50);
	}
}

// Foreign rules and routes may name a NIC such as `#x`, which a batch would not take as it stands.
async function batch(
	steps: BatchStep[],
	execution: Execution,
): Promise<Finding[]> {
	const unfit = steps.flatMap((step): Finding[] => {
		const word = unfitWord(step);
		return word === undefined
			? []
			: [
					{
						link: step.link,
						kind: "command",
						want: `ip ${batchLine(step)}`,
						got: `not run: ${quote(word)} is no word for \`ip -batch\``,
					},
				];
	});
	const fit = steps.filter((step) => unfitWord(step) === undefined);
	return fit.length === 0
		? unfit
		: [...unfit, ...(await runBatch(fit, execution))];
}

async function runBatch(
	steps: BatchStep[],
	execution: Execution,
): Promise<Finding[]> {
	const { system, lock, force } = execution;
	const lines = steps.map(batchLine);
	const result = await system.run(["ip", "-batch", "-"], {
		input: `${lines.join("\n")}\n`,
		inherit: lock === undefined ? [] : [lock],
	});
	if (result.exitCode === 0) return [];
	if (force && steps.length > 1) return oneByOne(steps, execution);
	// iproute2 stops at the first failing line and names it: `Command failed -:3`.
	const at = Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1] ?? 1) - 1;
	const got = result.stderr.trim().split("\n")[0] ?? `exit ${result.exitCode}`;
	return [
		{ link: steps[at]?.link, kind: "command", want: `ip ${lines[at]}`, got },
	];
}

// Not -force: in iproute2 3.10 a failing route line ends the batch all the same.
async function oneByOne(
	steps: BatchStep[],
	execution: Execution,
): Promise<Finding[]> {
	const findings: Finding[] = [];
	for (const step of steps) findings.push(...(await batch([step], execution)));
	return findings;
}
