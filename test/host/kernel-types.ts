import type { Routes } from "./kernel-routes";

export interface KernelAddress {
	ip: string;
	prefix: number;
	broadcast: string | undefined;
	scope: "global" | "link" | "host";
	label: string;
	secondary: boolean;
	/** It expires: a DHCP lease. */
	dynamic: boolean;
}

export interface KernelLink {
	name: string;
	ifindex: number;
	mac: string;
	up: boolean;
	mtu: number;
	/** ARPHRD_*: 1 is Ethernet, 772 the loopback. */
	type: number;
	driver: string | undefined;
	devtype: string | undefined;
	master: string | undefined;
	lowers: string[];
	addresses: KernelAddress[];
}

export interface KernelRule {
	priority: number;
	from: string;
	to: string | undefined;
	iif: string | undefined;
	table: number;
}

export interface Kernel {
	links: KernelLink[];
	rules: KernelRule[];
	routes: Routes;
	/** Values below /proc/sys/net/ipv4, such as `conf/eth1/rp_filter`. */
	sysctls: Map<string, string>;
	/** `10.0.1.1 eth0`, with whether it answered. */
	neighbours: Map<string, boolean>;
	link(name: string): KernelLink | undefined;
	plug(link: Partial<KernelLink> & { name: string; mac: string }): KernelLink;
	unplug(name: string): void;
	setLink(link: KernelLink, up: boolean): void;
	/** These return what the kernel answers when it refuses, such as `File exists`. */
	addAddress(
		link: KernelLink,
		address: Omit<KernelAddress, "secondary">,
	): string | undefined;
	deleteAddress(
		link: KernelLink,
		ip: string,
		prefix: number,
	): string | undefined;
	addRule(rule: KernelRule): string | undefined;
	deleteRule(rule: Partial<KernelRule>): string | undefined;
}
