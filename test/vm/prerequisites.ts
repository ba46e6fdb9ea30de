import { requirePrograms } from "./packages";

/** What the tests call, and the Debian package that has it. */
const programs: Record<string, string> = {
	"qemu-system-x86_64": "qemu-system-x86",
	"qemu-img": "qemu-utils",
	mmdebstrap: "mmdebstrap",
	mke2fs: "e2fsprogs",
	rpm: "rpm",
	rpm2cpio: "rpm",
	groff: "groff-base",
	rpmbuild: "rpm",
	cpio: "cpio",
	objdump: "binutils",
	dnsmasq: "dnsmasq-base",
	fping: "fping",
	bsdtar: "libarchive-tools",
	ip: "iproute2",
	nsenter: "util-linux",
	systemctl: "systemd",
	"systemd-tmpfiles": "systemd",
	git: "git",
	gzip: "gzip",
	dash: "dash",
	npm: "npm",
};

/**
 * Checks that everything is there before anything is built.
 * @throws Error that names the Debian packages to install, or says that root is needed
 */
export function checkPrerequisites(): void {
	if (process.getuid?.() !== 0)
		throw new Error(
			"the VM tests need root: they make a disk with root's files on it",
		);
	requirePrograms(programs);
}
