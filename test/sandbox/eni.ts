import type { Tree } from "./programs/protocol";

/** An ENI as the cloud knows it. */
export interface Eni {
	/** The name its link gets in the guest. */
	name: string;
	/** Lower case, as the kernel prints it. */
	mac: string;
	/** The subnet, `10.0.1.0/24`. */
	subnet: string;
	gateway: string;
	/** Private IPs without prefix; the first is the primary one. */
	addresses: string[];
	/** EIPs by private IP. */
	publicIps: Record<string, string>;
	/** Whether metadata lists it. */
	listed: boolean;
}

/** An ENI to plug in; what is left out gets a default. */
export interface EniOptions {
	name: string;
	mac?: string;
	/** `10.0.1.0/24` */
	subnet: string;
	/** The subnet's first address by default. */
	gateway?: string;
	/** Private IPs, the primary one first. */
	addresses: string[];
	/** EIPs by private IP. */
	publicIps?: Record<string, string>;
	/** Whether metadata lists it from the start; true by default. */
	listed?: boolean;
}

/** The ENI with its defaults; `number` counts the ENIs of a VPC from 1. */
export function makeEni(number: number, options: EniOptions): Eni {
	return {
		// Letters in it, so that upper and lower case differ.
		mac: `52:54:00:be:ef:${number.toString(16).padStart(2, "0")}`,
		gateway: gatewayOf(options.subnet),
		publicIps: {},
		listed: true,
		...options,
		addresses: [...options.addresses],
	};
}

export function prefixLength(subnet: string): number {
	return Number(subnet.split("/")[1]);
}

/** `255.255.255.0` for `10.0.1.0/24`. */
export function netmaskOf(subnet: string): string {
	const mask = (0xffffffff << (32 - prefixLength(subnet))) >>> 0;
	return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join(".");
}

/** The first address of a subnet, where the cloud puts the gateway. */
export function gatewayOf(subnet: string): string {
	const [network = ""] = subnet.split("/");
	const parts = network.split(".").map(Number);
	return [...parts.slice(0, 3), (parts[3] ?? 0) + 1].join(".");
}

/** The metadata service's leaves for a machine with these ENIs, the primary first. */
export function metadataTree(enis: readonly Eni[]): Tree {
	const [primary, ...rest] = enis;
	const tree: Tree = {
		"instance-id": "ins-0sandbox",
		"instance/instance-type": "S2.LARGE8",
		"placement/region": "ap-guangzhou",
		"placement/zone": "ap-guangzhou-3",
	};
	if (!primary) return tree;
	tree.mac = primary.mac.toUpperCase();
	tree["local-ipv4"] = primary.addresses[0] ?? "";
	for (const eni of [primary, ...rest.filter((each) => each.listed)]) {
		addLeaves(tree, eni);
	}
	return tree;
}

function addLeaves(tree: Tree, eni: Eni): void {
	const mac = eni.mac.toUpperCase();
	const at = `network/interfaces/macs/${mac}`;
	tree[`${at}/mac`] = mac;
	tree[`${at}/primary-local-ipv4`] = eni.addresses[0] ?? "";
	const eips = eni.addresses.flatMap((ip) => eni.publicIps[ip] ?? []);
	if (eips.length > 0) tree[`${at}/public-ipv4s`] = eips.join("\n");
	tree[`${at}/vpc-id`] = "vpc-0sandbox";
	tree[`${at}/subnet-id`] = `subnet-${eni.subnet.replace(/[./]/g, "-")}`;
	for (const ip of eni.addresses) {
		const below = `${at}/local-ipv4s/${ip}`;
		tree[`${below}/gateway`] = eni.gateway;
		tree[`${below}/local-ipv4`] = ip;
		const eip = eni.publicIps[ip];
		if (eip) {
			tree[`${below}/public-ipv4`] = eip;
			tree[`${below}/public-ipv4-mode`] = "NORMAL";
		}
		tree[`${below}/subnet-mask`] = netmaskOf(eni.subnet);
	}
}
