import type { Link } from "../model.js";

/** What `ip addr add` needs to make an address again. */
export function addressWords(address: Link["addresses"][number]): string[] {
	const cidr = `${address.ip}/${address.prefix}`;
	// It was found to be free of duplicates when it came.
	if (address.family === 6) return [cidr, "nodad"];
	return [
		...(address.peer ? [address.ip, "peer", address.peer] : [cidr]),
		...(address.broadcast ? ["brd", address.broadcast] : []),
		...(address.scope === "global" ? [] : ["scope", address.scope]),
		...(address.label ? ["label", address.label] : []),
	];
}

/** What `ip addr add` needs for an address of ours, a CIDR, as ifup would add it. */
export function addedWords(cidr: string, link: string): string[] {
	// The broadcast address that ifup gives it: of a /32, the address itself.
	const [ip = "", prefix] = cidr.split("/");
	return [cidr, "brd", prefix === "32" ? ip : "+", "label", link];
}

/** Whether an address with its prefix stands on the link. */
export function hasAddress(link: Link, cidr: string): boolean {
	const slash = cidr.lastIndexOf("/");
	const ip = cidr.slice(0, slash);
	const prefix = cidr.slice(slash + 1);
	return link.addresses.some(
		(address) => address.ip === ip && String(address.prefix) === prefix,
	);
}
