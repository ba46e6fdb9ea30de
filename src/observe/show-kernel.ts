/** What `ip` is given to read, and its words. */
export interface Showing {
	argv: string[];
	input: string;
}

/**
 * Shows all that the kernel has of IPv4, and with `to` the way that it would go there. A process is the dearest thing here,
 * and -4 is for all of a batch, so that IPv6 addresses come from /proc. Whatever fails ends a batch: where there is no way
 * to go, the exit code is not 0.
 */
export function showKernel(to?: string): Showing {
	const way = to === undefined ? "" : `route get ${to}\n`;
	return {
		argv: ["ip", "-o", "-4", "-batch", "-"],
		input: `addr show\nrule show\nroute show table all\n${way}`,
	};
}

/** What was shown, and behind it the way: with -o it is one line. */
export function divideWay(shown: string): { shown: string; way: string } {
	const end = shown.lastIndexOf("\n", shown.length - 2) + 1;
	return { shown: shown.slice(0, end), way: shown.slice(end) };
}
