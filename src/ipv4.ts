import ipaddr from "ipaddr.js";

/**
 * The most addresses one NIC gets. The guide's table ends at 30 and newer sizes allow some more; with
 * 512 an ifcfg file is still below the 64 KiB that is read back of one (about 80 bytes an address).
 */
export const maxAddresses = 512;

/** Whether text is a dotted quad in decimal, without leading zeros: nothing a shell could read otherwise. */
export function isIpv4(text: string): boolean {
	return (
		/^[0-9.]{7,15}$/.test(text) && ipaddr.IPv4.isValidFourPartDecimal(text)
	);
}

/** Splits `192.168.1.62/26`; undefined when it is not an IPv4 address with a prefix of 0 to 32. */
export function parseCidr(
	text: string,
): { ip: string; prefix: number } | undefined {
	const match = /^([0-9.]+)\/(0|[1-9][0-9]?)$/.exec(text);
	const ip = match?.[1] ?? "";
	const prefix = Number(match?.[2]);
	return match && isIpv4(ip) && prefix <= 32 ? { ip, prefix } : undefined;
}

/** The address of a CIDR: 192.168.1.62 of 192.168.1.62/26. */
export function ipOf(cidr: string): string {
	return cidr.split("/")[0] ?? cidr;
}

/** The prefix length of a dotted-quad mask; undefined when its bits are not contiguous. */
export function prefixOfMask(mask: string): number | undefined {
	if (!isIpv4(mask)) return undefined;
	return ipaddr.IPv4.parse(mask).prefixLengthFromSubnetMask() ?? undefined;
}

/** 26 becomes 255.255.255.192. */
export function maskOfPrefix(prefix: number): string {
	return ipaddr.IPv4.subnetMaskFromPrefixLength(prefix).toString();
}

/** The network in canonical form: 192.168.1.62 with 26 becomes 192.168.1.0/26. */
export function subnetOf(ip: string, prefix: number): string {
	return `${ipaddr.IPv4.networkAddressFromCIDR(`${ip}/${prefix}`).toString()}/${prefix}`;
}

/** Whether ip lies inside the CIDR. */
export function isInside(ip: string, cidr: string): boolean {
	const [network, prefix] = ipaddr.IPv4.parseCIDR(cidr);
	return ipaddr.IPv4.parse(ip).match(network, prefix);
}

/** The address as an unsigned number, for ordering. */
export function numberOf(ip: string): number {
	return ipaddr.IPv4.parse(ip)
		.toByteArray()
		.reduce((sum, byte) => sum * 256 + byte, 0);
}

export function compareIps(a: string, b: string): number {
	return numberOf(a) - numberOf(b);
}

// By ipaddr.js' names for them.
const unfitRanges: Record<string, string> = {
	unspecified: "lies in 0.0.0.0/8",
	loopback: "is a loopback address",
	linkLocal: "is a link-local address",
	multicast: "is a multicast address",
	broadcast: "is the broadcast address of all networks",
};

/**
 * Why an address cannot stand on a NIC, or undefined when it can: only unicast that a VPC
 * may assign, and inside a subnet of /30 or wider neither its network nor its broadcast address.
 */
export function hostAddressProblem(
	ip: string,
	prefix: number,
): string | undefined {
	if (!isIpv4(ip)) return "is not an IPv4 address";
	const unfit = unfitRanges[ipaddr.IPv4.parse(ip).range()];
	if (unfit) return unfit;
	const first = Number(ip.split(".")[0]);
	if (first >= 240) return "lies in the reserved 240.0.0.0/4";
	if (prefix < 8) return `has a mask of /${prefix}: expected /8 to /32`;
	if (prefix > 30) return undefined;
	const cidr = `${ip}/${prefix}`;
	if (ipaddr.IPv4.networkAddressFromCIDR(cidr).toString() === ip) {
		return `is the network address of ${cidr}`;
	}
	if (ipaddr.IPv4.broadcastAddressFromCIDR(cidr).toString() === ip) {
		return `is the broadcast address of ${cidr}`;
	}
	return undefined;
}

/** Why a gateway does not fit an address, or undefined: it must be another host of the same subnet. */
export function gatewayProblem(
	gateway: string,
	ip: string,
	prefix: number,
): string | undefined {
	const problem = hostAddressProblem(gateway, prefix);
	if (problem) return problem;
	if (gateway === ip) return `is the NIC's own address ${ip}`;
	if (!isInside(gateway, subnetOf(ip, prefix))) {
		return `lies outside the subnet ${subnetOf(ip, prefix)} of ${ip}`;
	}
	return undefined;
}
