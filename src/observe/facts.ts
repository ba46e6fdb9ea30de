import { exists, listDirectory, readFile, readValue } from "../files.js";
import type { HostFacts } from "../model.js";
import { printable } from "../quote.js";
import type { FileSystem } from "../system.js";

/** What decides about the backend, from /etc, /run and /proc, without starting a process. */
export function observeFacts(fs: FileSystem): HostFacts {
	const release = parseOsRelease(readValue(fs, "/etc/os-release") ?? "");
	return {
		osId: release.ID ?? "unknown",
		osVersion: release.VERSION_ID ?? "",
		osName: release.PRETTY_NAME ?? release.ID ?? "an unknown system",
		networkScripts: exists(fs, "/etc/sysconfig/network-scripts/ifup-eth"),
		networkServiceEnabled: isNetworkServiceEnabled(fs),
		networkManagerRunning: isNetworkManagerRunning(fs),
		systemdRunning: exists(fs, "/run/systemd/system"),
		selinux: hasSelinux(fs),
		tkeCni: findTkeCni(fs),
	};
}

/** Whether NetworkManager runs; what it has left in /run may be of another boot's. */
export function isNetworkManagerRunning(fs: FileSystem): boolean {
	return exists(fs, "/run/NetworkManager") && isRunning(fs, "NetworkManager");
}

/** Whether files have SELinux labels here, and restorecon to set them. */
export function hasSelinux(fs: FileSystem): boolean {
	return (
		exists(fs, "/sys/fs/selinux/enforce") &&
		["/usr/sbin/restorecon", "/sbin/restorecon"].some((path) =>
			exists(fs, path),
		)
	);
}

/** KEY=value pairs of an os-release file, quotes taken off. */
export function parseOsRelease(text: string): Record<string, string> {
	const values: Record<string, string> = {};
	for (const line of text.split("\n")) {
		const match = /^([A-Z_]+)=(["']?)(.*)\2$/.exec(line.trim());
		if (match?.[1]) values[match[1]] = printable(match[3] ?? "").slice(0, 100);
	}
	return values;
}

// network is a SysV script on CentOS 7: chkconfig leaves S10network in the run level's directory.
function isNetworkServiceEnabled(fs: FileSystem): boolean {
	return ["/etc/rc3.d", "/etc/rc.d/rc3.d"].some((directory) =>
		listDirectory(fs, directory).some((name) => /^S\d\dnetwork$/.test(name)),
	);
}

function isRunning(fs: FileSystem, name: string): boolean {
	return listDirectory(fs, "/proc").some(
		(pid) => /^\d+$/.test(pid) && readValue(fs, `/proc/${pid}/comm`) === name,
	);
}

// The container service's own network plugins (tke-route-eni, tke-bridge and others).
function findTkeCni(fs: FileSystem): string | undefined {
	const directory = "/etc/cni/net.d";
	for (const name of listDirectory(fs, directory)) {
		try {
			const text =
				readFile(fs, `${directory}/${name}`, 64 * 1024)?.content ?? "";
			const match = /"type"\s*:\s*"(tke-[\w-]{1,60})"/.exec(text);
			if (match) return match[1];
		} catch {
			// A file that cannot be read names no plugin.
		}
	}
	return undefined;
}
