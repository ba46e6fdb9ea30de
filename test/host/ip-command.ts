import type { RunResult } from "../../src/system";
import { changeByIp, type Refusal, said, unreadable } from "./ip-change";
import { showAddresses, showRouteGet, showRoutes, showRules } from "./ip-show";
import type { Kernel } from "./kernel-types";
import type { Operations } from "./operations";

/** Interprets an `ip` command line against the kernel, as iproute2 3.10 would. */
export function runIp(
	kernel: Kernel,
	operations: Operations,
	argv: string[],
	input: string | undefined,
): RunResult {
	const options = argv
		.slice(1)
		.filter((word) => word.startsWith("-") && word !== "-");
	const unknown = options.find(
		(option) => !["-o", "-4", "-force", "-batch"].includes(option),
	);
	if (unknown)
		return {
			exitCode: 255,
			stdout: "",
			stderr: `Option "${unknown}" is unknown, try "ip -help".\n`,
		};
	if (options.includes("-batch"))
		return runBatch(kernel, operations, (input ?? "").split("\n"), options);
	const words = argv.slice(1).filter((word) => !word.startsWith("-"));
	const text = show(kernel, words, options.includes("-4"));
	if (typeof text === "string")
		return { exitCode: 0, stdout: text, stderr: "" };
	const refusal = text ?? changeByIp(kernel, operations, words);
	return {
		exitCode: refusal ? (refusal.isFatal ? 1 : 2) : 0,
		stdout: "",
		stderr: refusal ? `${refusal.text}\n` : "",
	};
}

function runBatch(
	kernel: Kernel,
	operations: Operations,
	lines: string[],
	options: string[],
): RunResult {
	let stdout = "";
	let stderr = "";
	for (const [at, line] of lines.entries()) {
		const words = line
			.replace(/#.*/, "")
			.split(/\s+/)
			.filter((word) => word !== "");
		if (words.length === 0) continue;
		const shown = show(kernel, words, options.includes("-4"));
		if (typeof shown === "string") stdout += shown;
		// iproute_list() and iproute_get() of 3.10 end in exit(0), and the batch with them.
		if (typeof shown === "string" && words[0] === "route") break;
		const refusal =
			typeof shown === "string"
				? undefined
				: (shown ?? changeByIp(kernel, operations, words));
		if (!refusal) continue;
		stderr += `${refusal.text}\n`;
		if (refusal.isFatal) return { exitCode: 1, stdout, stderr };
		stderr += `Command failed -:${at + 1}\n`;
		if (!options.includes("-force")) break;
	}
	return { exitCode: stderr === "" ? 0 : 1, stdout, stderr };
}

// Text for what only shows; undefined for what changes something.
function show(
	kernel: Kernel,
	words: string[],
	isIpv4: boolean,
): string | Refusal | undefined {
	switch (words.slice(0, 2).join(" ")) {
		case "addr show":
			return words.length === 2
				? showAddresses(kernel.links, isIpv4 ? 4 : "all")
				: unreadable(`addr show ${words.slice(2).join(" ")} is not modelled`);
		case "rule show":
			return words.length === 2
				? showRules(kernel.rules)
				: said('"ip rule show" does not take any arguments.');
		case "route show":
			return words.slice(2).join(" ") === "table all"
				? showRoutes(kernel.routes.all())
				: unreadable(`route show ${words.slice(2).join(" ")} is not modelled`);
		case "route get":
			return (
				showRouteGet(
					kernel,
					words[2] ?? "",
					words[3] === "from" ? words[4] : undefined,
				) ?? said("RTNETLINK answers: Network is unreachable")
			);
		default:
			return undefined;
	}
}
