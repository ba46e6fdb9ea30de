import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { type ClientOptions, openClients } from "../sandbox/clients";
import { type Eni, metadataTree, netmaskOf } from "../sandbox/eni";
import { type Metadata, startMetadata } from "../sandbox/metadata";
import { openNamespaces } from "../sandbox/namespaces";
import { createVpc } from "../sandbox/vpc";

/** A far client's view of some addresses over a while. */
export interface Watch {
	/** When each address answered for the first time (ms since the epoch); those that never did are missing. */
	first: ReadonlyMap<string, number>;
	/** Ends it: datagrams sent and lost by address. */
	stop(): Promise<Map<string, { sent: number; lost: number }>>;
}

/**
 * The VPC around a virtual machine: the sandbox's router with taps instead of veth, its metadata
 * service, DHCP for the primary ENI, and a far client that pings.
 */
export interface Cloud {
	/** The words in front of a command that make it run where the taps are. */
	prefix: string[];
	metadata: Metadata;
	/** The tap's name for an ENI. */
	port(eni: Eni): string;
	/** Lists the ENIs in metadata, the primary first. */
	publish(enis: readonly Eni[]): Promise<void>;
	openPort(eni: Eni): Promise<void>;
	closePort(eni: Eni): Promise<void>;
	assign(eni: Eni, address: string): Promise<void>;
	serveDhcp(eni: Eni): Promise<void>;
	/** The addresses among these that answer the far client within the time. */
	answering(
		addresses: readonly string[],
		timeoutMs?: number,
	): Promise<string[]>;
	/** Pings all of them every so often until stopped. */
	watch(addresses: readonly string[], intervalMs?: number): Watch;
	/** Serves a folder over HTTP on http://169.254.0.24:8080 until the end. */
	serveFiles(folder: string): Promise<void>;
	close(): Promise<void>;
}

const far: ClientOptions = { subnet: "10.0.200.0/24", address: "10.0.200.10" };

export async function openCloud(): Promise<Cloud> {
	const namespaces = await openNamespaces();
	const { router, prefix } = namespaces;
	const vpc = createVpc(namespaces);
	const children: ChildProcess[] = [];
	const [metadata, farClient] = await Promise.all([
		startMetadata(namespaces),
		openClients(namespaces, vpc, { place: async () => {} }).machine(far),
	]);
	const port = ({ mac }: Eni) => `tap${mac.slice(-2)}`;

	function start(words: string[]): ChildProcess {
		const [program, ...rest] = words;
		const child = spawn(program as string, rest, {
			stdio: ["ignore", "pipe", "pipe"],
		});
		children.push(child);
		return child;
	}

	async function serveDhcp(eni: Eni): Promise<void> {
		const [address] = eni.addresses;
		const server = start([
			...prefix(router),
			...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"],
			...["--port=0", "--user=root", "--pid-file=", "--leasefile-ro"],
			...["--log-facility=-", "--no-ping", "--bind-dynamic"],
			`--interface=${port(eni)}`,
			`--dhcp-range=${address},${address},${netmaskOf(eni.subnet)},1h`,
			`--dhcp-host=${eni.mac},${address}`,
			`--dhcp-option=option:router,${eni.gateway}`,
		]);
		let said = "";
		await new Promise<void>((resolve, reject) => {
			createInterface({ input: server.stderr as NodeJS.ReadableStream }).on(
				"line",
				(line) => {
					said += `${line}\n`;
					if (line.includes("DHCP, IP range")) resolve();
				},
			);
			server.once("close", () => reject(new Error(`dnsmasq ended: ${said}`)));
		});
	}

	async function answering(addresses: readonly string[], timeoutMs = 500) {
		const { stdout } = await execa(
			(prefix(farClient) as [string])[0],
			[
				...prefix(farClient).slice(1),
				...["fping", "-a", "-r", "0", "-i", "1", "-t", `${timeoutMs}`],
				...addresses,
			],
			{ reject: false },
		);
		return stdout.split("\n").filter(Boolean);
	}

	function watch(addresses: readonly string[], intervalMs = 20): Watch {
		const first = new Map<string, number>();
		const child = start([
			...prefix(farClient),
			...["fping", "-l", "-D", "-i", "1", "-p", `${intervalMs}`, "-t", "2000"],
			...addresses,
		]);
		let summary = "";
		createInterface({ input: child.stdout as NodeJS.ReadableStream }).on(
			"line",
			(line) => {
				const [, seconds, address] =
					/^\[([\d.]+)\] (\S+) +: \[\d+\], \d+ bytes/.exec(line) ?? [];
				if (address && !first.has(address))
					first.set(address, Number(seconds) * 1000);
			},
		);
		child.stderr?.on("data", (more) => {
			summary += more;
		});
		const ended = new Promise<void>((resolve) =>
			child.once("close", () => resolve()),
		);
		return {
			first,
			async stop() {
				child.kill("SIGINT");
				await ended;
				const counts = new Map<string, { sent: number; lost: number }>();
				for (const [, address = "", sent, received] of summary.matchAll(
					/^(\S+) +: xmt\/rcv\/%loss = (\d+)\/(\d+)/gm,
				))
					counts.set(address, {
						sent: Number(sent),
						lost: Number(sent) - Number(received),
					});
				return counts;
			},
		};
	}

	async function serveFiles(folder: string): Promise<void> {
		const address = "169.254.0.24";
		await namespaces.enter(router, [
			...["ip", "addr", "replace", `${address}/32`, "dev", "lo"],
		]);
		const script = `require("http").createServer((request, response) => {
			const file = require("fs").createReadStream(${JSON.stringify(`${folder}/`)} + require("path").basename(request.url));
			file.on("error", () => { response.statusCode = 404; response.end(); });
			file.pipe(response);
		}).listen(8080, "${address}", () => console.log("ready"))`;
		const server = start([...prefix(router), process.execPath, "-e", script]);
		await new Promise<void>((resolve, reject) => {
			server.stdout?.once("data", () => resolve());
			server.once("close", () => reject(new Error("the file server ended")));
		});
	}

	return {
		prefix: prefix(router),
		metadata,
		port,
		publish: (enis) => metadata.setTree(metadataTree(enis)),
		openPort: (eni) => vpc.openTap(port(eni), eni),
		closePort: (eni) => vpc.unplug(port(eni)),
		assign: (eni, address) => vpc.assign(port(eni), eni.mac, address),
		serveDhcp,
		answering,
		watch,
		serveFiles,
		async close() {
			for (const child of children) child.kill("SIGKILL");
			await metadata.close();
			await namespaces.close();
		},
	};
}
