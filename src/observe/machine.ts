import { cpus, totalmem } from "node:os";
import { listDirectory, readFile } from "../files.js";
import type { FileSystem } from "../system.js";
import { observeFacts } from "./facts.js";

/** The machine as people know it, and as the guide's limits go by. */
export interface Machine {
	os: string;
	/** vCPUs, threads included: what the cloud sells as cores. */
	cores: number;
	/** What the kernel shows, which is some less than the size's. */
	memoryGiB: number;
}

/** The machine's facts that people see. Never throws. */
export async function describeMachine(fs: FileSystem): Promise<Machine> {
	const plain = () => ({
		os: observeFacts(fs).osName,
		cores: cpus().length,
		memoryGiB: totalmem() / 2 ** 30,
	});
	// systeminformation reads these, and would wait for ever for a FIFO among them.
	for (const directory of ["/etc", "/usr/lib"])
		for (const name of listDirectory(fs, directory))
			if (name.endsWith("-release") && !isReadable(fs, `${directory}/${name}`))
				return plain();
	try {
		// From lib/: the package's index loads, and later spawns, far more than three facts need.
		const [{ osInfo }, { cpu }, { mem }] = await Promise.all([
			import("systeminformation/lib/osinfo"),
			import("systeminformation/lib/cpu"),
			import("systeminformation/lib/memory"),
		]);
		const [os, processor, memory] = await Promise.all([osInfo(), cpu(), mem()]);
		return {
			os: `${os.distro} ${os.release}`,
			// Not physicalCores: the cloud counts hyper-threads as cores.
			cores: processor.cores,
			memoryGiB: memory.total / 2 ** 30,
		};
	} catch {
		return plain();
	}
}

function isReadable(fs: FileSystem, path: string): boolean {
	try {
		readFile(fs, path);
		return true;
	} catch {
		return false;
	}
}
