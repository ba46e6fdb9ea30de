import type { Namespace, Namespaces } from "./namespaces";

/** One port of the VPC: what is plugged into it, and the addresses that it may use. */
export interface Port {
	/** The link's name at the far end. */
	name: string;
	mac: string;
	gateway: string;
	addresses: readonly string[];
}

export interface Vpc {
	/**
	 * Makes the port and moves its other end into a namespace, where it arrives down and without
	 * addresses. The fabric is complete before the link appears.
	 */
	plug(into: Namespace, port: Port): Promise<void>;
	/** Makes a port whose other end is a tap of this name, for a machine that is no namespace. */
	openTap(portId: string, port: Omit<Port, "name">): Promise<void>;
	unplug(portId: string): Promise<void>;
	assign(portId: string, mac: string, address: string): Promise<void>;
	release(portId: string, address: string): Promise<void>;
	/** The gateway stops, or starts again, to answer ARP on one port. */
	setSilent(portId: string, silent: boolean): Promise<void>;
	/** The cable of one port: without carrier, or with it again. */
	setCarrier(portId: string, on: boolean, port: Port): Promise<void>;
}

/**
 * The router namespace as a VPC. A host route per private IP, with the ENI's MAC as a permanent
 * neighbour, is the delivery table; strict rp_filter on each port drops what comes from a port
 * that does not own the source address; proxy ARP is the fabric between the ports.
 */
export function createVpc({ router, enter }: Namespaces): Vpc {
	/** With lines, the script is to pass them to `ip -batch -`. */
	async function inRouter(script: string, batch?: string[]): Promise<void> {
		await enter(
			router,
			["bash", "-ec", script],
			batch ? { input: batch.map((line) => `${line}\n`).join("") } : {},
		);
	}
	const conf = (port: string) => `/proc/sys/net/ipv4/conf/${port}`;

	return {
		async plug(into, { name, ...rest }) {
			const port = portId(into, name);
			const far = `x${port}`;
			await inRouter(
				`${openPort(port)}
				ip link set dev ${far} netns ${into.pid} name ${name}`,
				[
					`link add name ${port} type veth peer name ${far} address ${rest.mac}`,
					...portLines(port, rest),
				],
			);
		},
		openTap: (port, rest) =>
			inRouter(openPort(port), [
				`tuntap add dev ${port} mode tap`,
				...portLines(port, rest),
			]),
		unplug: (port) => inRouter(`ip link del dev ${port}`),
		assign: (port, mac, address) =>
			inRouter("ip -batch -", delivery(port, mac, address)),
		release: (port, address) =>
			inRouter("ip -batch -", [
				`route del ${address}/32 dev ${port}`,
				`neigh del ${address} dev ${port}`,
			]),
		// 8: no answer for any address of the router itself.
		setSilent: (port, silent) =>
			inRouter(`echo ${silent ? 8 : 0} >${conf(port)}/arp_ignore`),
		async setCarrier(port, on, { mac, addresses }) {
			// The routes go with the link, and do not come back by themselves.
			await inRouter(
				"ip -batch -",
				on
					? [
							`link set dev ${port} up`,
							...addresses.flatMap((address) => delivery(port, mac, address)),
						]
					: [`link set dev ${port} down`],
			);
		},
	};
}

/** The router's name for the port of a link; links of one name may sit in several namespaces. */
export function portId(where: Namespace, name: string): string {
	return `p${where.pid}${name}`;
}

/** Without a delay for proxied answers, else the kernel waits up to 0.8 s with each. */
function openPort(port: string): string {
	return `ip -batch -
		echo 0 >/proc/sys/net/ipv4/neigh/${port}/proxy_delay`;
}

function portLines(
	port: string,
	{ mac, gateway, addresses }: Omit<Port, "name">,
): string[] {
	return [
		`addr add ${gateway}/32 dev ${port}`,
		`link set dev ${port} up`,
		...addresses.flatMap((address) => delivery(port, mac, address)),
	];
}

function delivery(port: string, mac: string, address: string): string[] {
	return [
		`route add ${address}/32 dev ${port}`,
		`neigh replace ${address} lladdr ${mac} dev ${port} nud permanent`,
	];
}
