import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Nic } from "./cloud";
import type { Disk } from "./disk";
import { maskOf, toIp } from "./ip-math";

/** Where the agent's own templates lie in the guest. */
export const templates = "/usr/lib/eni-configure/templates";
const scripts = "/etc/sysconfig/network-scripts";

const files: Record<string, string> = {
	"/etc/os-release":
		'NAME="CentOS Linux"\nVERSION="7 (Core)"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\nPRETTY_NAME="CentOS Linux 7 (Core)"\n',
	"/etc/sysctl.conf":
		"# System default settings live in /usr/lib/sysctl.d/00-system.conf.\nnet.ipv4.conf.all.rp_filter = 1\nnet.ipv4.tcp_syncookies = 1\n",
	"/etc/sysconfig/network": "# Created by anaconda\n",
	"/etc/rc.d/rc3.d/S10network": "#! /bin/bash\n",
	"/etc/iproute2/rt_tables": "255\tlocal\n254\tmain\n253\tdefault\n0\tunspec\n",
	[`${scripts}/ifcfg-lo`]:
		"DEVICE=lo\nIPADDR=127.0.0.1\nNETMASK=255.0.0.0\nNETWORK=127.0.0.0\nBROADCAST=127.255.255.255\nONBOOT=yes\nNAME=loopback\n",
	[`${scripts}/ifup-eth`]: "#!/bin/bash\n",
	[`${scripts}/network-functions`]: "# -*-Shell-script-*-\n",
};

/** The disk of a fresh CentOS 7 guest with a static primary. */
export function installGuest(disk: Disk, primary: Nic): void {
	for (const [path, content] of Object.entries(files))
		disk.write(path, content);
	disk.write(`${scripts}/ifcfg-${primary.name}`, primaryConfig(primary));
	disk.fs.mkdirSync("/var/lib", { recursive: true });
	for (const name of readdirSync(join(process.cwd(), "templates"))) {
		disk.write(
			`${templates}/${name}`,
			readFileSync(join(process.cwd(), "templates", name), "latin1"),
		);
	}
}

function primaryConfig({ name, addresses, subnet, gateway }: Nic): string {
	const netmask = toIp(maskOf(Number(subnet.split("/")[1])));
	return `# Created by cloud-init on instance boot automatically, do not edit.\n#\nBOOTPROTO=static\nDEVICE=${name}\nGATEWAY=${gateway}\nIPADDR=${addresses[0]}\nNETMASK=${netmask}\nONBOOT=yes\nTYPE=Ethernet\nUSERCTL=no\n`;
}
