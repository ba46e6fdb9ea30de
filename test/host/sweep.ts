import type { Run } from "./agent";
import type { FakeHost } from "./fake-host";
import { describeOperation, type FaultCode, failAt } from "./operations";

/** A run of the agent to repeat with something going wrong each time. */
export interface Scenario {
	/** The host as it is before the run. */
	prepare(): Promise<FakeHost>;
	act(host: FakeHost): Promise<Run>;
	/** How an undisturbed run ends; 0 by default. */
	exitCode?: number;
}

/**
 * Repeats a run, its operation N failing once, for every N there is. Returns a line for each N after
 * which the host is neither as wanted (exit 0) nor exactly as before (exit 3 or 1), or from which an
 * undisturbed run does not get to what is wanted.
 */
export async function sweepFailures(
	{ prepare, act }: Scenario,
	code: FaultCode,
): Promise<string[]> {
	const model = await prepare();
	const undisturbed = await act(model);
	const wanted = { snapshot: model.snapshot(), record: model.record() };
	const problems: string[] = [];
	if (undisturbed.outcome !== "applied")
		problems.push(
			`undisturbed: ${undisturbed.outcome}, exit ${undisturbed.exitCode}`,
		);
	for (let number = 1; number <= undisturbed.operations; number += 1) {
		const host = await prepare();
		const before = { snapshot: host.snapshot(), record: host.record() };
		host.operations.setFaults(failAt(number, code));
		const { outcome, exitCode, error } = await act(host);
		host.operations.setFaults(undefined);
		const operation = host.operations.list()[number - 1];
		const where = operation
			? describeOperation(operation)
			: `operation ${number}`;
		const what = `${code} at ${where}: ${outcome}, exit ${exitCode}${error ? ` (${error})` : ""}`;
		const expected = exitCode === 0 ? wanted : before;
		if (![0, 1, 3].includes(exitCode))
			problems.push(`${what}: not an exit code for this`);
		else if (exitCode === 0 && outcome !== "applied")
			problems.push(`${what}: exit 0 is for what was applied`);
		for (const part of ["snapshot", "record"] as const) {
			const now = host[part]();
			// What is added later, or put back, stands later in the kernel's lists.
			const isAsExpected = inOrder(now) === inOrder(expected[part]);
			if (!isAsExpected)
				problems.push(
					`${what}: the ${part} differs from the one ${exitCode === 0 ? "wanted" : "before"}:\n${lineDifference(expected[part], now)}`,
				);
		}
		if (host.programs.open.size > 0)
			problems.push(`${what}: left ${[...host.programs.open.values()]} open`);
		if (exitCode === 0) continue;
		const again = await act(host);
		if (again.exitCode !== 0)
			problems.push(`${what}: the next run ends with exit ${again.exitCode}`);
		else if (inOrder(host.snapshot()) !== inOrder(wanted.snapshot))
			problems.push(
				`${what}: the next run does not get to what is wanted:\n${lineDifference(wanted.snapshot, host.snapshot())}`,
			);
	}
	return problems;
}

function inOrder(text: string): string {
	return text.split("\n").sort().join("\n");
}

/** Lines that only one of two texts has. */
export function lineDifference(want: string, got: string): string {
	const [a, b] = [want.split("\n"), got.split("\n")];
	const only = (lines: string[], others: string[], mark: string) =>
		lines
			.filter((line) => !others.includes(line))
			.map((line) => `    ${mark} ${line}`);
	const lines = [...only(a, b, "-"), ...only(b, a, "+")];
	return lines.length > 0
		? lines.join("\n")
		: "    (the same lines in another order or number)";
}
