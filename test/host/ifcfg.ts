import type { Disk } from "./disk";
import { prefixOf } from "./ip-math";
import type { Kernel } from "./kernel-types";

/** Where network-scripts keep their files. */
export const directory = "/etc/sysconfig/network-scripts";
/** Endings that their discovery passes over. */
export const ignored = /(~|\.bak|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$/;

/** What can be asked for files and links. */
interface Lookup {
	kernel: Kernel;
	disk: Disk;
}

/** Every ifcfg- file. */
export function configs({
	disk,
}: Pick<Lookup, "disk">): { name: string; text: string }[] {
	return disk
		.list(directory)
		.map((path) => ({
			name: path.slice(directory.length + 1),
			text: disk.read(path)?.content ?? "",
		}))
		.filter(({ name }) => name.startsWith("ifcfg-"));
}

/** By file name, by the link's MAC, by DEVICE; the greps know bare and double-quoted values only. */
export function findConfig(
	host: Lookup,
	name: string,
): { name: string; text: string } | undefined {
	const files = configs(host);
	const grep = (key: string, value: string, flags: string) =>
		files.find(
			(file) =>
				!ignored.test(file.name) &&
				new RegExp(`^\\s*${key}="?${value}"?([\\s#]|$)`, `m${flags}`).test(
					file.text,
				),
		);
	const mac = host.kernel.link(name)?.mac;
	return (
		files.find((file) => file.name === `ifcfg-${name}`) ??
		(mac ? grep("HWADDR", mac, "i") : undefined) ??
		grep("DEVICE", name, "")
	);
}

/** IPADDR, IPADDR0, IPADDR1 and so on; the first gap at 2 or later ends the list. */
export function addressesOf(
	values: Record<string, string>,
): { address: string; prefix: number; isProbed: boolean }[] {
	const found = [];
	for (const [at, suffix] of ["", ...Array(256).keys()].entries()) {
		const address = values[`IPADDR${suffix}`];
		if (address) {
			const netmask = values[`NETMASK${suffix}`];
			const prefix =
				values[`PREFIX${suffix}`] ??
				(netmask ? prefixOf(netmask) : classful(address));
			found.push({
				address,
				prefix: Number(prefix),
				isProbed: values[`ARPCHECK${suffix}`] !== "no",
			});
		} else if (at > 2) break;
	}
	return found;
}

function classful(address: string): number {
	const first = Number(address.split(".")[0]);
	return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/** Routes of a file with ADDRESSn, NETMASKn, GATEWAYn as words for `ip route add`. */
export function numberedRoutes(
	values: Record<string, string>,
	device: string,
): string[] {
	const lines: string[] = [];
	for (let at = 0; values[`ADDRESS${at}`]; at += 1) {
		const gateway = values[`GATEWAY${at}`];
		lines.push(
			`${values[`ADDRESS${at}`]}/${prefixOf(values[`NETMASK${at}`] ?? "255.255.255.255")}${gateway ? ` via ${gateway}` : ""} dev ${device}`,
		);
	}
	return lines;
}
