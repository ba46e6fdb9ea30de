import { messageOf } from "../errors.js";
import { listDirectory, readFile } from "../files.js";
import { isOurs } from "../marker.js";
import type { ObservedFile } from "../model.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";

// What CentOS 7's own discovery passes over, see initscripts' network-functions.
const ignored = /(~|\.bak|\.old|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$/;
const limitOfOne = 64 * 1024;
// Some 13 000 files of the usual size; every one of them is kept for the run.
const limitOfAll = 4 * 1024 * 1024;

/** Every ifcfg-, route- and rule- file that network-scripts would read. */
export function observeLinkFiles(fs: FileSystem): ObservedFile[] {
	const names = listDirectory(fs, paths.networkScripts).filter(
		(name) => /^(ifcfg|route|rule)-/.test(name) && !ignored.test(name),
	);
	// What is named after a link comes first, so that no heap of other files keeps it unread.
	const links = listDirectory(fs, paths.sysClassNet);
	const isOfLink = (name: string) =>
		links.includes(name.slice(name.indexOf("-") + 1));
	let size = 0;
	return [
		...names.filter(isOfLink),
		...names.filter((name) => !isOfLink(name)),
	].flatMap((name) => {
		const path = `${paths.networkScripts}/${name}`;
		if (size > limitOfAll)
			return [
				unread(path, `was not read: there are more than ${limitOfAll} bytes`),
			];
		const found = isSymbolicLink(fs, path)
			? observeSymbolicLink(fs, path)
			: observeFile(fs, path, limitOfOne);
		size += found[0]?.content.length ?? 0;
		return found;
	});
}

// What it leads to may claim a NIC, but it is not ours, whatever stands there: a write would not end up there.
function observeSymbolicLink(fs: FileSystem, path: string): ObservedFile[] {
	const obstacle = "is a symbolic link: expected a regular file or none";
	const [target] = observeFile(fs, path, limitOfOne);
	return target === undefined ||
		target.obstacle !== undefined ||
		isOurs(target.content)
		? [unread(path, obstacle)]
		: [{ ...target, obstacle: `${path} ${obstacle}` }];
}

function isSymbolicLink(fs: FileSystem, path: string): boolean {
	try {
		return fs.lstatSync(path).isSymbolicLink();
	} catch {
		return false;
	}
}

function unread(path: string, why: string): ObservedFile {
	const obstacle = `${path} ${why}`;
	return { path, content: "", mode: 0, uid: 0, gid: 0, obstacle };
}

/** The file at path as a list of one, or none; one that cannot be read is there, but without content. */
export function observeFile(
	fs: FileSystem,
	path: string,
	limit?: number,
): ObservedFile[] {
	try {
		const file = readFile(fs, path, limit);
		return file ? [{ path, ...file }] : [];
	} catch (error) {
		return [{ ...unread(path, ""), obstacle: messageOf(error) }];
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
		.flatMap((name) => observeFile(fs, `${directory}/${name}`, limitOfOne));
}
