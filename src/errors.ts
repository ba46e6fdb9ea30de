/** Exit codes of the command line; README documents them as stable. */
export const exitCodes = {
	converged: 0,
	internal: 1,
	usage: 2,
	rolledBack: 3,
	metadata: 4,
	refused: 5,
	rollbackFailed: 6,
	locked: 7,
} as const;

export type ErrorKind = Exclude<keyof typeof exitCodes, "converged">;

/** The project's one error type: a sentence people can act on, and the exit code it leads to. */
export class AgentError extends Error {
	readonly kind: ErrorKind;
	/** An interrupted run was undone before this came up. */
	recovered = false;

	constructor(kind: ErrorKind, message: string, cause?: unknown) {
		super(message);
		this.name = "AgentError";
		this.kind = kind;
		if (cause !== undefined) (this as { cause?: unknown }).cause = cause;
	}

	get exitCode(): number {
		return exitCodes[this.kind];
	}
}

/** Whether it is ours, whichever chunk of dist/ made it: each bundles a class of its own. */
export function isAgentError(error: unknown): error is AgentError {
	return error instanceof Error && error.name === "AgentError";
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

// Which of several NICs' exit codes speaks for the run, most serious first.
const order = [6, 1, 7, 3, 5, 2, 4];

/** One exit code for several NICs: the first of 6, 1, 7, 3, 5, 2, 4 that occurs, else 0. */
export function worstExitCode(codes: number[]): number {
	return order.find((code) => codes.includes(code)) ?? exitCodes.converged;
}
