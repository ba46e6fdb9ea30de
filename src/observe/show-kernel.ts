/** What `ip` is given to read, and its words. */
export interface Showing {
	argv: string[];
	input: string;
}

/**
 * Shows all that the kernel has of IPv4, and with `to` the way that it would go there. A process is the dearest thing here,
 * and -4 is for all of a batch, so that IPv6 addresses come from /proc. Where there is no way to go, the exit code is not
 * 0. Until 4.12 `route show` ends a batch, with 0 (exit(0) in ip/iproute.c): then the way is not shown.
 */
export function showKernel(to?: string): Showing {
	const way = to === undefined ? "" : `route get ${to}\n`;
	return {
		argv: ["ip", "-o", "-4", "-batch", "-"],
		input: `addr show\nrule show\nroute show table all\n${way}`,
	};
}

/** What was shown, and the way behind it, undefined where it was not shown. With -o it is one line, as no route's. */
export function divideWay(shown: string): {
	shown: string;
	way: string | undefined;
} {
	const end = shown.lastIndexOf("\n", shown.length - 2) + 1;
	const way = shown.slice(end);
	return /\\ {4}cache\b/.test(way)
		? { shown: shown.slice(0, end), way }
		: { shown, way: undefined };
}
