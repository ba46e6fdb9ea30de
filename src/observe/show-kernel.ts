/**
 * Shows all that the kernel has of IPv4: `ip` is given this to read. A process is the dearest thing here, and -4 is for
 * all of a batch, so that IPv6 addresses come from /proc.
 */
export const showKernel = {
	argv: ["ip", "-o", "-4", "-batch", "-"],
	input: "addr show\nrule show\nroute show table all\n",
};
