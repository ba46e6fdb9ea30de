import type { Namespace, Namespaces } from "./namespaces";
import { type Program, startProgram } from "./program";
import type { ProbeResult, TransferResult } from "./programs/protocol";

export interface ReachOptions {
	/** Where to ask from: `far` (the default), `guest`, or a client's or container's name. */
	from?: string;
	/** Local address to send from. */
	source?: string;
}

export interface Probe {
	/** Waits up to a second for the last replies. */
	stop(): Promise<ProbeResult>;
}

export interface Transfer {
	/** Sends no more, and waits up to 15 s until all has come back. */
	stop(): Promise<TransferResult>;
}

export interface Reach {
	/** Starts the UDP program of a namespace: from now on it echoes, and can ask. */
	place(name: string, where: Namespace): Promise<void>;
	reach(
		address: string,
		options?: ReachOptions & { timeoutMs?: number },
	): Promise<boolean>;
	probe(
		address: string,
		options?: ReachOptions & { intervalMs?: number },
	): Promise<Probe>;
	/** A TCP connection to the echo of an address: bytes at a steady pace there and back, until stop(). */
	transfer(
		address: string,
		options?: Pick<ReachOptions, "from"> & { bytesPerSecond?: number },
	): Promise<Transfer>;
	close(): Promise<void>;
}

/** UDP echo and its clients, one program for each namespace. */
export function openReach(namespaces: Namespaces): Reach {
	const places = new Map<string, Program>();

	function programAt(name: string): Program {
		const program = places.get(name);
		if (program) return program;
		const known = [...places.keys()].join(", ");
		throw new Error(`no "${name}" in this sandbox: it has ${known}`);
	}

	return {
		async place(name, where) {
			places.set(name, await startProgram(namespaces, where, "udp"));
		},
		reach(address, { from = "far", timeoutMs = 1000, ...rest } = {}) {
			const params = { address, timeoutMs, ...rest };
			return programAt(from).call<boolean>("reach", params);
		},
		async probe(address, { from = "far", intervalMs = 10, ...rest } = {}) {
			const program = programAt(from);
			const params = { address, intervalMs, ...rest };
			const id = await program.call<number>("startProbe", params);
			return { stop: () => program.call<ProbeResult>("stopProbe", id) };
		},
		async transfer(address, { from = "far", bytesPerSecond = 100_000 } = {}) {
			const program = programAt(from);
			const params = { address, bytesPerSecond };
			const id = await program.call<number>("startTransfer", params);
			return { stop: () => program.call<TransferResult>("stopTransfer", id) };
		},
		async close() {
			await Promise.all([...places.values()].map((each) => each.close()));
		},
	};
}
