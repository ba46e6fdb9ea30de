import type { Disk } from "./disk";
import { showAddresses, showRoutes, showRules } from "./ip-show";
import { tables } from "./kernel-routes";
import type { Kernel } from "./kernel-types";

/** There only where SELinux is on. */
export const selinuxFile = "/sys/fs/selinux/enforce";

/** Every file below a directory with its mode, owner and bytes, and its label where there are any. */
export function describeFiles(disk: Disk, directory: string): string {
	const isLabelled = disk.fs.existsSync(selinuxFile);
	return disk
		.list(directory)
		.map((path) => {
			const { content = "", mode = 0, uid, gid, label } = disk.read(path) ?? {};
			return `${path} ${mode.toString(8)} ${uid}:${gid}${isLabelled ? ` ${label}` : ""}\n${content.replace(/^/gm, "  | ")}\n`;
		})
		.join("");
}

/** Links, addresses, rules, routes and sysctls of the running kernel. */
export function describeKernel({
	links,
	rules,
	routes,
	sysctls,
}: Kernel): string {
	return [
		...links.map(
			({ name, mac, up, mtu }) =>
				`link ${name} ${mac} ${up ? "up" : "down"} mtu ${mtu}\n`,
		),
		showAddresses(links, 4),
		showRules(rules),
		// The local table follows from the addresses.
		showRoutes(routes.all().filter((route) => route.table !== tables.local)),
		...[...sysctls].sort().map(([key, value]) => `${key} = ${value}\n`),
	].join("");
}

/** What state.json holds that matters to a later run: not the cache of metadata, nor the back-off. */
export function describeRecord(disk: Disk): string {
	const {
		interfaces = {},
		extras,
		sysctls = {},
		pinned = {},
	} = JSON.parse(
		disk.read("/var/lib/eni-configure/state.json")?.content ?? "{}",
	);
	for (const entry of Object.values(interfaces) as Record<string, unknown>[]) {
		delete entry.cache;
		delete entry.backOff;
	}
	// An entry that only says when to try again says nothing of what is.
	for (const [mac, entry] of Object.entries(interfaces))
		if (Object.keys(entry as object).join() === "name") delete interfaces[mac];
	const { addresses = [], rolledBack } = extras ?? {};
	return JSON.stringify(
		{ interfaces, extras: { addresses, rolledBack }, sysctls, pinned },
		undefined,
		1,
	);
}
