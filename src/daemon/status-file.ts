import { ensureDirectory, writeAtomically } from "../apply/atomic.js";
import type { DaemonStatus } from "../model.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";

/** Writes /run/eni-configure/status.json; throws an AgentError where it cannot be written. */
export function writeDaemonStatus(fs: FileSystem, status: DaemonStatus): void {
	// Made here as well: tmpfiles.d is not everywhere, and RuntimeDirectory= goes with the unit.
	ensureDirectory(fs, paths.runDirectory, 0o755);
	const text = `${JSON.stringify(status, undefined, "\t")}\n`;
	const content = Buffer.from(text, "utf8").toString("latin1");
	writeAtomically(fs, paths.status, { content, mode: 0o644 });
}
