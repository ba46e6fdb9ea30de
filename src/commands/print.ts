import type { AgentError } from "../errors.js";
import type { Finding, Step } from "../model.js";
import type { Prepared } from "../prepared.js";
import {
	type InterfaceReport,
	type Report,
	summarize,
	targetOf,
	untouched,
} from "../report.js";
import type { System } from "../system.js";
import type { Options } from "./options.js";

type Write = (text: string) => void;

/** Prints a report (of a roll back without `prepared`): JSON, a plan, or one line per NIC with what went wrong on stderr. */
export async function printReport(
	command: string,
	report: Report,
	prepared: Prepared | undefined,
	system: System,
	options: Options,
	write: Write,
): Promise<void> {
	const isPlan = options.request.dryRun;
	const withDiffs =
		(isPlan && prepared) ||
		report.interfaces.some(({ outcome }) => outcome === "refused");
	const diffs = withDiffs ? await import("./diffs.js") : undefined;
	const interfaces = report.interfaces.map((one) => {
		const diff =
			prepared && one.outcome === "refused"
				? diffs?.diffOfHeld(one.name, prepared, options)
				: undefined;
		return diff ? { ...one, diff } : one;
	});
	const stepDiff = (step: Step) =>
		isPlan ? diffs?.diffOfStep(step) : undefined;
	if (options.json) {
		write(
			`${JSON.stringify(jsonOf(command, { ...report, interfaces }, stepDiff), undefined, 2)}\n`,
		);
		return;
	}
	if (isPlan && prepared)
		printPlan({ ...report, interfaces }, prepared, stepDiff, write);
	else printOutcome(command, { ...report, interfaces }, system, options);
}

/** Prints an error that ended a command before it had a report. */
export function printError(
	command: string,
	error: AgentError,
	json: boolean,
	write: Write,
	log: System["log"],
): void {
	if (json) {
		const outcome =
			error.exitCode === 5
				? "refused"
				: error.exitCode === 4
					? "pending"
					: "unchanged";
		const body = {
			version: 1,
			command,
			outcome,
			exitCode: error.exitCode,
			recovered: error.recovered,
			interfaces: [],
			steps: [],
			findings: [],
			notes: [],
			timings: {},
			error: error.message,
		};
		write(`${JSON.stringify(body, undefined, 2)}\n`);
	}
	log("error", error.message);
}

function jsonOf(
	command: string,
	report: Report,
	diffOf: (step: Step) => string | undefined,
): object {
	const {
		outcome,
		exitCode,
		recovered,
		interfaces,
		steps,
		findings,
		notes,
		timings,
		error,
	} = report;
	return {
		version: 1,
		command,
		outcome,
		exitCode,
		recovered,
		interfaces: interfaces.map(({ exitCode: _, ...one }) => ({
			...one,
			mac: one.mac ?? null,
			gateway: one.gateway ?? null,
			table: one.table ?? null,
			source: one.source ?? null,
		})),
		steps: steps.map(({ step, ms }) => {
			const diff = diffOf(step);
			return {
				kind: step.kind,
				link: step.link ?? null,
				target: targetOf(step),
				summary: summarize(step),
				ms: Math.round(ms * 10) / 10,
				...(diff ? { diff } : {}),
			};
		}),
		findings: findings.map((finding) => ({
			...finding,
			link: finding.link ?? null,
		})),
		notes,
		timings,
		...(error === undefined ? {} : { error }),
	};
}

function printPlan(
	report: Report,
	prepared: Prepared,
	diffOf: (step: Step) => string | undefined,
	write: Write,
): void {
	const { steps, interfaces } = report;
	write(steps.length === 0 ? "Nothing to do.\n" : "");
	const files = steps
		.map(({ step }) => diffOf(step))
		.filter((diff) => diff !== undefined);
	if (files.length > 0) write(`Files:\n\n${files.join("\n")}\n`);
	const commands = steps
		.map(({ step }) => step)
		.filter((step) => step.kind !== "write" && step.kind !== "remove");
	if (commands.length > 0)
		write(
			`Commands, in this order:\n\n${commands.map((step) => `  ${summarize(step)}\n`).join("")}\n`,
		);
	if (commands.some((step) => step.kind === "run" && step.touches === "all")) {
		write(
			"A restart of the network service has no inverse: it takes every link down for a while.\n\n",
		);
	}
	printRefusals(interfaces, write);
	const rest = untouched(prepared.observed.links, prepared.desired).filter(
		({ name }) => !interfaces.some((one) => one.name === name && one.reason),
	);
	if (rest.length > 0)
		write(
			`Untouched:\n\n${rest.map(({ name, reason }) => `  ${name}: ${reason}\n`).join("")}`,
		);
	for (const note of report.notes)
		write(`Note: ${note.link ? `${note.link}: ` : ""}${note.text}\n`);
}

function printRefusals(interfaces: InterfaceReport[], write: Write): void {
	for (const { name, outcome, reason, diff } of interfaces) {
		if (!reason) continue;
		write(`${name}: ${outcome}: ${reason}\n\n`);
		if (diff) write(`${diff}\n`);
	}
}

function printOutcome(
	command: string,
	report: Report,
	system: System,
	options: Options,
): void {
	const { interfaces, steps, findings, notes, timings, error } = report;
	if (options.verbose)
		for (const { step, ms } of steps)
			system.log(
				"debug",
				`${ms.toFixed(1).padStart(8)} ms  ${summarize(step)}`,
			);
	for (const note of notes)
		system.log("warning", `${note.link ? `${note.link}: ` : ""}${note.text}`);
	for (const finding of findings)
		system.log(finding.mended ? "warning" : "error", describeFinding(finding));
	if (error) system.log("error", error);
	const total = Object.values(timings).reduce((sum, ms) => sum + ms, 0);
	for (const one of interfaces) {
		if (one.reason && one.outcome !== "unchanged") {
			system.log(
				one.exitCode === 0 ? "info" : "error",
				`${one.name}: ${one.reason}`,
			);
			if (one.diff) system.log("error", `what would be changed:\n${one.diff}`);
		} else if (one.reason)
			system.log(
				options.request.targets === "all" ? "debug" : "info",
				`${one.name}: ${one.reason}`,
			);
		else
			system.log(
				one.exitCode === 0 ? "info" : "error",
				describeInterface(one, total),
			);
	}
	if (interfaces.length === 0 && command !== "rollback")
		system.log("info", "no secondary ENI: nothing to do");
}

function describeInterface(
	{ name, outcome, addresses, gateway, table, source }: InterfaceReport,
	totalMs: number,
): string {
	if (outcome !== "applied" && outcome !== "unchanged")
		return `${name}: ${outcome === "rolled-back" ? "rolled back: the machine is as it was" : outcome}`;
	if (source === undefined) return `${name}: removed`;
	const [first, ...further] = addresses;
	const more = further.length > 0 ? ` and ${further.length} more` : "";
	const routing = table === undefined ? "" : `, table ${table}`;
	return `${name}: ${outcome}${outcome === "applied" ? ` in ${Math.round(totalMs)} ms` : ""}: ${first}${more} via ${gateway}${routing} (from ${source})`;
}

function describeFinding({ link, kind, want, got, mended }: Finding): string {
	return `${link ? `${link}: ` : ""}${kind}: expected ${want}, found ${got}${mended ? " (put right)" : ""}`;
}
