import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface Qmp {
	/** Runs one of QEMU's commands; rejects with what QEMU says of it. */
	execute(command: string, args?: Record<string, unknown>): Promise<unknown>;
	/** Waits for an event about a device: `DEVICE_DELETED`. */
	event(name: string, device: string, timeoutMs: number): Promise<void>;
	close(): void;
}

interface Waiting {
	resolve(value: unknown): void;
	reject(error: Error): void;
}

/** Talks to QEMU's machine protocol on a connected socket, as qmp-spec.rst has it. */
export async function openQmp(path: string): Promise<Qmp> {
	const socket = await connect(path);
	const waiting = new Map<number, Waiting>();
	const events: { name: string; device: string }[] = [];
	let last = 0;
	createInterface({ input: socket }).on("line", (line) => {
		const message = JSON.parse(line);
		if (message.event)
			events.push({ name: message.event, device: message.data?.device });
		const one = waiting.get(message.id);
		waiting.delete(message.id);
		if (message.error) one?.reject(new Error(`QEMU: ${message.error.desc}`));
		else one?.resolve(message.return);
	});
	socket.on("close", () => {
		for (const one of waiting.values()) one.reject(new Error("QEMU ended"));
		waiting.clear();
	});

	function execute(command: string, args?: Record<string, unknown>) {
		last += 1;
		const id = last;
		return new Promise<unknown>((resolve, reject) => {
			waiting.set(id, { resolve, reject });
			socket.write(
				`${JSON.stringify({ execute: command, arguments: args, id })}\n`,
			);
		});
	}

	async function event(name: string, device: string, timeoutMs: number) {
		const limit = Date.now() + timeoutMs;
		for (;;) {
			const at = events.findIndex(
				(one) => one.name === name && one.device === device,
			);
			if (at >= 0) {
				events.splice(at, 1);
				return;
			}
			if (Date.now() > limit)
				throw new Error(`no ${name} of ${device} within ${timeoutMs} ms`);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
	}

	await execute("qmp_capabilities");
	return { execute, event, close: () => socket.destroy() };
}

/** Connects to a socket that QEMU is about to make. */
export async function connect(
	path: string,
	timeoutMs = 10_000,
): Promise<Socket> {
	const limit = Date.now() + timeoutMs;
	for (;;) {
		const socket = createConnection(path);
		const problem = await new Promise<Error | undefined>((resolve) => {
			socket.once("connect", () => resolve(undefined));
			socket.once("error", resolve);
		});
		if (!problem) {
			socket.on("error", () => {});
			return socket;
		}
		if (Date.now() > limit) throw problem;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}
