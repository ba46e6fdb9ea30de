import { rollBackLast } from "../rollback.js";
import type { System } from "../system.js";
import type { Options } from "./options.js";
import { printReport } from "./print.js";

/** `rollback`: undoes the last committed change and prints the report. */
export async function rollback(
	system: System,
	options: Options,
	write: (text: string) => void,
): Promise<number> {
	const report = await rollBackLast(system, options.lockTimeoutMs);
	await printReport("rollback", report, undefined, system, options, write);
	return report.exitCode;
}
