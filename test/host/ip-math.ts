/** Small IPv4 arithmetic of the fake kernel, apart from the agent's own on purpose. */

export function toNumber(ip: string): number {
	return ip.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

export function toIp(number: number): string {
	return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

export function maskOf(prefix: number): number {
	return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
}

/** `192.168.1.62/26` to `192.168.1.0/26`. */
export function networkOf(ip: string, prefix: number): string {
	return `${toIp((toNumber(ip) & maskOf(prefix)) >>> 0)}/${prefix}`;
}

export function broadcastOf(ip: string, prefix: number): string {
	return toIp((toNumber(ip) | ~maskOf(prefix)) >>> 0);
}

export function isIn(ip: string, cidr: string): boolean {
	const [network = "", prefix = "32"] = cidr.split("/");
	return networkOf(ip, Number(prefix)) === networkOf(network, Number(prefix));
}

export function prefixOf(netmask: string): number {
	return toNumber(netmask).toString(2).replace(/0+$/, "").length;
}

/** A host's CIDR without its /32, as `ip` prints it; the default route by its name. */
export function shortCidr(cidr: string): string {
	return cidr === "0.0.0.0/0" ? "default" : cidr.replace(/\/32$/, "");
}

/** What `ip` reads as a prefix: an address, a CIDR, `default` or `all`; undefined for anything else. */
export function parsePrefix(text: string): string | undefined {
	if (["default", "all", "any"].includes(text)) return "0.0.0.0/0";
	const match = /^(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/.exec(text);
	const octets = match?.[1]?.split(".").map(Number) ?? [];
	const prefix = Number(match?.[2] ?? 32);
	if (!match?.[1] || octets.some((octet) => octet > 255) || prefix > 32)
		return undefined;
	return `${match[1]}/${prefix}`;
}
