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
	// What still differs on a NIC that was not rolled back: it was only put right, as far as that went.
	const rolledBack = report.interfaces
		.filter((one) => one.outcome.startsWith("roll"))
		.map(({ name }) => name);
	const open = findings
		.filter(
			({ link, mended }) =>
				!mended && error === undefined && !rolledBack.includes(link ?? ""),
		)
		.map(({ link, kind, want, got }): Condition => {
			const text = `${link ? `${link}: ` : ""}${kind}: expected ${want}, found ${got}`;
			return { key: text, level: "warning", text };
		});
	return [...failed, ...nics, ...noted, ...open];
}
