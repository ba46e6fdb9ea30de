import {
	gatewayProblem,
	hostAddressProblem,
	ipOf,
	isInside,
	isIpv4,
	maxAddresses,
	parseCidr,
	prefixOfMask,
	subnetOf,
} from "./ipv4.js";
import type { StaticSource } from "./model.js";
import { quote } from "./quote.js";

/**
 * Addresses given by a person, in flags or the config: the first with its prefix (or with a
 * netmask beside it), further ones of the same subnet. A string is the one line that says what is wrong.
 */
export function parseStaticSource(given: {
	addresses: string[];
	gateway: string | undefined;
	netmask: string | undefined;
}): StaticSource | string {
	const [first, ...further] = given.addresses;
	if (given.addresses.length > maxAddresses)
		return `address: ${given.addresses.length} are given, more than the ${maxAddresses} that one NIC can have`;
	if (first === undefined)
		return "address: at least one is needed, such as 192.168.1.62/26";
	if (given.gateway === undefined)
		return "gateway: missing, expected one such as 192.168.1.1";
	const primary = withPrefix(first, given.netmask);
	if (typeof primary === "string") return primary;
	const problem = hostAddressProblem(primary.ip, primary.prefix);
	if (problem) return `address: ${primary.ip} ${problem}`;
	if (!isIpv4(given.gateway))
		return `gateway: ${quote(given.gateway)} is not an IPv4 address`;
	const misfit = gatewayProblem(given.gateway, primary.ip, primary.prefix);
	if (misfit) return `gateway: ${given.gateway} ${misfit}`;
	const subnet = subnetOf(primary.ip, primary.prefix);
	const addresses = [`${primary.ip}/${primary.prefix}`];
	for (const text of further) {
		const cidr =
			parseCidr(text) ?? (isIpv4(text) ? { ip: text, prefix: 32 } : undefined);
		if (!cidr)
			return `address: ${quote(text)} is not an IPv4 address with a prefix`;
		if (cidr.prefix !== 32 && cidr.prefix !== primary.prefix) {
			return `address: ${text} has another prefix than ${primary.ip}/${primary.prefix}: all lie in one subnet`;
		}
		const wrong =
			hostAddressProblem(cidr.ip, primary.prefix) ??
			(isInside(cidr.ip, subnet)
				? undefined
				: `lies outside the subnet ${subnet}`);
		if (wrong) return `address: ${cidr.ip} ${wrong}`;
		if (cidr.ip === given.gateway) return `address: ${cidr.ip} is the gateway`;
		if (addresses.some((other) => ipOf(other) === cidr.ip))
			return `address: ${cidr.ip} is given twice`;
		addresses.push(`${cidr.ip}/32`);
	}
	return { addresses, gateway: given.gateway };
}

function withPrefix(
	text: string,
	netmask: string | undefined,
): { ip: string; prefix: number } | string {
	const cidr = parseCidr(text);
	if (cidr && netmask === undefined) return cidr;
	if (cidr)
		return `netmask: ${quote(netmask ?? "")} is given beside the prefix of ${text}: one of the two is enough`;
	if (!isIpv4(text))
		return `address: ${quote(text)} is not an IPv4 address with a prefix, such as 192.168.1.62/26`;
	if (netmask === undefined)
		return `address: ${text} has no prefix: write ${text}/26, or give the netmask as well`;
	const prefix = prefixOfMask(netmask);
	return prefix === undefined
		? `netmask: ${quote(netmask)} is not a contiguous IPv4 mask, such as 255.255.255.192`
		: { ip: text, prefix };
}
