/** What the metadata server answers for one path instead of the tree's own text. */
export interface Answer {
	status?: number;
	body?: string;
	/** Sends the body so many times over, as one. */
	repeat?: number;
	/** Besides ours; `Location` for a redirect. */
	headers?: Record<string, string>;
	/** Sends the body in chunks, without saying how long it will be. */
	chunked?: boolean;
	/** Waits before anything is sent. */
	delayMs?: number;
	/** Sent as it is, without a status line of ours; the connection is closed after it. */
	raw?: string;
	/** Promises the whole body, sends this many bytes of it, and cuts the connection. */
	truncateAt?: number;
	/** Sends the body, or `raw`, byte by byte, with this long between two. */
	dripMs?: number;
	/** Accepts the request and never answers. */
	hang?: boolean;
	/** Resets the connection instead of answering. */
	reset?: boolean;
	/** Only the next so many requests; after them the tree speaks again. */
	times?: number;
}

/** Leaf path below /latest/meta-data/ to text; directories follow from the leaves. */
export type Tree = Record<string, string>;

/** `up` answers, `refuse` has no listener, `hang` accepts connections and says nothing. */
export type ServerMode = "up" | "refuse" | "hang";

export interface LoggedRequest {
	/** As sent, with the leading slash. */
	path: string;
	/** Milliseconds since the epoch. */
	timeMs: number;
	status: number;
}

export interface ReachParams {
	address: string;
	timeoutMs: number;
	/** Local address to send from; the kernel's choice without it. */
	source?: string;
}

export interface ProbeParams {
	address: string;
	intervalMs: number;
	source?: string;
}

export interface ProbeResult {
	sent: number;
	/** Datagrams without a reply within a second. */
	lost: number;
	/** The longest time without a single answered datagram, counted in datagrams. */
	longestOutageMs: number;
}

export interface TransferParams {
	address: string;
	bytesPerSecond: number;
}

export interface TransferResult {
	sent: number;
	/** Bytes that came back. */
	received: number;
	/** A reset, a wrong byte, or what else went wrong first. */
	problem?: string | undefined;
}
