import {
	ensureDirectory,
	removeFile,
	writeAtomically,
} from "./apply/atomic.js";
import { acquireLock } from "./apply/lock.js";
import { recoverBeforeNetwork } from "./apply/recover.js";
import { isAgentError, messageOf } from "./errors.js";
import { listDirectory } from "./files.js";
import { isOurs } from "./marker.js";
import type { ObservedFile } from "./model.js";
import { observeFile, observeLinkFiles } from "./observe/link-files.js";
import { observeLinks } from "./observe/links.js";
import { paths } from "./paths.js";
import { filesToPark, type Parking, parkedPath } from "./plan/parking.js";
import type { System } from "./system.js";

// Nobody else should be at work this early; who is will bring things in order as well.
const lockTimeoutMs = 3000;
// eni-configure-boot.service ends it after 8 s.
const limitMs = 7000;

/**
 * What eni-configure-boot.service does before the network service starts: undoes a run that a power cut
 * ended, and parks managed files of NICs that are not there, over which the network service would fail.
 * Works on files alone, takes 10 s at most and never throws: what goes wrong is logged, for no boot is
 * to fail over it.
 */
export async function bringInOrder(world: System): Promise<void> {
	const system = within(world, limitMs);
	try {
		const lock = await acquireLock(system, lockTimeoutMs);
		try {
			const spared = await recoverBeforeNetwork(system, lock.fd);
			parkFiles(system, spared);
		} finally {
			lock.release();
		}
	} catch (error) {
		if (isAgentError(error) && error.kind === "locked")
			system.log("warning", `another run holds ${paths.lock}: left to that`);
		else system.log("error", `boot: ${messageOf(error)}`);
	}
}

// No child gets more time than is left.
function within(system: System, totalMs: number): System {
	const deadline = system.clock.nowMs() + totalMs;
	return {
		...system,
		run: (argv, options = {}) => {
			const leftMs = Math.max(deadline - system.clock.nowMs(), 1);
			const timeoutMs = Math.min(options.timeoutMs ?? leftMs, leftMs);
			return system.run(argv, { ...options, timeoutMs });
		},
	};
}

// `spared` are links of a run that is still to be undone: that needs its files where they are.
function parkFiles(system: System, spared: string[]): void {
	const { fs } = system;
	const links = observeLinks(fs);
	// Where not even lo is in sight, nothing can be said of what is missing.
	if (links.length === 0) return;
	const files = observeLinkFiles(fs);
	const parked = listDirectory(fs, paths.parked).flatMap((name) =>
		observeFile(fs, `${paths.parked}/${name}`),
	);
	const macs = links.map(({ mac }) => mac);
	for (const parking of filesToPark(files, parked, macs)) {
		if (spared.includes(parking.name)) continue;
		attempt(system, () => park(system, parking));
	}
	attempt(system, () => dropReplaced(system, parked));
}

// A failure with the files of one NIC keeps no other from its own.
function attempt(system: System, work: () => void): void {
	try {
		work();
	} catch (error) {
		system.log("error", `boot: ${messageOf(error)}`);
	}
}

// Every copy is on disk before the first file goes: a power cut leaves both or the copy, never neither.
function park({ fs, log }: System, { name, mac, files }: Parking): void {
	ensureDirectory(fs, paths.parked, 0o700);
	for (const { path, content, mode, uid, gid } of files)
		writeAtomically(fs, parkedPath(path), {
			content,
			mode,
			owner: { uid, gid },
		});
	for (const { path } of files) removeFile(fs, path);
	log(
		"warning",
		`${name}: no NIC has the MAC ${mac}: its files are in ${paths.parked} now, for the network service would fail over them`,
	);
}

// A NIC that has been configured again since needs its copies no more.
function dropReplaced({ fs }: System, parked: ObservedFile[]): void {
	for (const { path } of parked) {
		const name = path.slice(paths.parked.length + 1);
		const [file] = observeFile(fs, `${paths.networkScripts}/${name}`);
		if (file && isOurs(file.content)) removeFile(fs, path);
	}
}
