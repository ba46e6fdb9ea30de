// Runs in one network namespace: echoes UDP on port 7 of every IPv4 address there, and asks
// others' echoes. Stands for ping, which would need a package and a privilege. TCP on port 7 as well.
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { ProbeParams, ProbeResult, ReachParams } from "./protocol";
import { serve } from "./serve";
import { echoTcp, startTransfer, stopTransfer } from "./tcp";

const echoPort = 7;
const lookEveryMs = 20;
const retryEveryMs = 20;
const lostAfterMs = 1000;

interface Probe {
	stop(): Promise<ProbeResult>;
}

const echoes = new Map<string, Socket>();
const probes = new Map<number, Probe>();
let lastProbe = 0;

setInterval(echoOnNewAddresses, lookEveryMs);
echoOnNewAddresses();
echoTcp();
serve({
	reach,
	startTransfer,
	stopTransfer,
	async startProbe(params: ProbeParams): Promise<number> {
		lastProbe += 1;
		probes.set(lastProbe, await startProbe(params));
		return lastProbe;
	},
	async stopProbe(id: number): Promise<ProbeResult> {
		const probe = probes.get(id);
		if (!probe) throw new Error(`no probe ${id}`);
		probes.delete(id);
		return probe.stop();
	},
});

/** One socket per address, not one for all: a reply must carry the address that was asked. */
function echoOnNewAddresses(): void {
	for (const addresses of Object.values(networkInterfaces())) {
		for (const { family, address } of addresses ?? []) {
			if (family === "IPv4" && !echoes.has(address)) echo(address);
		}
	}
}

function echo(address: string): void {
	const socket = createSocket("udp4");
	echoes.set(address, socket);
	socket.on("error", () => {
		// The address went again before it was bound: the next look tries anew.
		echoes.delete(address);
		socket.close();
	});
	socket.on("message", (data, from) => {
		if (from.port !== echoPort)
			socket.send(data, from.port, from.address, () => {});
	});
	socket.bind(echoPort, address);
}

/** Asks until the address itself answers or the time is over. */
async function reach({
	address,
	timeoutMs,
	source,
}: ReachParams): Promise<boolean> {
	const deadline = Date.now() + timeoutMs;
	const nonce = randomBytes(8);
	let socket: Socket | undefined;
	try {
		while (!socket) {
			socket = await open(source);
			if (socket) break;
			if (Date.now() >= deadline) return false;
			await sleep(retryEveryMs);
		}
		const asking = socket;
		return await new Promise<boolean>((resolve) => {
			const timer = setInterval(ask, retryEveryMs);
			function ask(): void {
				if (Date.now() >= deadline) finish(false);
				else asking.send(nonce, echoPort, address, () => {});
			}
			function finish(reached: boolean): void {
				clearInterval(timer);
				resolve(reached);
			}
			asking.on("message", (data, from) => {
				if (from.address === address && nonce.equals(data)) finish(true);
			});
			ask();
		});
	} finally {
		socket?.close();
	}
}

async function startProbe({
	address,
	intervalMs,
	source,
}: ProbeParams): Promise<Probe> {
	const socket = await open(source);
	if (!socket) throw new Error(`cannot send from ${source}`);
	const sentAt: number[] = [];
	const answered: boolean[] = [];
	socket.on("message", (data, from) => {
		const number = data.readUInt32BE(0);
		const sent = sentAt[number];
		if (sent === undefined || from.address !== address) return;
		if (Date.now() - sent <= lostAfterMs) answered[number] = true;
	});
	const timer = setInterval(ask, intervalMs);
	ask();

	function ask(): void {
		const data = Buffer.alloc(4);
		data.writeUInt32BE(sentAt.length, 0);
		answered.push(false);
		sentAt.push(Date.now());
		socket?.send(data, echoPort, address, () => {});
	}

	return {
		async stop() {
			clearInterval(timer);
			const deadline = Date.now() + lostAfterMs;
			while (answered.includes(false) && Date.now() < deadline) await sleep(5);
			socket.close();
			return {
				sent: sentAt.length,
				lost: answered.filter((one) => !one).length,
				longestOutageMs: longestRun(answered) * intervalMs,
			};
		},
	};
}

function longestRun(answered: boolean[]): number {
	let longest = 0;
	let current = 0;
	for (const one of answered) {
		current = one ? 0 : current + 1;
		longest = Math.max(longest, current);
	}
	return longest;
}

function open(source: string | undefined): Promise<Socket | undefined> {
	return new Promise((resolve) => {
		const socket = createSocket("udp4");
		socket.once("error", () => {
			socket.close();
			resolve(undefined);
		});
		socket.bind({ port: 0, ...(source ? { address: source } : {}) }, () => {
			socket.removeAllListeners("error");
			socket.on("error", () => {});
			resolve(socket);
		});
	});
}

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}
