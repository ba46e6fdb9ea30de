import type { HttpResult } from "../../src/system";
import { maskOf, toIp } from "./ip-math";

/** What one request gets; "hang" is no answer until the client gives up. */
export type Answer = HttpResult | "hang";
/** A leaf's text, a directory, or an answer of its own. */
export type Node = string | Tree | (() => Answer);
export interface Tree {
	[name: string]: Node;
}

/** An ENI as the cloud has it. */
export interface CloudEni {
	/** Lower case, as the guest shows it; the service prints it in upper case. */
	mac: string;
	subnet: string;
	gateway: string;
	/** Private IPs, the primary one first. */
	addresses: string[];
}

export interface Metadata {
	/** Everything below latest/meta-data/; tests change it at will. */
	tree: Tree;
	/** Paths asked for, in order. */
	requests: string[];
	/** What every request gets instead of an answer, when set. */
	trouble: Answer | undefined;
	get(url: string): Answer;
}

const base = "http://169.254.0.23/latest/meta-data/";

/** The metadata service: a tree of names, listed as the real one does. */
export function createMetadata(tree: Tree): Metadata {
	const metadata: Metadata = {
		tree,
		requests: [],
		trouble: undefined,
		get: (url) => {
			if (!url.startsWith(base))
				return {
					kind: "failed",
					reason: "getaddrinfo ENOTFOUND",
					reset: false,
				};
			const path = url.slice(base.length);
			metadata.requests.push(path);
			return metadata.trouble ?? answer(metadata.tree, path);
		},
	};
	return metadata;
}

function answer(tree: Tree, path: string): Answer {
	let node: Node | undefined = tree;
	for (const part of path.split("/").filter((one) => one !== "")) {
		node = typeof node === "object" ? node[part] : undefined;
	}
	if (typeof node === "function") return node();
	if (node === undefined) return respond(404, "<h1>404 Not Found</h1>");
	if (typeof node === "string") return respond(200, node);
	// The name "" overrides the listing of a directory.
	if (typeof node[""] === "string") return respond(200, node[""]);
	return respond(
		200,
		Object.entries(node)
			.map(([name, child]) => (typeof child === "object" ? `${name}/` : name))
			.join("\n"),
	);
}

/** An HTTP answer with a text body. */
export function respond(status: number, body: string): HttpResult {
	return { kind: "response", status, body: Buffer.from(body) };
}

/** The tree of a machine with these ENIs, the primary one first. */
export function metadataTree(instanceId: string, enis: CloudEni[]): Tree {
	const [primary] = enis;
	return {
		"instance-id": instanceId,
		mac: primary?.mac.toUpperCase() ?? "",
		"local-ipv4": primary?.addresses[0] ?? "",
		network: {
			interfaces: {
				macs: Object.fromEntries(
					enis.map((eni) => [eni.mac.toUpperCase(), eniTree(eni)]),
				),
			},
		},
	};
}

function eniTree({ mac, subnet, gateway, addresses }: CloudEni): Tree {
	const mask = toIp(maskOf(Number(subnet.split("/")[1])));
	const leaves = (ip: string): Tree => ({
		gateway,
		"local-ipv4": ip,
		"subnet-mask": mask,
	});
	return {
		mac: mac.toUpperCase(),
		"primary-local-ipv4": addresses[0] ?? "",
		"local-ipv4s": Object.fromEntries(addresses.map((ip) => [ip, leaves(ip)])),
	};
}
