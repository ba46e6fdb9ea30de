import type { Lock } from "../apply/lock.js";
import { isAgentError, worstExitCode } from "../errors.js";
import type { Request } from "../model.js";
import type { Prepared } from "../prepared.js";
import { reconcile } from "../reconcile.js";
import { type InterfaceReport, type Report, worstOutcome } from "../report.js";
import type { System } from "../system.js";
import type { Options } from "./options.js";
import { printReport } from "./print.js";

const retryMs = [250, 500, 1000, 2000, 5000, 10_000, 30_000];

/** The wait before retry number `attempt` (from 0), a quarter more or less, so that a fleet does not ask in step. */
export function retryDelayMs(attempt: number, random: number): number {
	const base = retryMs[Math.min(attempt, retryMs.length - 1)] ?? 30_000;
	return base * (0.75 + random / 2);
}

/** `configure`, `plan` and `remove`: reconciles, with --wait until nothing is pending, and prints the report. With the lock where the caller has it already. */
export async function configure(
	system: System,
	command: string,
	options: Options,
	write: (text: string) => void,
	lock?: Lock,
): Promise<number> {
	const { request, settings, wait, waitTimeoutMs, lockTimeoutMs } = options;
	const deadline = system.clock.nowMs() + waitTimeoutMs;
	const held = lock && { lock };
	let report = await reconcile(system, request, settings, lockTimeoutMs, held);
	let said = "";
	for (
		let attempt = 0;
		wait && !request.dryRun && isPending(report);
		attempt += 1
	) {
		const left = deadline - system.clock.nowMs();
		if (left <= 0 || system.stopSignal()) break;
		const reasons = pendingReasons(report);
		if (reasons !== said) system.log("info", `waiting: ${reasons}`);
		said = reasons;
		await system.clock.sleep(
			Math.min(left, retryDelayMs(attempt, system.clock.random())),
		);
		if (system.stopSignal()) break;
		// What was rolled back is not tried again at once; the others go on.
		const rolledBack = report.interfaces
			.filter(({ outcome }) => outcome.startsWith("roll"))
			.map(({ name }) => name);
		const rest = withoutLinks(request, rolledBack);
		if (rest === undefined) break;
		try {
			report = joined(
				report,
				await reconcile(system, rest, settings, lockTimeoutMs),
			);
		} catch (error) {
			if (isAgentError(error)) error.recovered ||= report.recovered;
			throw error;
		}
	}
	await printReport(command, report, report.prepared, system, options, write);
	return report.exitCode;
}

function withoutLinks(request: Request, names: string[]): Request | undefined {
	if (request.targets === "all") return { ...request, skip: names };
	const targets = request.targets.filter((name) => !names.includes(name));
	return targets.length > 0 ? { ...request, targets } : undefined;
}

// A NIC that is named and not there yet is waited for as well: udev may still be at it.
function isPending({
	prepared,
	error,
	outcome,
}: Report & { prepared: Prepared }): boolean {
	return (
		prepared.desired.verdicts.some(
			({ kind }) =>
				kind === "pending" || kind === "unlisted" || kind === "missing",
		) ||
		(outcome === "pending" && error !== undefined)
	);
}

function pendingReasons({ interfaces, error }: Report): string {
	const open = interfaces.filter(
		({ outcome, reason }) =>
			reason !== undefined && (outcome === "pending" || outcome === "refused"),
	);
	return [
		...open.map(({ name, reason }) => `${name}: ${reason}`),
		...(error ? [error] : []),
	].join("; ");
}

// What an earlier pass applied counts, though a later one found it unchanged.
function joined<R extends Report>(first: R, second: R): R {
	const skipped = first.interfaces.filter(
		({ name }) => !second.interfaces.some((one) => one.name === name),
	);
	const done = second.interfaces.map((one): InterfaceReport => {
		const earlier = first.interfaces.find((other) => other.name === one.name);
		return one.outcome === "unchanged" && earlier?.outcome === "applied"
			? { ...one, outcome: "applied" }
			: one;
	});
	// A pending entry without a NIC is gone once the NIC is there.
	const interfaces = [...done, ...skipped.filter(({ name }) => name !== "-")];
	return {
		...second,
		recovered: first.recovered || second.recovered,
		interfaces,
		outcome: worstOutcome([
			...interfaces.map(({ outcome }) => outcome),
			...(second.error === undefined ? [] : [second.outcome]),
		]),
		exitCode: worstExitCode([
			...interfaces.map(({ exitCode }) => exitCode),
			second.exitCode,
		]),
		steps: [...first.steps, ...second.steps],
		findings: [
			...first.findings,
			...second.findings.filter(
				(finding) =>
					!first.findings.some(
						({ kind, want, link }) =>
							kind === finding.kind &&
							want === finding.want &&
							link === finding.link,
					),
			),
		],
	};
}
