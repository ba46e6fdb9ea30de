/** What an operation is: a system call that changes a file system, a program that changes something, or one `ip` line of it. */
export type OperationKind =
	| "open"
	| "write"
	| "fchmod"
	| "fchown"
	| "fsync"
	| "rename"
	| "unlink"
	| "mkdir"
	| "sysctl"
	| "command"
	| "ip";

/** One thing that changes the host, numbered from 1 in the order they happen. */
export interface Operation {
	number: number;
	kind: OperationKind;
	/** A path, or the words of a command. */
	target: string;
}

/** Codes a system call fails with; a command or `ip` line fails with its own exit code whatever the code. */
export type FaultCode = "ENOSPC" | "EROFS" | "EACCES" | "EIO";

/** What a test makes of an operation: it fails, or the machine (or the agent) is dead before it happens. */
export type Fault =
	| { fail: FaultCode }
	/** `isTorn`: half of a write still happens. */
	| { stop: true; isTorn?: boolean };

/** Decides about each operation as it comes; undefined lets it happen. */
export type FaultPlan = (operation: Operation) => Fault | undefined;

/** Thrown where the agent died: no code of the agent may run after it. */
export class Stop extends Error {
	constructor(readonly operation: Operation) {
		super(`stopped dead before ${describeOperation(operation)}`);
		this.name = "Stop";
	}
}

export interface Operations {
	/** All operations so far that were let through or failed. */
	list(): Operation[];
	/** Forgets them, so that the next one is number 1. */
	reset(): void;
	/** Sets what goes wrong from now on; none by default. */
	setFaults(plan: FaultPlan | undefined): void;
	/** Announces an operation: returns its fault code if it is to fail, throws Stop if it never happens, or by half as `tear` does it. */
	begin(
		kind: OperationKind,
		target: string,
		tear?: () => void,
	): FaultCode | undefined;
	/** Throws Stop when the agent is dead: called wherever it could still reach the host. */
	assertAlive(): void;
	isStopped(): boolean;
	/** Resolves when an operation stopped the agent. */
	stopped: () => Promise<Stop>;
	/** A new process: what is dead stays dead, the next agent may run. */
	revive(): void;
}

/** Numbers every changing operation of a host and makes those fail, or be the last, that a test picks. */
export function createOperations(): Operations {
	let operations: Operation[] = [];
	let faults: FaultPlan | undefined;
	let stop: Stop | undefined;
	let waiting: ((stop: Stop) => void)[] = [];
	const assertAlive = () => {
		if (stop) throw stop;
	};
	return {
		list: () => operations,
		reset: () => {
			operations = [];
		},
		setFaults: (plan) => {
			faults = plan;
		},
		begin: (kind, target, tear) => {
			assertAlive();
			const operation = { number: operations.length + 1, kind, target };
			operations.push(operation);
			const fault = faults?.(operation);
			if (fault === undefined) return undefined;
			if ("fail" in fault) return fault.fail;
			if (fault.isTorn) tear?.();
			stop = new Stop(operation);
			for (const tell of waiting) tell(stop);
			throw stop;
		},
		assertAlive,
		isStopped: () => stop !== undefined,
		stopped: () =>
			stop
				? Promise.resolve(stop)
				: new Promise((resolve) => waiting.push(resolve)),
		revive: () => {
			stop = undefined;
			faults = undefined;
			waiting = [];
		},
	};
}

/** The operations of one process: once it has ended, whatever of its code still runs does nothing more. */
export function operationsOfProcess(
	operations: Operations,
): Operations & { end(): void } {
	let last: Operation | undefined;
	let isOver = false;
	const assertRunning = () => {
		if (isOver)
			throw new Stop(last ?? { number: 0, kind: "command", target: "" });
	};
	return {
		...operations,
		begin: (...words) => {
			assertRunning();
			const code = operations.begin(...words);
			last = operations.list().at(-1);
			return code;
		},
		assertAlive: () => {
			assertRunning();
			operations.assertAlive();
		},
		isStopped: () => isOver || operations.isStopped(),
		end: () => {
			isOver = true;
		},
	};
}

/** Only operation `number` fails, once. */
export function failAt(number: number, code: FaultCode): FaultPlan {
	return (operation) =>
		operation.number === number ? { fail: code } : undefined;
}

/** Every operation that matches fails, again and again. */
export function failWhere(
	matches: (operation: Operation) => boolean,
	code: FaultCode = "EIO",
): FaultPlan {
	return (operation) => (matches(operation) ? { fail: code } : undefined);
}

/** The agent is dead before operation `number` happens. */
export function stopAt(number: number): FaultPlan {
	return (operation) =>
		operation.number === number ? { stop: true } : undefined;
}

/** The agent is dead in the middle of operation `number`, if it is a write. */
export function tearAt(number: number): FaultPlan {
	return (operation) =>
		operation.number === number ? { stop: true, isTorn: true } : undefined;
}

export function describeOperation({ number, kind, target }: Operation): string {
	return `operation ${number} (${kind} ${target})`;
}
