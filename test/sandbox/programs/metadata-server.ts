// The metadata service of the sandbox: a tree of leaves over HTTP, with every way of going wrong
// that a client must survive. Listens on every address of its namespace, port 80.
import { createServer, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import type { Answer, LoggedRequest, ServerMode, Tree } from "./protocol";
import { serve } from "./serve";

const base = "/latest/meta-data";
const port = 80;

let tree: Tree = {};
let mode: ServerMode = "refuse";
let requests: LoggedRequest[] = [];
const overrides = new Map<string, Answer>();
const connections = new Set<Socket>();

const http = createServer((request, response) => {
	const path = request.url ?? "";
	const entry: LoggedRequest = { path, timeMs: Date.now(), status: 0 };
	requests.push(entry);
	const answer = overrideOf(path) ?? fromTree(path);
	entry.status = answer.status ?? 200;
	void send(response, answer);
});
http.keepAliveTimeout = 60_000;
// One that accepts and says nothing.
const silent = createTcpServer();
for (const server of [http, silent]) {
	server.on("connection", (socket: Socket) => {
		connections.add(socket);
		socket.on("close", () => connections.delete(socket));
		socket.on("error", () => {});
	});
}

serve({
	setTree: (next: Tree) => {
		tree = next;
	},
	override: ({ path, answer }: { path: string; answer: Answer | null }) => {
		if (answer) overrides.set(key(path), { ...answer });
		else overrides.delete(key(path));
	},
	clearOverrides: () => overrides.clear(),
	setMode,
	dropConnections,
	requests: () => requests,
	clearRequests: () => {
		requests = [];
	},
});

/** Overrides hold for a path with and without its trailing slash. */
function key(path: string): string {
	return path.replace(base, "").replace(/^\/+|\/+$/g, "");
}

function overrideOf(path: string): Answer | undefined {
	const answer = overrides.get(key(path));
	if (answer?.times === undefined) return answer;
	answer.times -= 1;
	if (answer.times <= 0) overrides.delete(key(path));
	return answer;
}

/** A directory is answered with and without trailing slash, its subdirectories end in one. */
function fromTree(path: string): Answer {
	if (path !== base && !path.startsWith(`${base}/`)) return notFound;
	const name = path.slice(base.length + 1);
	const leaf = tree[name];
	if (leaf !== undefined) return { body: leaf };
	const directory = name === "" || name.endsWith("/") ? name : `${name}/`;
	const entries = new Set<string>();
	for (const each of Object.keys(tree)) {
		if (!each.startsWith(directory)) continue;
		const [first, ...rest] = each.slice(directory.length).split("/");
		entries.add(rest.length > 0 ? `${first}/` : `${first}`);
	}
	return entries.size > 0 ? { body: [...entries].join("\n") } : notFound;
}

const notFound: Answer = { status: 404, body: "404 not found" };

async function send(response: ServerResponse, answer: Answer): Promise<void> {
	const { socket } = response;
	if (answer.delayMs) await sleep(answer.delayMs);
	if (answer.hang) return;
	if (answer.reset) {
		reset(socket);
		return;
	}
	if (answer.raw !== undefined) {
		for (const byte of answer.dripMs ? answer.raw : "") {
			if (socket?.destroyed) return;
			socket?.write(byte);
			await sleep(answer.dripMs ?? 0);
		}
		socket?.end(answer.dripMs ? "" : answer.raw);
		return;
	}
	const body = Buffer.from((answer.body ?? "").repeat(answer.repeat ?? 1));
	response.writeHead(answer.status ?? 200, {
		"Content-Type": "text/plain",
		...(answer.chunked ? {} : { "Content-Length": body.length }),
		...answer.headers,
	});
	if (answer.truncateAt !== undefined) {
		response.write(body.subarray(0, answer.truncateAt), () =>
			socket?.destroy(),
		);
		return;
	}
	if (answer.dripMs) {
		response.flushHeaders();
		for (const byte of body) {
			if (response.destroyed) return;
			response.write(Buffer.of(byte));
			await sleep(answer.dripMs);
		}
		response.end();
		return;
	}
	response.end(body);
}

/** RST instead of FIN where this Node can (18.3 on). */
function reset(socket: (Socket & { resetAndDestroy?(): void }) | null): void {
	if (socket?.resetAndDestroy) socket.resetAndDestroy();
	else socket?.destroy();
}

async function setMode(next: ServerMode): Promise<void> {
	if (next === mode) return;
	const closed = { up: http, hang: silent, refuse: undefined }[mode];
	const opened = { up: http, hang: silent, refuse: undefined }[next];
	mode = next;
	if (closed) {
		const done = new Promise((resolve) => closed.close(resolve));
		for (const socket of connections) socket.destroy();
		await done;
	}
	if (opened) {
		await new Promise<void>((resolve, reject) => {
			opened.once("error", reject);
			opened.listen({ port, host: "0.0.0.0" }, resolve);
		});
	}
}

/** What a restart of the service does to a client's kept-alive connections. */
function dropConnections(): void {
	for (const socket of connections) reset(socket);
}

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}
