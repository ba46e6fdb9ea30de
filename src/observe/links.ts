import { AgentError } from "../errors.js";
import { exists, listDirectory, readValue, readValueError } from "../files.js";
import type { Link } from "../model.js";
import { paths } from "../paths.js";
import type { FileSystem } from "../system.js";

// Containers come and go all the time: no list stands still for long.
const maxLooks = 3;

/**
 * Every link of the machine, from /sys/class/net: a freshly plugged NIC is down and has no
 * address, so neither os.networkInterfaces() nor systeminformation shows it. Addresses and
 * leases are filled in by observeKernel().
 */
export function observeLinks(fs: FileSystem): Link[] {
	for (let look = 1; ; look += 1) {
		const names = listDirectory(fs, paths.sysClassNet);
		const links = names.flatMap((name) => observeLink(fs, name));
		const missed = names.filter(
			(name) =>
				!links.some((link) => link.name === name) && !isNoLink(fs, name),
		);
		if (missed.length === 0) return links;
		// One that was renamed in between stands under its new name in the next list.
		if (look < maxLooks) continue;
		const hidden = missed.find((name) => !isGoing(fs, name));
		if (hidden === undefined) return links;
		// Not to be seen is not to be gone.
		const path = `${paths.sysClassNet}/${hidden}`;
		throw new AgentError("internal", `${path} cannot be read`);
	}
}

// Of a link that it is taking away the kernel says EINVAL (net-sysfs), for as long as its folder still
// stands: tens of milliseconds, so that looking again at once does not help.
function isGoing(fs: FileSystem, name: string): boolean {
	const base = `${paths.sysClassNet}/${name}`;
	const code = readValueError(fs, `${base}/ifindex`) ?? "";
	return ["EINVAL", "ENODEV"].includes(code) || !exists(fs, base);
}

// bonding_masters is a file.
function isNoLink(fs: FileSystem, name: string): boolean {
	try {
		return fs.lstatSync(`${paths.sysClassNet}/${name}`)?.isFile() ?? false;
	} catch {
		return false;
	}
}

/** One link as a list of one; none where there is no such link, or no longer. */
export function observeLink(fs: FileSystem, name: string): Link[] {
	const base = `${paths.sysClassNet}/${name}`;
	const ifindex = readValue(fs, `${base}/ifindex`);
	const mac = readValue(fs, `${base}/address`);
	const type = readValue(fs, `${base}/type`);
	// bonding_masters is a file, and a NIC can go away between listing and reading. Half seen it would
	// be another one: without its MAC nobody's, without its type no NIC.
	if (ifindex === undefined || mac === undefined || type === undefined)
		return [];
	const lowers = listDirectory(fs, base).filter((entry) =>
		entry.startsWith("lower_"),
	);
	return [
		{
			name,
			mac: mac.toLowerCase(),
			ifindex: Number(ifindex),
			up: (Number(readValue(fs, `${base}/flags`) ?? 0) & 1) === 1,
			operstate: readValue(fs, `${base}/operstate`) ?? "unknown",
			mtu: Number(readValue(fs, `${base}/mtu`) ?? 0),
			type: Number(type),
			driver: linkTarget(fs, `${base}/device/driver`),
			devtype: /^DEVTYPE=(.*)$/m.exec(
				readValue(fs, `${base}/uevent`) ?? "",
			)?.[1],
			master: linkTarget(fs, `${base}/master`),
			lowers: lowers.map((entry) => entry.slice("lower_".length)),
			dhcp: hasDhcpClient(fs, name),
			addresses: [],
		},
	];
}

function linkTarget(fs: FileSystem, path: string): string | undefined {
	try {
		return String(fs.readlinkSync(path)).split("/").at(-1);
	} catch {
		return undefined;
	}
}

// CentOS 7's ifup starts `dhclient -pf /var/run/dhclient-ethN.pid`; older leases leave the file behind.
function hasDhcpClient(fs: FileSystem, name: string): boolean {
	const pid = readValue(fs, `/run/dhclient-${name}.pid`)?.trim();
	return pid !== undefined && /^\d+$/.test(pid) && exists(fs, `/proc/${pid}`);
}
