/** What the agent sets for each managed link below /proc/sys/net/ipv4/conf/. */
export const linkSysctls = ["rp_filter", "arp_ignore", "promote_secondaries"];

/** The key of a per-link IPv4 sysctl as KernelState.sysctls has it: `conf/eth1/rp_filter`. */
export function sysctlKey(link: string, leaf: string): string {
	// Slashes inside, so that a name with a dot in it (eth1.100) stays one part.
	return `conf/${link}/${leaf}`;
}
