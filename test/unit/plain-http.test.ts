import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpResult } from "../../src/system.js";
import { plainHttp, readAnswer } from "../../src/trace/plain-http.js";

const head = "HTTP/1.1 200 OK\r\nServer: none\r\n";
const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;

function read(text: string) {
	const answer = readAnswer(Buffer.from(text, "latin1"));
	return typeof answer === "object"
		? { ...answer, body: Buffer.from(answer.body).toString("latin1") }
		: answer;
}

describe("an answer is read", () => {
	const cases: [string, string, object][] = [
		["with a length", `${head}Content-Length: 3\r\n\r\nabc`, { body: "abc" }],
		["of nothing", `${head}content-length:0\r\n\r\n`, { body: "" }],
		[
			"in chunks",
			`${chunked}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`,
			{
				body: "abc0123456789",
			},
		],
		[
			"that is not found",
			"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n-",
			{ status: 404, body: "-" },
		],
		[
			"with a byte that is no ASCII",
			`${head}Content-Length: 1\r\n\r\n\xff`,
			{
				body: "\xff",
			},
		],
		[
			"that is the last",
			`${head}Connection: close\r\nContent-Length: 1\r\n\r\na`,
			{ body: "a", isLast: true },
		],
	];
	test.each(cases)("%s, and not before it is whole", (_, text, expected) => {
		expect(read(text)).toEqual({
			...{ kind: "response", status: 200, isLast: false },
			...expected,
		});
		for (let length = 0; length < text.length; length += 1)
			expect(read(text.slice(0, length))).toBeUndefined();
		// The next answer would be taken for a part of this one.
		expect(read(`${text}x`)).toBe("unknown");
	});
});

test.each([
	["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
	["something else", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
	["100 Continue", "HTTP/1.1 100 Continue\r\n\r\n"],
	["no content", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"],
	["neither length nor chunks", `${head}\r\nabc`],
	["both", `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc`],
	["two lengths", `${head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`],
	["a length that is none", `${head}Content-Length: 3, 3\r\n\r\nabc`],
	["a negative length", `${head}Content-Length: -3\r\n\r\nabc`],
	[
		"another encoding",
		`${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
	],
	["a folded header", `${head}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
	["a blank before the colon", `${head}Content-Length : 0\r\n\r\n`],
	["a chunk with an extension", `${chunked}3;a=b\r\nabc\r\n0\r\n\r\n`],
	["a chunk that is longer than it says", `${chunked}3\r\nabcd\r\n0\r\n\r\n`],
	["a trailer", `${chunked}0\r\nX: y\r\n\r\n`],
	["a head without an end", `${head}X: ${"y".repeat(20_000)}`],
])("an answer with %s is not gone by", (_, text) => {
	expect(read(text)).toBe("unknown");
});

describe("asking", () => {
	const limits = { timeoutMs: 300, maxBytes: 100 };
	let server: Server | undefined;
	afterEach(() => server?.close());

	/** Answers the nth question of a connection; what it heard, and how many connections there were. */
	async function serve(answer: (socket: Socket, question: string) => void) {
		const questions: string[] = [];
		let connections = 0;
		server = createServer((socket) => {
			connections += 1;
			socket.on("error", () => {});
			socket.on("data", (bytes) => {
				questions.push(bytes.toString());
				answer(socket, bytes.toString());
			});
		});
		await new Promise<void>((resolve) =>
			server?.listen(0, "127.0.0.1", resolve),
		);
		const address = server.address();
		const port = typeof address === "object" ? address?.port : 0;
		return {
			base: `http://127.0.0.1:${port}`,
			questions,
			connections: () => connections,
		};
	}
	const text = (result: HttpResult) =>
		result.kind === "response" ? Buffer.from(result.body).toString() : result;

	test("goes on with one connection, one question at a time", async () => {
		const { base, questions, connections } = await serve((socket, question) => {
			const [, path = ""] = question.split(" ");
			socket.write(`${head}Content-Length: ${path.length}\r\n\r\n${path}`);
		});
		const { http, close } = plainHttp();
		expect(text(await http(`${base}/a`, limits))).toBe("/a");
		expect(text(await http(`${base}/b/`, limits))).toBe("/b/");
		expect(connections()).toBe(1);
		const [, port] = /:(\d+)$/.exec(base) ?? [];
		expect(questions[0]).toBe(
			`GET /a HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: keep-alive\r\n\r\n`,
		);
		// Two at once are two conversations.
		await Promise.all([http(`${base}/c`, limits), http(`${base}/d`, limits)]);
		expect(connections()).toBe(2);
		close();
	});

	const failures: [string, (socket: Socket) => void, string][] = [
		["says nothing", () => {}, "no complete answer within 300 ms"],
		["hangs up", (socket) => socket.end(), "the connection was closed"],
		[
			"hangs up in between",
			(socket) => socket.end(`${head}Content-Length: 9\r\n\r\nabc`),
			"the connection was closed",
		],
		[
			"drips",
			(socket) => {
				socket.write(`${head}Content-Length: 60\r\n\r\n`);
				const timer = setInterval(() => socket.write("x"), 20);
				socket.on("close", () => clearInterval(timer));
			},
			"no complete answer within 300 ms",
		],
		[
			"says too much",
			(socket) =>
				socket.write(`${head}Content-Length: 200\r\n\r\n${"x".repeat(200)}`),
			"too large",
		],
		[
			"says something else",
			(socket) => socket.write("220 mail\r\n\r\n"),
			"an unusual answer",
		],
	];
	test.each(failures)(
		"fails where the service %s",
		async (_, answer, reason) => {
			const { base } = await serve(answer);
			const { http, close } = plainHttp();
			const result = await http(`${base}/a`, limits);
			expect(result).toEqual({ kind: "failed", reason, reset: false });
			close();
		},
	);

	test("ends with close(), also what is under way: nothing keeps the process", async () => {
		let closed = () => {};
		const isClosed = new Promise<void>((resolve) => {
			closed = resolve;
		});
		let isAsked = () => {};
		const asked = new Promise<void>((resolve) => {
			isAsked = resolve;
		});
		const { base } = await serve((socket) => {
			socket.on("close", closed);
			isAsked();
		});
		const { http, close } = plainHttp();
		const beganMs = Date.now();
		const answer = http(`${base}/a`, { ...limits, timeoutMs: 30_000 });
		await asked;
		close();
		expect(await answer).toMatchObject({
			kind: "failed",
			reason: "the connection was closed",
		});
		await isClosed;
		expect(Date.now() - beganMs).toBeLessThan(5000);
	});

	test("fails where nobody listens, and for a URL that is no plain one", async () => {
		const { http, close } = plainHttp();
		const refused = await http("http://127.0.0.1:9/", limits);
		expect(refused).toMatchObject({ kind: "failed", reset: false });
		for (const url of [
			"https://a/",
			"http://u:p@a/",
			"http://[::1]/",
			"http://a",
			"http://127.0.0.1:70000/",
			"http://a/ b",
		])
			expect(await http(url, limits)).toMatchObject({ kind: "failed" });
		close();
	});

	test("a connection that the service has ended meanwhile is not gone on with", async () => {
		const { base, connections } = await serve((socket) => {
			socket.write(`${head}Content-Length: 1\r\n\r\na`);
			setTimeout(() => socket.destroy(), 20);
		});
		const { http, close } = plainHttp();
		expect(text(await http(`${base}/a`, limits))).toBe("a");
		await new Promise((resolve) => setTimeout(resolve, 100));
		expect(text(await http(`${base}/a`, limits))).toBe("a");
		expect(connections()).toBe(2);
		close();
	});
});
