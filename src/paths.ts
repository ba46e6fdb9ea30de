/** Every path the agent reads or writes, in one place. */
export const paths = {
	config: "/etc/eni-configure/config.yaml",
	userTemplates: "/etc/eni-configure/templates",
	networkScripts: "/etc/sysconfig/network-scripts",
	sysctlConf: "/etc/sysctl.conf",
	stateDirectory: "/var/lib/eni-configure",
	state: "/var/lib/eni-configure/state.json",
	backups: "/var/lib/eni-configure/backup",
	journal: "/var/lib/eni-configure/journal.json",
	undoDirectory: "/var/lib/eni-configure/undo",
	undo: "/var/lib/eni-configure/undo/journal.json",
	lock: "/var/lib/eni-configure/lock",
	sysClassNet: "/sys/class/net",
	procSysIpv4: "/proc/sys/net/ipv4",
	arp: "/proc/net/arp",
	bootId: "/proc/sys/kernel/random/boot_id",
} as const;
