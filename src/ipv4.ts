/**
 * The most addresses one NIC gets. The guide's table ends at 30 and newer sizes allow some more; with
 * 512 an ifcfg file is still below the 64 KiB that is read back of one (about 80 bytes an address).
 */
export const maxAddresses = 512;

const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const quad = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

/** Whether text is a dotted quad in decimal, without leading zeros: nothing a shell could read otherwise. */
export function isIpv4(text: string): boolean {
	return quad.test(text);
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
	const prefix = 32 - Math.log2(2 ** 32 - numberOf(mask));
	// The logarithm of a number next to a power of two may be rounded to a whole one.
	return Number.isInteger(prefix) && maskOfPrefix(prefix) === mask
		? prefix
		: undefined;
}

/** 26 becomes 255.255.255.192. */
export function maskOfPrefix(prefix: number): string {
	return textOf(2 ** 32 - 2 ** (32 - prefix));
}

/** The network in canonical form: 192.168.1.62 with 26 becomes 192.168.1.0/26. */
export function subnetOf(ip: string, prefix: number): string {
	return `${textOf(firstOf(ip, prefix))}/${prefix}`;
}

/** Whether ip lies inside the CIDR. */
export function isInside(ip: string, cidr: string): boolean {
	const prefix = Number(cidr.split("/")[1]);
	return firstOf(ip, prefix) === firstOf(ipOf(cidr), prefix);
}

/** The address as an unsigned number, for ordering. */
export function numberOf(ip: string): number {
	let number = 0;
	for (const part of ip.split(".")) number = number * 256 + Number(part);
	return number;
}

// The lowest address of the subnet around ip. No bit operators: theirs are signed.
function firstOf(ip: string, prefix: number): number {
	const size = 2 ** (32 - prefix);
	return Math.floor(numberOf(ip) / size) * size;
}

function textOf(number: number): string {
	const parts = [24, 16, 8, 0].map(
		(shift) => Math.floor(number / 2 ** shift) % 256,
	);
	return parts.join(".");
}

export function compareIps(a: string, b: string): number {
	return numberOf(a) - numberOf(b);
}

const unfitRanges = (
	[
		["0.0.0.0", 8, "lies in 0.0.0.0/8"],
		["127.0.0.0", 8, "is a loopback address"],
		["169.254.0.0", 16, "is a link-local address"],
		["224.0.0.0", 4, "is a multicast address"],
		["255.255.255.255", 32, "is the broadcast address of all networks"],
		["240.0.0.0", 4, "lies in the reserved 240.0.0.0/4"],
	] as const
).map(([ip, prefix, why]) => {
	const first = numberOf(ip);
	return { first, last: first + 2 ** (32 - prefix) - 1, why };
});

/**
 * Why an address cannot stand on a NIC, or undefined when it can: only unicast that a VPC
 * may assign, and inside a subnet of /30 or wider neither its network nor its broadcast address.
 */
export function hostAddressProblem(
	ip: string,
	prefix: number,
): string | undefined {
	if (!isIpv4(ip)) return "is not an IPv4 address";
	const number = numberOf(ip);
	for (const { first, last, why } of unfitRanges)
		if (number >= first && number <= last) return why;
	if (prefix < 8) return `has a mask of /${prefix}: expected /8 to /32`;
	if (prefix > 30) return undefined;
	const size = 2 ** (32 - prefix);
	if (number % size === 0) return `is the network address of ${ip}/${prefix}`;
	if (number % size === size - 1)
		return `is the broadcast address of ${ip}/${prefix}`;
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
