import { exitCodes } from "./errors.js";
import type { Journal, Outcome, State } from "./model.js";
import type { Report } from "./report.js";
import { emptyState, parseState } from "./state.js";

/** The report of a `rollback` that found no change to undo. */
export function nothingToUndo(last: Journal | undefined): Report {
	const text = last
		? "nothing to roll back: the last change was a roll back"
		: "nothing to roll back: no change of the agent's is on record";
	return {
		...reportOf(undefined, "unchanged", exitCodes.converged),
		notes: [{ link: undefined, text }],
	};
}

/** The report of a `rollback` that found an interrupted run, and undid that. */
export function recoveredInstead(): Report {
	const text =
		"the interrupted run is undone; `eni-configure rollback` again undoes the change before it";
	return {
		...reportOf(undefined, "applied", exitCodes.converged),
		notes: [{ link: undefined, text }],
	};
}

/** The report of a `rollback`: each NIC with what holds for it where the change was undone. */
export function reportOf(
	last: Journal | undefined,
	outcome: Report["outcome"],
	exitCode: number,
): Report {
	const parsed = parseState(last?.record?.content ?? "");
	const earlier = typeof parsed === "string" ? emptyState() : parsed;
	const macOf = (name: string) =>
		[...(last?.interfaces ?? []), ...(last?.gone ?? [])].find(
			(one) => one.name === name,
		)?.mac;
	return {
		outcome,
		exitCode,
		recovered: false,
		interfaces: [
			...(last?.links ?? []).map((name) => {
				const mac = macOf(name);
				const managed = mac ? earlier.interfaces[mac]?.managed : undefined;
				return {
					name,
					mac,
					primary: false,
					addresses: managed?.addresses ?? [],
					gateway: managed?.gateway,
					table: managed?.table,
					outcome,
					source: undefined,
					reason:
						outcome === "applied"
							? `the last \`${last?.command}\` is undone; \`eni-configure ${name}\` configures it again`
							: "the last change still holds",
					exitCode,
				};
			}),
			...reportOfExtras(last, earlier, outcome, exitCode),
		],
		steps: [],
		findings: [],
		notes: [],
		timings: {},
		error: undefined,
	};
}

function reportOfExtras(
	last: Journal | undefined,
	earlier: State,
	outcome: Outcome,
	exitCode: number,
): Report["interfaces"] {
	if (!last?.extras) return [];
	const { name, mac, addresses } = last.extras;
	return [
		{
			name,
			mac,
			primary: true,
			addresses:
				outcome === "applied" ? (earlier.extras?.addresses ?? []) : addresses,
			gateway: undefined,
			table: undefined,
			outcome,
			source: undefined,
			reason:
				outcome === "applied"
					? "its further private IPs are as before, and left alone until managePrimary is changed"
					: "its further private IPs are as they were before this",
			exitCode,
		},
	];
}
