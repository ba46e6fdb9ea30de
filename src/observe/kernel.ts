import { AgentError } from "../errors.js";
import { listDirectory, readFile, readValue } from "../files.js";
import type { KernelState } from "../model.js";
import { paths } from "../paths.js";
import { linkSysctls, sysctlKey } from "../sysctl-keys.js";
import type { FileSystem, System } from "../system.js";
import { observeLinks } from "./links.js";
import {
	builtinTables,
	parseAddresses,
	parseRoutes,
	parseRules,
	parseTableNames,
} from "./parse-ip.js";

// A process is the dearest thing here. Addresses are of both families, and -4 is for all of a batch.
const batch = ["rule show", "route show table all"];

/**
 * The kernel's state: links from /sys, then addresses, and rules with routes, by one `ip` each for the whole
 * machine, side by side. No `-j`: iproute2 3.10 and 4.11 (CentOS 7) do not know it; what a batch shows, 3.10 prints
 * as without one (its ip/ip.c).
 */
export async function observeKernel(system: System): Promise<KernelState> {
	const { fs } = system;
	const tables = tableNames(fs);
	const [addresses, shown] = await Promise.all([
		read(system, ["ip", "-o", "addr", "show"]),
		read(system, ["ip", "-o", "-4", "-batch", "-"], batch),
	]);
	const [rules, routes] = divide(shown);
	const byLink = parseAddresses(addresses);
	const links = observeLinks(fs).map((link) => {
		const own = byLink[link.name] ?? [];
		const leased = own.some(
			(address) => address.family === 4 && address.dynamic,
		);
		return { ...link, dhcp: link.dhcp || leased, addresses: own };
	});
	const names = ["all", "default", ...links.map((link) => link.name)];
	const sysctls: Record<string, string> = {};
	for (const key of [
		"ip_forward",
		...names.flatMap((name) =>
			linkSysctls.map((leaf) => sysctlKey(name, leaf)),
		),
	]) {
		const value = readValue(fs, sysctlPath(key));
		if (value !== undefined) sysctls[key] = value;
	}
	return {
		links,
		rules: parseRules(rules, tables),
		routes: parseRoutes(withoutLocal(routes), tables).filter(
			(route) => route.table !== builtinTables.local,
		),
		sysctls,
	};
}

// The local table is the kernel's own bookkeeping: two or three lines for each address, which need not be understood.
function withoutLocal(routes: string): string {
	return routes.replace(
		/^(?:local|broadcast) [^\n]* table local [^\n]*\n/gm,
		"",
	);
}

/** Where the running kernel keeps a sysctl of KernelState. */
export function sysctlPath(key: string): string {
	return `${paths.procSysIpv4}/${key}`;
}

const tableFiles = [
	"/usr/share/iproute2/rt_tables",
	"/usr/lib/iproute2/rt_tables",
	"/etc/iproute2/rt_tables",
];

/** Names that `ip` may print instead of table numbers. */
export function tableNames(fs: FileSystem): Record<string, number> {
	const dropIns = "/etc/iproute2/rt_tables.d";
	const files = [
		...tableFiles,
		...listDirectory(fs, dropIns)
			.filter((name) => name.endsWith(".conf"))
			.map((name) => `${dropIns}/${name}`),
	];
	return Object.assign(
		{},
		// One that is a FIFO is refused here: `ip` itself would wait for it for ever.
		...files.map((file) => parseTableNames(readFile(fs, file)?.content ?? "")),
	);
}

// Rules and routes: `PRIORITY:` begins a rule, and no route.
function divide(shown: string): [rules: string, routes: string] {
	const end = /^(?!\d+:[ \t])/m.exec(shown)?.index ?? shown.length;
	return [shown.slice(0, end), shown.slice(end)];
}

async function read(
	system: System,
	argv: string[],
	lines?: string[],
): Promise<string> {
	const input = lines?.map((line) => `${line}\n`).join("");
	const result = await system.run(argv, input === undefined ? {} : { input });
	if (result.exitCode === 127) {
		throw new AgentError(
			"refused",
			"`ip` was not found: install iproute2 (on CentOS: yum install iproute)",
		);
	}
	if (result.exitCode !== 0) {
		throw new AgentError(
			"internal",
			`${argv.join(" ")} failed: ${result.stderr.trim()}`,
		);
	}
	return result.stdout;
}
