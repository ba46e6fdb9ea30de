import { AgentError } from "../errors.js";
import { listDirectory, readFile, readValue } from "../files.js";
import type { KernelState } from "../model.js";
import { paths } from "../paths.js";
import { linkSysctls, sysctlKey } from "../sysctl-keys.js";
import type { FileSystem, System } from "../system.js";
import { observeLinks } from "./links.js";
import {
	builtinTables,
	divideShown,
	parseAddresses,
	parseIfInet6,
	parseRouteGet,
	parseRoutes,
	parseRules,
	parseTableNames,
} from "./parse-ip.js";
import { divideWay, showKernel } from "./show-kernel.js";

// A line has some 55 bytes; a node of many containers has thousands of addresses.
const inet6Limit = 16 * 1024 * 1024;

/**
 * The kernel's state: links from /sys, then IPv4 addresses, rules and routes by one `ip` for the whole machine. No `-j`:
 * iproute2 3.10 and 4.11 (CentOS 7) do not know it; what a batch shows, they print as without one, and with -o and -4
 * they leave out the links (ip/ip.c, ip/ipaddress.c). `shown` is what showKernel has just printed.
 */
export async function observeKernel(
	system: System,
	shown?: string,
): Promise<KernelState> {
	const { fs } = system;
	const tables = tableNames(fs);
	const text = shown ?? (await show(system));
	const { addresses, rules, routes } = divideShown(text);
	const inet4 = parseAddresses(addresses);
	// Without IPv6 there is no such file.
	const inet6 = parseIfInet6(
		readFile(fs, paths.ifInet6, inet6Limit)?.content ?? "",
	);
	const links = observeLinks(fs).map((link) => {
		const own = [...(inet4[link.name] ?? []), ...(inet6[link.ifindex] ?? [])];
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
		/(?<![^\n])(?:local|broadcast) [^\n]* table local [^\n]*\n/g,
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

const tableDropIns = "/etc/iproute2/rt_tables.d";

function listTableFiles(fs: FileSystem): string[] {
	const names = listDirectory(fs, tableDropIns);
	const dropIns = names.filter((name) => name.endsWith(".conf"));
	return [...tableFiles, ...dropIns.map((name) => `${tableDropIns}/${name}`)];
}

/** Names that `ip` may print instead of table numbers. */
export function tableNames(fs: FileSystem): Record<string, number> {
	return Object.assign(
		{},
		// One that is a FIFO is refused here: `ip` itself would wait for it for ever.
		...listTableFiles(fs).map((file) =>
			parseTableNames(readFile(fs, file)?.content ?? ""),
		),
	);
}

/**
 * What `ip` would wait for, instead of the names of tables, for who starts it without reading them.
 * @throws AgentError of kind `refused` where one of the files is none.
 */
export function refuseEndlessTables(fs: FileSystem): void {
	for (const file of listTableFiles(fs))
		if (!isPlainOrNone(fs, file)) readFile(fs, file);
}

function isPlainOrNone(fs: FileSystem, file: string): boolean {
	try {
		return fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() ?? true;
	} catch {
		return false;
	}
}

/** What observeKernel() finds, and the link by which the kernel would go to an address; by one `ip` where that shows both. */
export async function observeKernelAndWay(
	system: System,
	to: string,
): Promise<{ kernel: KernelState; way: string | undefined }> {
	const { argv, input } = showKernel(to);
	const { exitCode, stdout } = await system.run(argv, { input });
	const { shown, way } = divideWay(stdout);
	const [kernel, link] = await Promise.all([
		observeKernel(system, exitCode === 0 ? shown : undefined),
		exitCode === 0 && way !== undefined
			? parseRouteGet(way)
			: askWay(system, to),
	]);
	return { kernel, way: link };
}

/** The link by which the kernel would go to an address; undefined where it knows no way. */
export async function askWay(
	system: System,
	to: string,
): Promise<string | undefined> {
	const argv = ["ip", "-o", "-4", "route", "get", to];
	return parseRouteGet((await system.run(argv)).stdout);
}

async function show(system: System): Promise<string> {
	const { argv, input } = showKernel();
	const result = await system.run(argv, { input });
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
