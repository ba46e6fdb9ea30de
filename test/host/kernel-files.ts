import type { Disk } from "./disk";
import type { FakeHost } from "./fake-host-types";
import type { Kernel, KernelLink } from "./kernel-types";

/** What /proc and /sys show besides the links. */
export interface Machine {
	kernel: Kernel;
	bootId: string;
	/** Other processes by pid: their command, and files they have open. */
	processes: FakeHost["processes"];
}

/** Writes /sys/class/net, /proc/net/arp, /proc/sys and the processes as the machine is now. */
export function writeKernelFiles(
	{ fs }: Disk,
	{ kernel, bootId, processes }: Machine,
): void {
	for (const directory of ["/sys/class/net", "/proc"])
		fs.rmSync(directory, { recursive: true, force: true });
	for (const link of kernel.links) writeLink(fs, link);
	const put = (path: string, content: string) => {
		fs.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
		fs.writeFileSync(path, content);
	};
	for (const [key, value] of kernel.sysctls)
		put(`/proc/sys/net/ipv4/${key}`, `${value}\n`);
	put("/proc/sys/kernel/random/boot_id", `${bootId}\n`);
	put("/proc/net/arp", arp(kernel));
	const self = 4000;
	put(`/proc/${self}/comm`, "node\n");
	fs.symlinkSync(String(self), "/proc/self");
	for (const [pid, { command, open, environment = {} }] of processes) {
		put(`/proc/${pid}/comm`, `${command.split(" ")[0]}\n`);
		put(`/proc/${pid}/cmdline`, `${command.split(" ").join("\0")}\0`);
		const entries = Object.entries(environment);
		put(
			`/proc/${pid}/environ`,
			entries.map(([name, value]) => `${name}=${value}\0`).join(""),
		);
		fs.mkdirSync(`/proc/${pid}/fd`, { recursive: true });
		for (const [at, path] of open.entries())
			fs.symlinkSync(path, `/proc/${pid}/fd/${at + 3}`);
	}
}

function writeLink(fs: Disk["fs"], link: KernelLink): void {
	const base = `/sys/class/net/${link.name}`;
	fs.mkdirSync(base, { recursive: true });
	const values = {
		address: link.mac,
		ifindex: link.ifindex,
		flags: `0x${((link.type === 772 ? 0x8 : 0x1002) | (link.up ? 0x1 : 0)).toString(16)}`,
		operstate: link.type === 772 ? "unknown" : link.up ? "up" : "down",
		mtu: link.mtu,
		type: link.type,
		uevent: `${link.devtype ? `DEVTYPE=${link.devtype}\n` : ""}INTERFACE=${link.name}\nIFINDEX=${link.ifindex}`,
	};
	for (const [name, value] of Object.entries(values))
		fs.writeFileSync(`${base}/${name}`, `${value}\n`);
	if (link.driver) {
		fs.mkdirSync(`${base}/device`);
		fs.symlinkSync(
			`../../../bus/virtio/drivers/${link.driver}`,
			`${base}/device/driver`,
		);
	}
	if (link.master) fs.symlinkSync(`../${link.master}`, `${base}/master`);
	for (const lower of link.lowers)
		fs.symlinkSync(`../${lower}`, `${base}/lower_${lower}`);
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
