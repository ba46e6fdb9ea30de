import type { Verdict } from "../model.js";
import type { Report } from "../report.js";
import type { Condition } from "./voice.js";

// What is as it should be, or was asked for, is no warning.
const calm: Verdict["kind"][] = ["unlisted", "released", "pending"];

/** A NIC and its metadata hardly ever come at once: for so long that is not worth a line. */
export const patienceMs = 1000;

/** What lasts after a pass: NICs that wait or are left alone, notes, files that contradict. */
export function conditionsOf(
	report: Report,
	verdicts: Verdict[],
	heardForMs: (link: string) => number | undefined,
): Condition[] {
	const { error, outcome, notes, findings } = report;
	const failed: Condition[] =
		error === undefined
			? []
			: [
					{
						key: error,
						level: outcome === "pending" ? "info" : "error",
						text: error,
					},
				];
	const nics = verdicts
		.filter(({ kind, link }) => kind !== "primary" && link !== "-")
		.filter(
			({ kind, link }) =>
				!(kind === "pending" || kind === "unlisted") ||
				(heardForMs(link) ?? patienceMs) >= patienceMs,
		)
		.map(
			({ link, kind, reason }): Condition => ({
				key: `${link} ${kind}`,
				level: calm.includes(kind) ? "info" : "warning",
				text: `${link}: ${reason}`,
			}),
		);
	const noted = notes.map(({ link, text }): Condition => {
		const whole = link ? `${link}: ${text}` : text;
		return { key: whole, level: "warning", text: whole };
	});
	const contradictions = findings
		.filter(({ kind }) => kind === "sysctl-file")
		.map(({ want, got }): Condition => {
			const text = `${want} is wanted, and ${got}`;
			return { key: text, level: "warning", text };
		});
	return [...failed, ...nics, ...noted, ...contradictions];
}
