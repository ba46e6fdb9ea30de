import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** What the tests call, and the Debian package that has it. */
const programs: Record<string, string> = {
	"qemu-system-x86_64": "qemu-system-x86",
	"qemu-img": "qemu-utils",
	mmdebstrap: "mmdebstrap",
	mke2fs: "e2fsprogs",
	rpm: "rpm",
	rpmbuild: "rpm",
	cpio: "cpio",
	objdump: "binutils",
	dnsmasq: "dnsmasq-base",
	fping: "fping",
	bsdtar: "libarchive-tools",
	ip: "iproute2",
	nsenter: "util-linux",
};

/**
 * Checks that everything is there before anything is built.
 * @throws Error that names the Debian packages to install, or says that root is needed
 */
export async function checkPrerequisites(): Promise<void> {
	if (process.getuid?.() !== 0)
		throw new Error(
			"the VM tests need root: they make a disk with root's files on it",
		);
	const missing = new Set<string>();
	for (const [program, name] of Object.entries(programs)) {
		if (!(await isInPath(program))) missing.add(name);
	}
	if (missing.size === 0) return;
	throw new Error(
		`the VM tests need packages that are not installed: apt-get install --no-install-recommends ${[...missing].join(" ")}`,
	);
}

async function isInPath(program: string): Promise<boolean> {
	const folders = `${process.env.PATH}:/usr/sbin:/sbin`.split(delimiter);
	for (const folder of folders) {
		const found = await access(join(folder, program), constants.X_OK).then(
			() => true,
			() => false,
		);
		if (found) return true;
	}
	return false;
}
