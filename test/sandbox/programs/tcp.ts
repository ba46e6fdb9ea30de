// One end of a long TCP connection, and the other: the far client sends numbered bytes at a steady
// pace and gets them back from an echo, so that both directions are in use all the time.
import { connect, createServer } from "node:net";
import type { TransferParams, TransferResult } from "./protocol";

const port = 7;
const tickMs = 20;
const connectWithinMs = 5000;
const endWithinMs = 15_000;

interface Transfer {
	stop(): Promise<TransferResult>;
}

const transfers = new Map<number, Transfer>();
let last = 0;

/** Echoes every connection to any address of this namespace. */
export function echoTcp(): void {
	const server = createServer({ allowHalfOpen: true }, (socket) => {
		socket.on("error", () => socket.destroy());
		socket.pipe(socket);
	});
	server.listen(port, "0.0.0.0");
}

/** Connects and begins to send; resolves with the transfer's number once it is connected. */
export async function startTransfer(params: TransferParams): Promise<number> {
	const transfer = await open(params);
	last += 1;
	transfers.set(last, transfer);
	return last;
}

/** Sends no more, waits until all has come back, and says what became of it. */
export async function stopTransfer(id: number): Promise<TransferResult> {
	const transfer = transfers.get(id);
	if (!transfer) throw new Error(`no transfer ${id}`);
	transfers.delete(id);
	return transfer.stop();
}

async function open({
	address,
	bytesPerSecond,
}: TransferParams): Promise<Transfer> {
	const socket = connect({ host: address, port });
	let [sent, received] = [0, 0];
	let problem: string | undefined;
	await new Promise<void>((resolve, reject) => {
		const limit = setTimeout(
			() => reject(new Error(`no connection to ${address}`)),
			connectWithinMs,
		);
		socket.once("error", reject);
		socket.once("connect", () => {
			clearTimeout(limit);
			resolve();
		});
	});
	const ended = new Promise<void>((resolve) => socket.once("close", resolve));
	socket.on("error", (error) => {
		problem ??= error.message;
	});
	socket.on("data", (data) => {
		if (!data.equals(numbered(received, data.length)))
			problem ??= `other bytes than were sent after ${received}`;
		received += data.length;
	});
	const size = Math.round((bytesPerSecond * tickMs) / 1000);
	const timer = setInterval(() => {
		// A pace, no flood: what could not be sent yet is not added to.
		if (socket.destroyed || socket.writableLength > 0) return;
		socket.write(numbered(sent, size));
		sent += size;
	}, tickMs);
	return {
		stop: async () => {
			clearInterval(timer);
			const limit = setTimeout(() => {
				problem ??= "did not come to its end";
				socket.destroy();
			}, endWithinMs);
			socket.end();
			await ended;
			clearTimeout(limit);
			return { sent, received, problem };
		},
	};
}

/** Bytes that tell where in the stream they belong: 251 is prime to every size of a packet. */
function numbered(from: number, length: number): Buffer {
	const bytes = Buffer.allocUnsafe(length);
	for (let at = 0; at < length; at += 1) bytes[at] = (from + at) % 251;
	return bytes;
}
