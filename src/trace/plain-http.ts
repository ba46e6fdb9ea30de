import { connect, type Socket } from "node:net";
import { messageOf } from "../errors.js";
import type { HttpResult, System } from "../system.js";

interface Conversation {
	/** `host:port limit` */
	with: string;
	socket: Socket;
	/** One for all its questions, wound up again by each: a timer of its own would take longer than the answer. */
	timer: NodeJS.Timeout;
	/** What hears of the next bytes, and of the end. */
	onBytes: (bytes: Buffer) => void;
	onEnd: (reason: string) => void;
}

type Answer = Extract<HttpResult, { kind: "response" }> & { isLast: boolean };

const maxHeadBytes = 16 * 1024;

/**
 * GET for answers that are only to be compared with what they were. node:http takes longer to load and to ask than a run
 * that has nothing to do takes for all the rest. Knows HTTP/1.1 with a length or in chunks, kept alive, and nothing else:
 * what it does not know for certain is a failure, and whoever asks then asks by System.http.
 */
export function plainHttp(): {
	http: System["http"];
	/** Ends all conversations, also those that wait for an answer. */
	close(): void;
} {
	const idle: Conversation[] = [];
	const all = new Set<Conversation>();

	function converse(
		host: string,
		port: string,
		timeoutMs: number,
	): Conversation {
		const to = `${host}:${port} ${timeoutMs}`;
		const at = idle.findIndex((one) => one.with === to);
		const [known] = at < 0 ? [] : idle.splice(at, 1);
		if (known) {
			known.timer.refresh();
			return known;
		}
		const socket = connect({ host, port: Number(port) });
		const one: Conversation = {
			with: to,
			socket,
			timer: setTimeout(
				() => one.onEnd(`no complete answer within ${timeoutMs} ms`),
				timeoutMs,
			),
			onBytes: () => {},
			onEnd: () => {},
		};
		socket.on("data", (bytes: Buffer) => one.onBytes(bytes));
		socket.on("error", (error) => one.onEnd(messageOf(error)));
		all.add(one);
		socket.on("close", () => {
			clearTimeout(one.timer);
			all.delete(one);
			one.onEnd("the connection was closed");
		});
		return one;
	}

	const http: System["http"] = (url, { timeoutMs, maxBytes }) =>
		new Promise((resolve) => {
			const [, host, port = "80", path] =
				/^http:\/\/([a-z0-9.-]+)(?::(\d{1,5}))?(\/[!-~]*)$/i.exec(url) ?? [];
			const fail = (reason: string): void =>
				resolve({ kind: "failed", reason, reset: false });
			if (host === undefined || Number(port) > 65_535)
				return fail(`${url}: not a plain one`);
			const one = converse(host, port, timeoutMs);
			const chunks: Buffer[] = [];
			let size = 0;
			const end = (reason: string) => {
				// Nobody listens to what else may come.
				one.onBytes = () => {};
				one.onEnd = () => {};
				one.socket.destroy();
				fail(reason);
			};
			one.onEnd = end;
			one.onBytes = (bytes) => {
				chunks.push(bytes);
				size += bytes.length;
				if (size > maxBytes + maxHeadBytes) return end("too large");
				const isOne = chunks.length === 1;
				const answer = readAnswer(isOne ? bytes : Buffer.concat(chunks));
				if (answer === "unknown") return end("an unusual answer");
				if (answer === undefined) return;
				if (answer.body.length > maxBytes) return end("too large");
				one.onBytes = () => drop(one);
				one.onEnd = () => drop(one);
				if (answer.isLast) one.socket.destroy();
				else idle.push(one);
				const { kind, status, body } = answer;
				resolve({ kind, status, body });
			};
			const authority = port === "80" ? host : `${host}:${port}`;
			one.socket.write(
				`GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nConnection: keep-alive\r\n\r\n`,
				"latin1",
			);
		});

	function drop(one: Conversation): void {
		one.socket.destroy();
		const at = idle.indexOf(one);
		if (at >= 0) idle.splice(at, 1);
	}
	return {
		http,
		close: () => {
			for (const { socket } of all) socket.destroy();
		},
	};
}

/** A whole answer; undefined while some of it is still to come, `unknown` where this is not for certain. */
export function readAnswer(bytes: Buffer): Answer | "unknown" | undefined {
	const text = bytes.toString("latin1");
	const headEnd = text.indexOf("\r\n\r\n");
	if (headEnd < 0) return text.length > maxHeadBytes ? "unknown" : undefined;
	const head = text.slice(0, headEnd);
	const status = Number(wholeHead.exec(head)?.[1]);
	// These have no body, whatever their header says.
	if (Number.isNaN(status) || status === 204 || status === 304)
		return "unknown";
	const headers = new Map<string, string>();
	framing.lastIndex = 0;
	for (;;) {
		const [, name, value = ""] = framing.exec(head) ?? [];
		if (name === undefined) break;
		const key = name.toLowerCase();
		if (headers.has(key)) return "unknown";
		headers.set(key, value);
	}
	const length = headers.get("content-length");
	const encoding = headers.get("transfer-encoding");
	const connection = headers.get("connection");
	const start = headEnd + 4;
	const body =
		encoding === undefined
			? bodyOfLength(text, start, length)
			: encoding.toLowerCase() === "chunked" && length === undefined
				? bodyOfChunks(text, start)
				: "unknown";
	if (body === undefined || body === "unknown") return body;
	const isLast =
		connection !== undefined && connection.toLowerCase() !== "keep-alive";
	return {
		kind: "response",
		status,
		body: Buffer.from(body.text, "latin1"),
		isLast,
	};
}

// RFC 9112, 4 and 5, without what it calls obsolete: one header on several lines.
const wholeHead =
	/^HTTP\/1\.1 ([2345]\d\d)(?: [^\r\n]*)?(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*$/;
const framing =
	/\r\n(content-length|transfer-encoding|connection):[ \t]*(.*?)[ \t]*(?=\r|$)/gi;

type Body = { text: string } | "unknown" | undefined;

function bodyOfLength(
	text: string,
	start: number,
	length: string | undefined,
): Body {
	if (length === undefined || !/^\d{1,9}$/.test(length)) return "unknown";
	const end = start + Number(length);
	if (text.length < end) return undefined;
	return text.length > end ? "unknown" : { text: text.slice(start, end) };
}

// RFC 9112, 7.1: sizes in hex, the last one 0; here without extensions and trailers.
function bodyOfChunks(text: string, start: number): Body {
	let body = "";
	for (let at = start; ; ) {
		const lineEnd = text.indexOf("\r\n", at);
		if (lineEnd < 0) return text.length - at > 16 ? "unknown" : undefined;
		const line = text.slice(at, lineEnd);
		if (!/^[0-9a-f]{1,8}$/i.test(line)) return "unknown";
		const size = Number.parseInt(line, 16);
		const end = lineEnd + 2 + size;
		if (text.length < end + 2) return undefined;
		if (text.slice(end, end + 2) !== "\r\n") return "unknown";
		if (size === 0) return text.length > end + 2 ? "unknown" : { text: body };
		body += text.slice(lineEnd + 2, end);
		at = end + 2;
	}
}
