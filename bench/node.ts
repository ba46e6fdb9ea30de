import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { fetchNode } from "../packaging/fetch-node.mjs";
import { agentBundle, root } from "../test/sandbox/paths";

/** A Node that the agent is measured on. */
export interface Node {
	/** The program. */
	path: string;
	/** `Node 16` */
	name: string;
	/** `16.20.2` */
	version: string;
	/** The agent as an installation for this Node leaves it: with the code that it has compiled. */
	bundle: string;
}

/** The Node that runs the benchmark, and the one that the package for CentOS 7 brings. */
export interface Nodes {
	own: Node;
	el7: Node;
}

/**
 * Both Nodes; the second one is that of the package, fetched by npm where it is not there yet.
 * @throws Error when npm cannot fetch it.
 */
export function findNodes(): Nodes {
	const own = describeNode(process.execPath);
	const el7 = path.join(fetchNode(root, "el7"), "bin/node");
	return { own, el7: describeNode(el7) };
}

function describeNode(program: string): Node {
	const said = execFileSync(program, ["--version"], { encoding: "utf8" });
	const version = said.trim().replace(/^v/, "");
	const name = `Node ${version.split(".")[0]}`;
	return { path: program, name, version, bundle: install(program, version) };
}

// What the package does on a guest: dist/ into its place, and then %post.
function install(program: string, version: string): string {
	const place = path.join(root, ".build/bench", version);
	rmSync(place, { recursive: true, force: true });
	mkdirSync(place, { recursive: true });
	cpSync(path.dirname(agentBundle), place, { recursive: true });
	execFileSync(program, [path.join(place, "compile.cjs")]);
	return path.join(place, path.basename(agentBundle));
}

/** The words that start the agent: as the package does it, but for its shell wrapper. `before` goes in front of the bundle. */
export function agentWords(
	{ path: program, bundle }: Node,
	args: readonly string[],
	before: readonly string[] = [],
): string[] {
	return [program, ...packagedFlags(), ...before, bundle, ...args];
}

// What the wrapper hands to Node in front of the bundle; units and people start the agent through it.
function packagedFlags(): string[] {
	const wrapper = path.join(root, "packaging/eni-configure.sh");
	const library = "/usr/lib/eni-configure";
	const line = readFileSync(wrapper, "utf8")
		.split("\n")
		.find((one) => one.startsWith("exec "));
	const found = line?.match(
		new RegExp(
			`^exec ${library}/node (.*)${library}/eni-configure\\.cjs "\\$@"$`,
		),
	);
	if (!found)
		throw new Error(
			`${wrapper}: expected a line that begins with "exec ${library}/node" and ends with the bundle and "$@"`,
		);
	return (found[1] ?? "").split(" ").filter(Boolean);
}
