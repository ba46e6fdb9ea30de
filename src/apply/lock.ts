import { AgentError } from "../errors.js";
import { errorCode, listDirectory, readValue } from "../files.js";
import { paths } from "../paths.js";
import type { FileSystem, System } from "../system.js";
import { ensureDirectory } from "./atomic.js";

export interface Lock {
	fd: number;
	release(): void;
}

/**
 * One reconcile at a time on the machine. `flock` from util-linux locks a descriptor that the agent
 * keeps; the kernel releases it when the last holder is gone, be it the agent or a child that
 * inherited it. Waits up to timeoutMs and says for whom; then an AgentError of kind `locked`.
 */
export async function acquireLock(
	system: System,
	timeoutMs: number,
): Promise<Lock> {
	const { fs } = system;
	ensureDirectory(fs, paths.stateDirectory, 0o755);
	let fd: number;
	try {
		// O_RDWR | O_CREAT | O_NOFOLLOW; the file is never written and never removed.
		fd = fs.openSync(paths.lock, 0o2 | 0o100 | 0o400000, 0o644);
	} catch (error) {
		throw new AgentError(
			"internal",
			`the lock ${paths.lock} cannot be opened: ${errorCode(error)}`,
			error,
		);
	}
	const release = () => fs.closeSync(fd);
	try {
		if (await flock(system, fd, ["-n"])) return { fd, release };
		const holder = findHolder(fs);
		system.log("info", `waiting for ${holder}, which holds ${paths.lock}`);
		const seconds = Math.max(timeoutMs, 0) / 1000;
		if (
			seconds > 0 &&
			(await flock(system, fd, ["-w", String(seconds)], timeoutMs + 5000))
		)
			return { fd, release };
		throw new AgentError(
			"locked",
			`${holder} held ${paths.lock} for all of the ${seconds} s of --lock-timeout`,
		);
	} catch (error) {
		release();
		throw error;
	}
}

async function flock(
	system: System,
	fd: number,
	options: string[],
	timeoutMs = 5000,
): Promise<boolean> {
	const result = await system.run(["flock", ...options, "3"], {
		inherit: [fd],
		timeoutMs,
	});
	if (result.exitCode === 127)
		throw new AgentError(
			"refused",
			"`flock` was not found: install util-linux",
		);
	if (result.exitCode === 0 || result.exitCode === 1)
		return result.exitCode === 0;
	throw new AgentError("internal", `flock failed: ${result.stderr.trim()}`);
}

// Whoever has the lock file open; read from /proc so that holding the lock costs no write.
function findHolder(fs: FileSystem): string {
	for (const pid of listDirectory(fs, "/proc").filter(
		(name) => /^\d+$/.test(name) && name !== selfPid(fs),
	)) {
		for (const fd of listDirectory(fs, `/proc/${pid}/fd`)) {
			try {
				if (String(fs.readlinkSync(`/proc/${pid}/fd/${fd}`)) !== paths.lock)
					continue;
			} catch {
				continue;
			}
			const command = (readValue(fs, `/proc/${pid}/cmdline`) ?? "")
				.split("\0")
				.join(" ")
				.trim();
			return `process ${pid} (${command || "unknown"})`;
		}
	}
	return "another process";
}

function selfPid(fs: FileSystem): string {
	try {
		return String(fs.readlinkSync("/proc/self"));
	} catch {
		return "";
	}
}
