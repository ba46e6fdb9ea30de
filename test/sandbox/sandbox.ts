import { readFile } from "node:fs/promises";
import {
	type ClientOptions,
	type ContainerOptions,
	openClients,
} from "./clients";
import {
	type Eni,
	type EniOptions,
	makeEni,
	metadataTree,
	netmaskOf,
} from "./eni";

export type { EniOptions } from "./eni";

import { type Guest, openGuest } from "./guest";
import { type Metadata, startMetadata } from "./metadata";
import { type Namespaces, openNamespaces } from "./namespaces";
import { sandboxFolder } from "./paths";
import { openReach, type Reach } from "./reach";
import { createVpc, portId } from "./vpc";

export interface SandboxOptions {
	/** The primary ENI: eth0 with 10.0.1.10 in 10.0.1.0/24 by default. */
	primary?: Partial<EniOptions>;
	/** More ENIs, plugged in before createSandbox resolves, in order. */
	enis?: EniOptions[];
}

export interface Sandbox
	extends Guest,
		Pick<Reach, "reach" | "probe" | "transfer"> {
	/** The pid whose namespaces are the guest's, for a look from outside with nsenter. */
	pid: number;
	primary: Eni;
	/** The address of the far client, behind the router in another subnet. */
	far: string;
	metadata: Metadata & {
		/** Lists an ENI that was plugged with `listed: false`, or stops listing it. */
		list(name: string, listed: boolean): Promise<void>;
	};
	/** Binds an ENI: metadata lists it, then its link appears in the guest, down and unconfigured. */
	plug(options: EniOptions): Promise<Eni>;
	/** Unbinds it: metadata no longer lists it, then the link is gone. */
	unplug(name: string): Promise<void>;
	/** Assigns a private IP: one more address in fabric and metadata. */
	assign(name: string, address: string, publicIp?: string): Promise<void>;
	release(name: string, address: string): Promise<void>;
	/** Stops the gateway's ARP on one port, so that its neighbour entry fails. */
	gatewaySilent(name: string, silent: boolean): Promise<void>;
	/** Pulls the cable of one port, or puts it back. */
	carrier(name: string, on: boolean): Promise<void>;
	/** One more machine in the VPC, on its own port; `reach` and `probe` can start from it. */
	client(name: string, options: ClientOptions): Promise<void>;
	/**
	 * A container in the guest, on a bridge of this name (`docker0`), for which the guest forwards;
	 * `reach` and `probe` can start from it by that name. Returns its address.
	 */
	container(bridge: string, options?: ContainerOptions): Promise<string>;
	/** The guest's whole network state as text, to be compared before and after. */
	snapshot(...places: string[]): Promise<string>;
	/** Ends everything that runs in the sandbox. May be called twice. */
	close(): Promise<void>;
}

const far: ClientOptions = { subnet: "10.0.200.0/24", address: "10.0.200.10" };

/**
 * Makes a guest, its VPC and its metadata service out of namespaces, in well under a second: as root
 * or as an ordinary user, with Node, iproute2, util-linux and bash. The primary ENI is up and
 * configured by ifup. Needs the bundles of buildPrograms().
 * @throws Error that names what is in the way, if the host forbids namespaces.
 */
export async function createSandbox(
	options: SandboxOptions = {},
): Promise<Sandbox> {
	const namespaces = await openNamespaces();
	try {
		return await furnish(namespaces, options);
	} catch (error) {
		await namespaces.close();
		throw error;
	}
}

