import { createHash } from "node:crypto";
import {
	cp,
	mkdir,
	readdir,
	readFile,
	rename,
	rm,
	stat,
	symlink,
	utimes,
	writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { cacheFolder, sandboxFolder, vmFolder } from "./paths";

/** What QEMU starts. */
export interface Disk {
	/** A raw image; never written to, machines get a layer of their own over it. */
	image: string;
	kernel: string;
	initrd: string;
}

/** Debian's packages in the guest. */
const packages = [
	"linux-image-cloud-amd64",
	// An initrd of two modules and 600 lines of C: under emulation each second of a boot counts.
	"tiny-initramfs",
	"systemd-sysv",
	"udev",
	"iproute2",
	"util-linux",
	"kmod",
	"procps",
	"isc-dhcp-client",
	"rpm",
	"cloud-init",
	"curl",
];

/** What a server without a screen, a disk that never changes and a fixed set of users can do without: it takes seconds under emulation. */
const masked = [
	"apt-daily-upgrade.timer",
	"apt-daily.timer",
	"cryptsetup.target",
	"dbus.service",
	"dbus.socket",
	"dev-hugepages.mount",
	"dev-mqueue.mount",
	"dpkg-db-backup.timer",
	"e2scrub_all.timer",
	"e2scrub_reap.service",
	"fstrim.timer",
	"getty.target",
	"getty@tty1.service",
	"integritysetup.target",
	"kmod-static-nodes.service",
	"ldconfig.service",
	"proc-sys-fs-binfmt_misc.automount",
	"remote-fs.target",
	"serial-getty@ttyS0.service",
	"sys-fs-fuse-connections.mount",
	"sys-kernel-config.mount",
	"sys-kernel-debug.mount",
	"sys-kernel-tracing.mount",
	"systemd-ask-password-console.path",
	"systemd-ask-password-wall.path",
	"systemd-binfmt.service",
	"systemd-firstboot.service",
	"systemd-hwdb-update.service",
	"systemd-journal-catalog-update.service",
	"systemd-journal-flush.service",
	"systemd-logind.service",
	"systemd-machine-id-commit.service",
	"systemd-modules-load.service",
	"systemd-network-generator.service",
	"systemd-pcrphase-sysinit.service",
	"systemd-pcrphase.service",
	"systemd-pstore.service",
	"systemd-random-seed.service",
	"systemd-remount-fs.service",
	"systemd-repart.service",
	"systemd-sysusers.service",
	"systemd-tmpfiles-clean.timer",
	"systemd-tmpfiles-setup-dev.service",
	"systemd-update-done.service",
	"systemd-update-utmp-runlevel.service",
	"systemd-update-utmp.service",
	"systemd-user-sessions.service",
	"veritysetup.target",
];

/** The udev rules that name devices, load drivers, and tell systemd of them. */
const neededRules = [
	"50-udev-default.rules",
	"75-net-description.rules",
	"80-drivers.rules",
	"80-net-setup-link.rules",
	"99-systemd.rules",
];

/** What of the RPM's requirements the guest's own files meet; Debian's packages are not in rpm's database. */
const userland = ["systemd", "iproute", "util-linux", "coreutils", "procps-ng"];

/**
 * A disk as a new CVM has it: Debian under the clothes of CentOS 7 (network-scripts and network.service
 * are our stand-ins), DHCP on eth0, nothing of ours installed. Cached.
 */
export const freshDisk = () => makeDisk("fresh", [], async () => {});

/** The same with an RPM of ours installed as an image's builder does it, the services enabled or not. */
export const installedDisk = (rpm: string, services: "enabled" | "disabled") =>
	makeDisk(`installed-${services}`, [rpm], async (root) => {
		await rpmIn(root, ["--install", rpm]);
		if (services === "enabled")
			await execa("systemctl", [`--root=${root}`, "enable", "eni-configure"]);
	});

async function makeDisk(
	name: string,
	inputs: string[],
	finish: (root: string) => Promise<void>,
): Promise<Disk> {
	const debian = await debianRoot();
	const hash = createHash("sha256").update(debian);
	const laid = [
		join(vmFolder, "guest"),
		join(sandboxFolder, "guest"),
		join(sandboxFolder, "network-scripts"),
	];
	const files = (await Promise.all(laid.map(filesBelow))).flat();
	for (const file of [...files, join(vmFolder, "image.ts"), ...inputs])
		hash.update(file).update(await readFile(file));
	const image = join(
		cacheFolder,
		`${name}-${hash.digest("hex").slice(0, 16)}.img`,
	);
	const disk = {
		image,
		kernel: join(debian, "vmlinuz"),
		initrd: join(debian, "initrd"),
	};
	if (await exists(image)) {
		await utimes(image, new Date(), new Date());
		return disk;
	}
	const root = join(cacheFolder, `stage-${process.pid}`);
	try {
		await execa("cp", ["-a", join(debian, "root"), root]);
		await dress(root);
		await finish(root);
		await rm(`${image}.new`, { force: true });
		await execa("mke2fs", [
			...["-q", "-t", "ext4", "-L", "root", "-d", root],
			...[`${image}.new`, "2G"],
		]);
		await rename(`${image}.new`, image);
		// A disk that nobody has used for a day is of another state of the tree.
		for (const old of await readdir(cacheFolder)) {
			const path = join(cacheFolder, old);
			if (old.endsWith(".img") && (await age(path)) > 24 * 3600_000)
				await rm(path, { force: true });
		}
	} finally {
		await rm(root, { recursive: true, force: true });
	}
	return disk;
}

/** Debian's packages unpacked, with kernel and initrd beside them. */
async function debianRoot(): Promise<string> {
	// With all that is done to them here.
	const hash = createHash("sha256")
		.update(debianRoot.toString() + packages.join(" "))
		.digest("hex");
	const folder = join(cacheFolder, `debian-${hash.slice(0, 16)}`);
	if (await exists(folder)) return folder;
	const making = `${folder}.new`;
	const root = join(making, "root");
	await rm(making, { recursive: true, force: true });
	await mkdir(making, { recursive: true });
	await execa("mmdebstrap", [
		...["--quiet", "--variant=minbase", `--include=${packages.join(",")}`],
		...["doc", "locale", "man", "info"].map(
			(what) => `--dpkgopt=path-exclude=/usr/share/${what}/*`,
		),
		...["bookworm", root],
	]);
	const kernel = (await readdir(join(root, "boot"))).find((name) =>
		name.startsWith("vmlinuz-"),
	);
	if (!kernel) throw new Error("Debian's kernel package brought no kernel");
	const version = kernel.slice("vmlinuz-".length);
	await execa("chroot", [
		...[root, "mktirfs", "-o", "/boot/initrd", "-m", "no", "-M", "no"],
		...["--include-modules=virtio_pci,virtio_blk", version],
	]);
	await rename(join(root, "boot", kernel), join(making, "vmlinuz"));
	await rename(join(root, "boot/initrd"), join(making, "initrd"));
	await rename(making, folder);
	return folder;
}

/** Lays our files over Debian's, as the stand-ins in the namespaces have them. */
async function dress(root: string): Promise<void> {
	const into = (path: string) => join(root, path);
	const link = async (target: string, path: string) => {
		await rm(into(path), { force: true });
		await mkdir(dirname(into(path)), { recursive: true });
		await symlink(target, into(path));
	};
	const lay = (from: string, path: string) =>
		cp(from, into(path), { recursive: true, dereference: false });

	// Debian's is a link to a file of a package.
	await rm(into("etc/os-release"));
	await lay(join(sandboxFolder, "guest/etc"), "etc");
	await rm(into("usr/lib/sysctl.d"), { recursive: true });
	await lay(join(sandboxFolder, "guest/usr-lib-sysctl.d"), "usr/lib/sysctl.d");
	await link("../sysctl.conf", "etc/sysctl.d/99-sysctl.conf");
	await lay(join(vmFolder, "guest"), "");
	for (const name of ["ifup", "ifdown", "lib.sh"])
		await lay(
			join(sandboxFolder, "network-scripts", name),
			`etc/sandbox/bin/${name}`,
		);
	await lay(
		join(sandboxFolder, "network-scripts/network"),
		"etc/init.d/network",
	);
	for (const name of ["ifup", "ifdown"])
		await link(`/etc/sandbox/bin/${name}`, `usr/sbin/${name}`);
	for (const unit of masked)
		await link("/dev/null", `etc/systemd/system/${unit}`);
	for (const [unit, target] of [
		["commands.service", "sysinit.target"],
		["at-boot.service", "multi-user.target"],
		["network.service", "multi-user.target"],
	])
		await link(`../${unit}`, `etc/systemd/system/${target}.wants/${unit}`);
	await link(
		"/usr/lib/systemd/system/multi-user.target",
		"etc/systemd/system/default.target",
	);
	// The rest describes disks, keyboards and vendors; it is read for each device at each boot.
	const rules = into("usr/lib/udev/rules.d");
	for (const name of await readdir(rules))
		if (!neededRules.includes(name)) await rm(join(rules, name));
	await rm(into("usr/lib/udev/hwdb.bin"), { force: true });
	// Folders of services that are not here.
	const folders = into("usr/lib/tmpfiles.d");
	for (const name of await readdir(folders))
		if (name !== "var.conf") await rm(join(folders, name));
	await writeFile(into("etc/fstab"), "");
	await describeUserland(root);
}

/** An empty RPM that says what Debian's files provide, so that what ours requires is checked and not waved through. */
async function describeUserland(root: string): Promise<void> {
	const libraries = (
		await filesBelow(join(root, "usr/lib/x86_64-linux-gnu"))
	).filter((path) => /\.so(\.\d+)*$/.test(path));
	const { stdout } = await execa("/usr/lib/rpm/find-provides", {
		input: libraries.join("\n"),
	});
	const provided = [
		...userland.map((name) => `${name} = 1`),
		"initscripts = 9.49.30",
		"/bin/sh",
		// Of glibc; find-provides does not say it.
		"rtld(GNU_HASH)",
		...stdout.split("\n").filter(Boolean),
	];
	const top = join(cacheFolder, `userland-${process.pid}`);
	await mkdir(top, { recursive: true });
	try {
		const spec = join(top, "userland.spec");
		await writeFile(
			spec,
			`Name: userland\nVersion: 7\nRelease: 1\nSummary: What this machine has\nLicense: none\nBuildArch: x86_64\n${provided
				.map((one) => `Provides: ${one}\n`)
				.join("")}%description\n%files\n`,
		);
		await execa("rpmbuild", [
			...["-bb", "--quiet", "--target", "x86_64"],
			...["--define", `_topdir ${top}`, spec],
		]);
		await rpmIn(root, [
			"--install",
			join(top, "RPMS/x86_64/userland-7-1.x86_64.rpm"),
		]);
	} finally {
		await rm(top, { recursive: true, force: true });
	}
}

/** rpm on a root that is not running; scriptlets run in there. */
async function rpmIn(root: string, words: string[]): Promise<void> {
	await execa("rpm", [
		...["--root", root, "--define", "_dbpath /var/lib/rpm"],
		...["--force-debian", ...words],
	]);
}

/** All regular files below a folder, sorted. */
async function filesBelow(folder: string): Promise<string[]> {
	const entries = await readdir(folder, { withFileTypes: true });
	const found = await Promise.all(
		entries.map((entry) => {
			const path = join(folder, entry.name);
			if (entry.isDirectory()) return filesBelow(path);
			return entry.isFile() ? [path] : [];
		}),
	);
	return found.flat().sort();
}

const age = async (path: string) => Date.now() - (await stat(path)).mtimeMs;

function exists(path: string): Promise<boolean> {
	return readdir(dirname(path)).then(
		(names) => names.includes(path.slice(dirname(path).length + 1)),
		() => false,
	);
}
