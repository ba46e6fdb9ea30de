import type { Disk } from "./disk";
import type { FakeHost } from "./fake-host-types";
import { inet6Of } from "./ip-show";
import type { Kernel, KernelLink } from "./kernel-types";

/** What /proc and /sys show besides the links. */
export interface Machine {
	kernel: Kernel;
	bootId: string;
	/** Other processes by pid: their command, and files they have open. */
	processes: FakeHost["processes"];
}

type Entries = Map<string, { content: string } | { target: string }>;
const written = new WeakMap<Disk, Entries>();

/** Writes /sys/class/net, /proc/net, /proc/sys and the processes as the machine is now. */
export function writeKernelFiles(disk: Disk, machine: Machine): void {
	const { fs } = disk;
	const before: Entries = written.get(disk) ?? new Map();
	const now = entriesOf(machine);
	written.set(disk, now);
	const textOf = (entry: object | undefined) => JSON.stringify(entry);
	for (const path of before.keys())
		if (!now.has(path)) fs.rmSync(path, { force: true });
	// Directories without a file: a link, or a process, that is gone.
	const directories = (entries: Entries) =>
		new Set(
			[...entries.keys()].flatMap((path) =>
				[...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index)),
			),
		);
	const kept = directories(now);
	for (const directory of directories(before))
		if (!kept.has(directory))
			fs.rmSync(directory, { recursive: true, force: true });
	for (const [path, entry] of now) {
		if (textOf(before.get(path)) === textOf(entry)) continue;
		fs.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
		if ("content" in entry) fs.writeFileSync(path, entry.content);
		else {
			fs.rmSync(path, { force: true });
			fs.symlinkSync(entry.target, path);
		}
	}
	fs.mkdirSync("/sys/class/net", { recursive: true });
}

function entriesOf({ kernel, bootId, processes }: Machine): Entries {
	const entries: Entries = new Map();
	const put = (path: string, content: string) => entries.set(path, { content });
	const link = (path: string, target: string) => entries.set(path, { target });
	for (const one of kernel.links) putLink(one, put, link);
	for (const [key, value] of kernel.sysctls)
		put(`/proc/sys/net/ipv4/${key}`, `${value}\n`);
	put("/proc/sys/kernel/random/boot_id", `${bootId}\n`);
	put("/proc/net/arp", arp(kernel));
	put("/proc/net/if_inet6", ifInet6(kernel));
	const self = 4000;
	put(`/proc/${self}/comm`, "node\n");
	put(`/proc/${self}/stat`, stat(self, "node", 1, 77_000));
	link("/proc/self", String(self));
	for (const [pid, one] of processes) {
		const { command, open, environment = {}, parent = 1 } = one;
		const name = command.split(" ")[0] ?? "";
		put(`/proc/${pid}/comm`, `${name}\n`);
		put(`/proc/${pid}/stat`, stat(pid, name, parent, 70_000 + pid));
		put(`/proc/${pid}/cmdline`, `${command.split(" ").join("\0")}\0`);
		put(
			`/proc/${pid}/environ`,
			Object.entries(environment)
				.map(([name, value]) => `${name}=${value}\0`)
				.join(""),
		);
		for (const [at, path] of open.entries())
			link(`/proc/${pid}/fd/${at + 3}`, path);
	}
	return entries;
}

// Field 22 is the start time in clock ticks; a test sees it nowhere else.
function stat(
	pid: number,
	name: string,
	parent: number,
	startTicks: number,
): string {
	return `${pid} (${name}) S ${parent} ${"0 ".repeat(17)}${startTicks} 0\n`;
}

function putLink(
	{
		name,
		mac,
		ifindex,
		type,
		up,
		mtu,
		devtype,
		driver,
		master,
		lowers,
	}: KernelLink,
	put: (path: string, content: string) => void,
	link: (path: string, target: string) => void,
): void {
	const base = `/sys/class/net/${name}`;
	const values = {
		address: mac,
		ifindex,
		flags: `0x${((type === 772 ? 0x8 : 0x1002) | (up ? 0x1 : 0)).toString(16)}`,
		operstate: type === 772 ? "unknown" : up ? "up" : "down",
		mtu,
		type,
		uevent: `${devtype ? `DEVTYPE=${devtype}\n` : ""}INTERFACE=${name}\nIFINDEX=${ifindex}`,
	};
	for (const [leaf, value] of Object.entries(values))
		put(`${base}/${leaf}`, `${value}\n`);
	if (driver)
		link(`${base}/device/driver`, `../../../bus/virtio/drivers/${driver}`);
	if (master) link(`${base}/master`, `../${master}`);
	for (const lower of lowers) link(`${base}/lower_${lower}`, `../${lower}`);
}

function arp({ neighbours }: Kernel): string {
	const header =
		"IP address       HW type     Flags       HW address            Mask     Device\n";
	const lines = [...neighbours].map(([key, isResolved]) => {
		const [ip = "", dev] = key.split(" ");
		const [flags, mac] = isResolved
			? ["0x2", "fe:ee:0b:ca:e5:69"]
			: ["0x0", "00:00:00:00:00:00"];
		return `${ip.padEnd(16)} 0x1         ${flags}         ${mac}     *        ${dev}\n`;
	});
	return header + lines.join("");
}

// net/ipv6/addrconf.c, if6_seq_show(): permanent addresses with their scope.
function ifInet6({ links }: Kernel): string {
	return links
		.flatMap((link) => {
			const found = inet6Of(link);
			if (!found) return [];
			const hex = (number: number) => number.toString(16).padStart(2, "0");
			const { groups, prefix, scope } = found;
			const address = groups.map((one) => one.padStart(4, "0")).join("");
			const numbers = [link.ifindex, prefix, scope === "host" ? 16 : 32, 128];
			return [
				`${address} ${numbers.map(hex).join(" ")} ${link.name.padStart(8)}\n`,
			];
		})
		.join("");
}
