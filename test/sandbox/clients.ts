import { gatewayOf, prefixLength } from "./eni";
import type { Namespace, Namespaces } from "./namespaces";
import type { Reach } from "./reach";
import type { Vpc } from "./vpc";

export interface ClientOptions {
	subnet: string;
	address: string;
	/** The subnet's first address by default. */
	gateway?: string;
}

export interface ContainerOptions {
	/** The bridge's own address, `172.17.0.1` by default, in a /16. */
	bridgeAddress?: string;
	/** The container's address, `172.17.0.2` by default. */
	address?: string;
}

export interface Clients {
	/** One more machine in the VPC, on its own port, that answers nothing but ping; its namespace. */
	machine(options: ClientOptions): Promise<Namespace>;
	/** The same with an echo, so that `reach` and `probe` can start from it. */
	client(name: string, options: ClientOptions): Promise<void>;
	container(bridge: string, options?: ContainerOptions): Promise<string>;
}

/** Machines beside the guest: others in the VPC, and containers inside it. */
export function openClients(
	namespaces: Namespaces,
	vpc: Vpc,
	{ place }: Pick<Reach, "place">,
): Clients {
	let made = 0;

	/** Gives the namespace's eth0 its address and default route. */
	async function configure(
		where: Namespace,
		address: string,
		gateway: string,
	): Promise<void> {
		const lines = [
			`addr add ${address} dev eth0`,
			"link set dev eth0 up",
			`route add default via ${gateway}`,
		];
		await namespaces.enter(where, ["ip", "-batch", "-"], {
			input: lines.map((line) => `${line}\n`).join(""),
		});
	}

	async function machine(options: ClientOptions): Promise<Namespace> {
		const { subnet, address, gateway = gatewayOf(subnet) } = options;
		made += 1;
		// Another vendor's prefix than the ENIs'.
		const mac = `02:00:00:00:00:${made.toString(16).padStart(2, "0")}`;
		const where = await namespaces.add();
		await vpc.plug(where, { name: "eth0", mac, gateway, addresses: [address] });
		await configure(where, `${address}/${prefixLength(subnet)}`, gateway);
		return where;
	}

	async function client(name: string, options: ClientOptions): Promise<void> {
		await place(name, await machine(options));
	}

	async function container(
		bridge: string,
		options: ContainerOptions = {},
	): Promise<string> {
		const { bridgeAddress = "172.17.0.1", address = "172.17.0.2" } = options;
		const where = await namespaces.add();
		const end = `veth${where.pid}`;
		const lines = [
			`link add name ${bridge} type bridge`,
			`addr add ${bridgeAddress}/16 dev ${bridge}`,
			`link set dev ${bridge} up`,
			`link add name ${end} type veth peer name eth0 netns ${where.pid}`,
			`link set dev ${end} master ${bridge} up`,
		];
		await namespaces.enter(
			namespaces.guest,
			["bash", "-ec", "ip -batch -; echo 1 >/proc/sys/net/ipv4/ip_forward"],
			{ input: lines.map((line) => `${line}\n`).join("") },
		);
		await configure(where, `${address}/16`, bridgeAddress);
		await place(bridge, where);
		return address;
	}

	return { machine, client, container };
}
