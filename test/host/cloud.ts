import { networkOf, toIp, toNumber } from "./ip-math";
import type { CloudEni } from "./metadata";

/** A NIC of the machine; what is left out gets a default. */
export interface NicOptions {
	name: string;
	mac?: string;
	/** The subnet of the first address, `/24` of it by default. */
	subnet?: string;
	/** The subnet's first address by default. */
	gateway?: string;
	/** Private IPs as the cloud has them, the primary one first. */
	addresses: string[];
	/** Whether metadata lists it; true by default. */
	listed?: boolean;
}

export interface Nic extends CloudEni {
	name: string;
	listed: boolean;
}

/** A NIC with everything filled in: eth3 gets a MAC that ends in 53. */
export function nicOf({
	name,
	mac,
	subnet,
	gateway,
	addresses,
	listed = true,
}: NicOptions): Nic {
	const number = 0x50 + Number(/\d+$/.exec(name)?.[0] ?? 0);
	const network = subnet ?? networkOf(addresses[0] ?? "0.0.0.0", 24);
	return {
		name,
		mac: mac ?? `52:54:00:bf:b3:${number.toString(16)}`,
		subnet: network,
		gateway: gateway ?? toIp(toNumber(network.split("/")[0] ?? "") + 1),
		addresses: [...addresses],
		listed,
	};
}