async function furnish(
	namespaces: Namespaces,
	options: SandboxOptions,
): Promise<Sandbox> {
	const guest = openGuest(namespaces);
	const reach = openReach(namespaces);
	const vpc = createVpc(namespaces);
	const clients = openClients(namespaces, vpc, reach);
	const enis: Eni[] = [];
	let plugged = 0;

	const primary = count({
		name: "eth0",
		subnet: "10.0.1.0/24",
		addresses: ["10.0.1.10"],
		...options.primary,
	});
	const [metadata] = await Promise.all([
		startMetadata(namespaces),
		reach.place("guest", namespaces.guest),
		clients.client("far", far),
		bringUp(primary),
	]);
	enis.push(primary);
	await publish();
	for (const eni of options.enis ?? []) await plug(eni);
	await guest.clearCalls();

	function publish(): Promise<void> {
		return metadata.setTree(metadataTree(enis));
	}

	function count(eni: EniOptions): Eni {
		plugged += 1;
		return makeEni(plugged, eni);
	}

	function find(name: string): Eni {
		const eni = enis.find((each) => each.name === name);
		if (!eni) throw new Error(`no ENI "${name}" is plugged in`);
		return eni;
	}

	function portOf(name: string): string {
		return portId(namespaces.guest, find(name).name);
	}

	async function bringUp(eni: Eni): Promise<void> {
		const file = `/etc/sysconfig/network-scripts/ifcfg-${eni.name}`;
		await guest.write(file, primaryFile(eni));
		await vpc.plug(namespaces.guest, eni);
		// Only this first time, its duplicate-address probe takes no time.
		const script = `echo 0 >/run/sandbox/faults/arp-wait.once
			ifup ${eni.name} && echo active >/run/sandbox/network.state`;
		const result = await guest.guest(["bash", "-c", script]);
		if (result.exitCode !== 0) {
			throw new Error(`ifup: ${result.stdout}${result.stderr}`);
		}
	}

	async function plug(options: EniOptions): Promise<Eni> {
		const eni = count(options);
		enis.push(eni);
		await publish();
		await vpc.plug(namespaces.guest, eni);
		return eni;
	}

	async function unplug(name: string): Promise<void> {
		const port = portOf(name);
		enis.splice(enis.indexOf(find(name)), 1);
		await publish();
		await vpc.unplug(port);
	}

	async function assign(name: string, address: string, publicIp?: string) {
		const eni = find(name);
		eni.addresses.push(address);
		if (publicIp) eni.publicIps[address] = publicIp;
		await vpc.assign(portOf(name), eni.mac, address);
		await publish();
	}

	async function release(name: string, address: string): Promise<void> {
		const eni = find(name);
		eni.addresses.splice(eni.addresses.indexOf(address), 1);
		delete eni.publicIps[address];
		await vpc.release(portOf(name), address);
		await publish();
	}

	async function list(name: string, listed: boolean): Promise<void> {
		find(name).listed = listed;
		await publish();
	}

	async function snapshot(...places: string[]): Promise<string> {
		const script = await readFile(`${sandboxFolder}/snapshot.sh`, "utf8");
		const words = ["bash", "-s", "--", ...places];
		const result = await guest.guest(words, { input: script });
		if (result.exitCode !== 0) throw new Error(result.stderr);
		return result.stdout;
	}

	async function close(): Promise<void> {
		await Promise.all([reach.close(), metadata.close(), namespaces.close()]);
	}

	return {
		...guest,
		reach: reach.reach,
		probe: reach.probe,
		transfer: reach.transfer,
		pid: namespaces.guest.pid,
		primary,
		far: far.address,
		metadata: { ...metadata, list },
		plug,
		unplug,
		assign,
		release,
		gatewaySilent: (name, silent) => vpc.setSilent(portOf(name), silent),
		carrier: (name, on) => vpc.setCarrier(portOf(name), on, find(name)),
		client: clients.client,
		container: clients.container,
		snapshot,
		close,
	};
}

/** As on the cloud's own CentOS 7 image: single quotes, and no HWADDR. */
function primaryFile({ name, addresses, subnet, gateway }: Eni): string {
	return `#IP Config for ${name}:
DEVICE='${name}'
NM_CONTROLLED='yes'
ONBOOT='yes'
IPADDR='${addresses[0]}'
NETMASK='${netmaskOf(subnet)}'
GATEWAY='${gateway}'
`;
}
