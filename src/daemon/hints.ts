import { defaultExcludedNames, matchesGlob } from "../desire/candidate.js";

/** What a line of `ip -o monitor link address` hints at: look at the links, or at everything. */
export interface Hint {
	/** `ip monitor` goes on to print the name that a renamed link had before, in lines about addresses. */
	link: string;
	/** 0 where it is not known. */
	ifindex: number;
	kind: "link" | "address";
}

// Bridges and tunnels that containers and VPNs stand on: a new address there is a new prefix that the
// ENIs' tables have to know. What hangs on them (veth and so on) comes and goes by the thousand.
const networkNames = ["docker*", "br-*", "cni*", "flannel*", "virbr*"];

/**
 * Reads one line; undefined for what can be no ENI's business, which is most of what a container
 * host says. `isKnown` says whether an index is that of a NIC, whatever name it goes by. iproute2 3.10 to 6.x print `N: NAME: <FLAGS>...` or `N: NAME    inet ...`, with
 * `Deleted` and, for several kinds of object, `[LINK]` or `[ADDR]` in front; `NAME@PEER` is NAME.
 */
export function parseHint(
	line: string,
	excludedNames: string[],
	isKnown: (ifindex: number) => boolean,
): Hint | undefined {
	const match =
		/^(?:\[(?:LINK|ADDR)\])?(?:Deleted )?(\d+): ([^\s:@]+)(?:@[^\s:]+)?(:?)\s+(\S*)/.exec(
			line,
		);
	// A line that was not understood may be anything: better one look too many.
	if (!match?.[2]) return line.trim() === "" ? undefined : anything;
	const [, index, link, colon, word] = match;
	const ifindex = Number(index);
	const isExcluded =
		!isKnown(ifindex) &&
		[...defaultExcludedNames, ...excludedNames].some((glob) =>
			matchesGlob(link, glob),
		);
	if (colon === ":")
		return isExcluded ? undefined : { link, ifindex, kind: "link" };
	const isNetwork = networkNames.some((glob) => matchesGlob(link, glob));
	// IPv6 is not ours, and every link gives itself an address of it.
	if (word !== "inet" || (isExcluded && !isNetwork)) return undefined;
	return { link, ifindex, kind: "address" };
}

/** The hint of whoever cannot say what has happened: a monitor that lost messages, or was not there. */
export const anything: Hint = { link: "", ifindex: 0, kind: "address" };
