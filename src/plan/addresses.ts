import type { Link } from "../model.js";

/** What `ip addr add` needs to make an address again. */
export function addressWords(address: Link["addresses"][number]): string[] {
	const cidr = `${address.ip}/${address.prefix}`;
	return [
		...(address.peer ? [address.ip, "peer", address.peer] : [cidr]),
		...(address.broadcast ? ["brd", address.broadcast] : []),
		...(address.scope === "global" ? [] : ["scope", address.scope]),
		...(address.label ? ["label", address.label] : []),
	];
}

/** Whether an IPv4 CIDR stands on the link. */
export function hasAddress(link: Link, cidr: string): boolean {
	return link.addresses.some(
		(address) =>
			address.family === 4 && `${address.ip}/${address.prefix}` === cidr,
	);
}
