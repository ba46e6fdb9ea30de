import type { EniOptions } from "../test/sandbox/sandbox";

/** Where network-scripts' files are in the guest. */
export const scripts = "/etc/sysconfig/network-scripts";

/**
 * eth1 with so many addresses in the primary's own subnet: the normal case, and the harder one. The same MAC each time, so
 * that files written for one are good for the next.
 */
export function firstEni(count: number): EniOptions {
	return {
		name: "eth1",
		mac: "52:54:00:be:ef:a1",
		subnet: "10.0.1.0/24",
		addresses: addresses("10.0.1", count),
	};
}

/** eth1, eth2 and so on with so many addresses each, in subnets of their own. */
export function manyEnis(count: number, each: number): EniOptions[] {
	return Array.from({ length: count }, (_, at) => ({
		name: `eth${at + 1}`,
		subnet: `10.0.${at + 2}.0/24`,
		addresses: addresses(`10.0.${at + 2}`, each),
	}));
}

function addresses(network: string, count: number): string[] {
	return Array.from({ length: count }, (_, at) => `${network}.${at + 20}`);
}
