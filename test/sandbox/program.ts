import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { end, type Namespace, type Namespaces } from "./namespaces";
import { programsFolder } from "./paths";

export interface Program {
	/** Calls a method of the program; rejects with its error. */
	call<Result>(method: string, params?: unknown): Promise<Result>;
	close(): Promise<void>;
}

interface Waiting {
	resolve(result: unknown): void;
	reject(error: Error): void;
}

/** Starts one of the bundled helper programs in a network namespace, and waits until it answers. */
export async function startProgram(
	namespaces: Namespaces,
	where: Namespace,
	name: string,
): Promise<Program> {
	const [command, ...words] = [
		// The host's files, whatever the guest hides.
		...namespaces.prefix({ ...where, mounts: false }),
		process.execPath,
		`${programsFolder}/${name}.cjs`,
	];
	const child = spawn(command as string, words, {
		stdio: ["pipe", "pipe", "pipe"],
		detached: true,
	});
	const waiting = new Map<number, Waiting>();
	let lastId = 0;

	const ready = new Promise<unknown>((resolve, reject) =>
		waiting.set(0, { resolve, reject }),
	);
	createInterface({ input: child.stdout }).on("line", (line) => {
		const { id = 0, result, error } = JSON.parse(line);
		const one = waiting.get(id);
		waiting.delete(id);
		if (error === undefined) one?.resolve(result);
		else one?.reject(new Error(`${name}: ${error}`));
	});
	rejectAllAtEnd(child, name, waiting);
	await ready;

	return {
		call<Result>(method: string, params?: unknown) {
			lastId += 1;
			const id = lastId;
			return new Promise<Result>((resolve, reject) => {
				waiting.set(id, {
					resolve: (result) => resolve(result as Result),
					reject,
				});
				child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
			});
		},
		close: () => end(child),
	};
}

/** A call never waits for a program that is gone. */
function rejectAllAtEnd(
	child: ChildProcess,
	name: string,
	waiting: Map<number, Waiting>,
): void {
	let stderr = "";
	child.stderr?.on("data", (data) => {
		stderr += data;
	});
	child.stdin?.on("error", () => {});
	child.once("error", (error) => fail(error));
	child.once("close", () => fail(new Error(`${name} ended: ${stderr}`)));
	function fail(error: Error): void {
		for (const one of waiting.values()) one.reject(error);
		waiting.clear();
	}
}
