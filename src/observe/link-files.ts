import { listDirectory, readFile } from "../files.js";
import type { ObservedFile } from "../model.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";

// What CentOS 7's own discovery passes over, see initscripts' network-functions.
const ignored = /(~|\.bak|\.old|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$/;
const limit = 64 * 1024;

/** Every ifcfg-, route- and rule- file that network-scripts would read. */
export function observeLinkFiles(fs: FileSystem): ObservedFile[] {
	return listDirectory(fs, paths.networkScripts)
		.filter((name) => /^(ifcfg|route|rule)-/.test(name) && !ignored.test(name))
		.flatMap((name) => observeFile(fs, `${paths.networkScripts}/${name}`));
}

/** The file at path as a list of one, or none; one that cannot be read is there, but without content. */
export function observeFile(fs: FileSystem, path: string): ObservedFile[] {
	try {
		const file = readFile(fs, path, limit);
		return file ? [{ path, ...file }] : [];
	} catch {
		return [{ path, content: "", mode: 0, uid: 0, gid: 0, isUnread: true }];
	}
}

/**
 * Files whose settings win over /etc/sysctl.conf. On CentOS 7 that file is read last; from EL8 on
 * it is read as /etc/sysctl.d/99-sysctl.conf, and names that sort after it come later.
 */
export function observeLaterSysctlFiles(fs: FileSystem): ObservedFile[] {
	const directory = "/etc/sysctl.d";
	const names = listDirectory(fs, directory);
	if (!names.includes("99-sysctl.conf")) return [];
	return names
		.filter((name) => name.endsWith(".conf") && name > "99-sysctl.conf")
		.flatMap((name) => observeFile(fs, `${directory}/${name}`));
}
