import type { Namespaces } from "./namespaces";
import { startProgram } from "./program";
import type {
	Answer,
	LoggedRequest,
	ServerMode,
	Tree,
} from "./programs/protocol";

/** Control over the sandbox's metadata service; paths are relative to /latest/meta-data/. */
export interface Metadata {
	/** `http://169.254.0.23/latest/meta-data` */
	url: string;
	/** Replaces the whole tree; the next plug, assign or release replaces it again. */
	setTree(tree: Tree): Promise<void>;
	/** Answers a path in another way than the tree says; `null` ends that. */
	override(path: string, answer: Answer | null): Promise<void>;
	clearOverrides(): Promise<void>;
	/** No listener: connections are refused. */
	refuse(): Promise<void>;
	/** Accepts connections and never answers. */
	hang(): Promise<void>;
	up(): Promise<void>;
	/** Resets the kept-alive connections. */
	dropConnections(): Promise<void>;
	requests(): Promise<LoggedRequest[]>;
	clearRequests(): Promise<void>;
}

/** Starts the metadata server in the router's namespace; it is up when this resolves. */
export async function startMetadata(
	namespaces: Namespaces,
): Promise<Metadata & { close(): Promise<void> }> {
	const { call, close } = await startProgram(
		namespaces,
		namespaces.router,
		"metadata-server",
	);
	const setMode = (mode: ServerMode) => call<void>("setMode", mode);
	await setMode("up");
	return {
		url: "http://169.254.0.23/latest/meta-data",
		setTree: (tree) => call("setTree", tree),
		override: (path, answer) => call("override", { path, answer }),
		clearOverrides: () => call("clearOverrides"),
		refuse: () => setMode("refuse"),
		hang: () => setMode("hang"),
		up: () => setMode("up"),
		dropConnections: () => call("dropConnections"),
		requests: () => call("requests"),
		clearRequests: () => call("clearRequests"),
		close,
	};
}
