import type { RunResult } from "../../src/system";
import type { FakeClock } from "./clock";
import type { Disk } from "./disk";
import { changeByIp } from "./ip-command";
import { broadcastOf, isIn, networkOf, prefixOf } from "./ip-math";
import type { Kernel } from "./kernel";
import type { Operations } from "./operations";
import { linesOf, source } from "./shell-file";

/** What network-scripts work with. */
export interface ScriptHost {
	kernel: Kernel;
	disk: Disk;
	operations: Operations;
	clock: FakeClock;
}

const directory = "/etc/sysconfig/network-scripts";
const ignored = /(~|\.bak|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$/;
const ok: RunResult = { exitCode: 0, stdout: "", stderr: "" };
// Measured with CentOS 7.2's scripts: one address; each unsuppressed duplicate-address probe.
const ifupMs = 140;
const probeMs = 2000;

function fail(program: string, text: string): RunResult {
	return {
		exitCode: 1,
		stdout: `ERROR     : [/etc/sysconfig/network-scripts/${program}] ${text}\n`,
		stderr: "",
	};
}

/** CentOS 7.2's `ifup`: reads the files that are there, adds what is missing, never removes. */
export async function ifup(
	host: ScriptHost,
	name: string,
	isBoot = false,
): Promise<RunResult> {
	const { kernel, disk, clock } = host;
	const file = findConfig(host, name);
	if (!file)
		return {
			exitCode: 1,
			stdout: "",
			stderr: `/usr/sbin/ifup: configuration for ${name} not found.\n`,
		};
	const values = source(file.text);
	const device = values.DEVICE ?? file.name.slice("ifcfg-".length);
	if (isBoot && values.ONBOOT?.toLowerCase() === "no") return ok;
	await clock.sleep(ifupMs);
	const link = kernel.link(device);
	if (
		values.HWADDR &&
		values.HWADDR.toUpperCase() !== (link?.mac ?? "").toUpperCase()
	) {
		return fail(
			"ifup-eth",
			`Device ${device} has different MAC address than expected, ignoring.`,
		);
	}
	if (!link)
		return fail(
			"ifup-eth",
			`Device ${device} does not seem to be present, delaying initialization.`,
		);
	if (ip(host, `link set dev ${device} up`))
		return fail("ifup-eth", `Failed to bring up ${device}.`);

	const addresses = addressesOf(values);
	for (const { address, prefix, isProbed } of addresses) {
		if (
			link.addresses.some((one) => one.ip === address && one.prefix === prefix)
		)
			continue;
		if (isProbed && device !== "lo") await clock.sleep(probeMs);
		// A failed one is reported and passed over.
		ip(
			host,
			`addr add ${address}/${prefix} brd ${broadcastOf(address, prefix)} dev ${device}${device === "lo" ? " scope host" : ""} label ${device}`,
		);
	}
	const [first] = addresses;
	if (
		values.GATEWAY &&
		values.DEFROUTE !== "no" &&
		first &&
		isIn(values.GATEWAY, networkOf(first.address, first.prefix))
	) {
		// No metric and no device: the last link up takes the machine's default route.
		ip(host, `route replace default via ${values.GATEWAY}`);
	}
	if (values.NOZEROCONF === undefined && device !== "lo")
		ip(
			host,
			`route add 169.254.0.0/16 dev ${device} metric ${1000 + link.ifindex} scope link`,
		);
	const routes = disk.read(`${directory}/route-${device}`)?.content ?? "";
	if (/^\s*ADDRESS[0-9]+=/m.test(routes))
		for (const line of numberedRoutes(source(routes), device))
			ip(host, `route add ${line}`);
	else for (const line of linesOf(routes)) ip(host, `route add ${line}`);
	for (const line of linesOf(
		disk.read(`${directory}/rule-${device}`)?.content ?? "",
	))
		ip(host, `rule add ${line}`);
	return ok;
}

/** CentOS 7.2's `ifdown`: flushes every global address; takes rules away only while ifcfg is there. */
export async function ifdown(
	host: ScriptHost,
	name: string,
): Promise<RunResult> {
	const { kernel, disk, clock } = host;
	const file = findConfig(host, name);
	if (!file)
		return {
			exitCode: 1,
			stdout: "",
			stderr: "usage: ifdown <configuration>\n",
		};
	const values = source(file.text);
	const device = values.DEVICE ?? file.name.slice("ifcfg-".length);
	await clock.sleep(ifupMs);
	const link = kernel.link(device);
	if (
		link &&
		values.HWADDR &&
		values.HWADDR.toUpperCase() !== link.mac.toUpperCase()
	) {
		return fail(
			"ifdown-eth",
			`Device ${device} has MAC address ${link.mac.toUpperCase()}, instead of configured address ${values.HWADDR}. Ignoring.`,
		);
	}
	if (link) {
		// `ip addr flush` deletes them one by one, the primary ones last where they get promoted.
		for (const { ip: address, prefix, scope } of [
			...link.addresses,
		].reverse()) {
			if (scope === "global")
				ip(host, `addr del ${address}/${prefix} dev ${device}`);
		}
		if (ip(host, `link set dev ${device} down`))
			return { exitCode: 1, stdout: "", stderr: "" };
	}
	for (const line of linesOf(
		disk.read(`${directory}/rule-${device}`)?.content ?? "",
	))
		ip(host, `rule del ${line}`);
	return ok;
}

/** /etc/init.d/network start. */
export async function startNetwork(host: ScriptHost): Promise<boolean> {
	applySysctls(host);
	await ifup(host, "lo");
	let isGood = true;
	for (const name of interfaces(host))
		isGood = (await ifup(host, name, true)).exitCode === 0 && isGood;
	applySysctls(host);
	return isGood;
}

/** /etc/init.d/network stop: forwarding goes with it. */
export async function stopNetwork(host: ScriptHost): Promise<void> {
	for (const name of interfaces(host)) await ifdown(host, name);
	host.kernel.sysctls.set("ip_forward", "0");
}

/** What `sysctl -p` would set; keys of links that are not there are passed over. `only` is a link's name. */
export function applySysctls(
	{ kernel, disk }: ScriptHost,
	only?: string,
): void {
	for (const line of linesOf(disk.read("/etc/sysctl.conf")?.content ?? "")) {
		const match = /^\s*-?\s*net[./]ipv4[./](\S+?)\s*=\s*(\S+)\s*$/.exec(line);
		const key = match?.[1]?.includes("/")
			? match[1]
			: match?.[1]?.replaceAll(".", "/");
		if (!key || !kernel.sysctls.has(key)) continue;
		if (only === undefined || key.split("/")[1] === only)
			kernel.sysctls.set(key, match?.[2] ?? "");
	}
}

function ip({ kernel, operations }: ScriptHost, line: string): boolean {
	return changeByIp(kernel, operations, line.split(" ")) !== undefined;
}

function configs({ disk }: ScriptHost): { name: string; text: string }[] {
	return disk
		.list(directory)
		.map((path) => ({
			name: path.slice(directory.length + 1),
			text: disk.read(path)?.content ?? "",
		}))
		.filter(({ name }) => name.startsWith("ifcfg-"));
}

function interfaces(host: ScriptHost): string[] {
	return configs(host)
		.map(({ name }) => name)
		.filter(
			(name) =>
				name !== "ifcfg-lo" &&
				!name.includes(":") &&
				!name.endsWith("-range") &&
				!ignored.test(name),
		)
		.map((name) => name.slice("ifcfg-".length));
}

// By file name, by the link's MAC, by DEVICE; the greps know bare and double-quoted values only.
function findConfig(
	host: ScriptHost,
	name: string,
): { name: string; text: string } | undefined {
	const files = configs(host);
	const grep = (key: string, value: string, flags: string) =>
		files.find(
			(file) =>
				!ignored.test(file.name) &&
				new RegExp(`^\\s*${key}="?${value}"?([\\s#]|$)`, `m${flags}`).test(
					file.text,
				),
		);
	const mac = host.kernel.link(name)?.mac;
	return (
		files.find((file) => file.name === `ifcfg-${name}`) ??
		(mac ? grep("HWADDR", mac, "i") : undefined) ??
		grep("DEVICE", name, "")
	);
}

// IPADDR, IPADDR0, IPADDR1 and so on; the first gap at 2 or later ends the list.
function addressesOf(
	values: Record<string, string>,
): { address: string; prefix: number; isProbed: boolean }[] {
	const found = [];
	for (const [at, suffix] of ["", ...Array(256).keys()].entries()) {
		const address = values[`IPADDR${suffix}`];
		if (address) {
			const netmask = values[`NETMASK${suffix}`];
			const prefix =
				values[`PREFIX${suffix}`] ??
				(netmask ? prefixOf(netmask) : classful(address));
			found.push({
				address,
				prefix: Number(prefix),
				isProbed: values[`ARPCHECK${suffix}`] !== "no",
			});
		} else if (at > 2) break;
	}
	return found;
}

function classful(address: string): number {
	const first = Number(address.split(".")[0]);
	return first < 128 ? 8 : first < 192 ? 16 : 24;
}

function numberedRoutes(
	values: Record<string, string>,
	device: string,
): string[] {
	const lines: string[] = [];
	for (let at = 0; values[`ADDRESS${at}`]; at += 1) {
		const gateway = values[`GATEWAY${at}`];
		lines.push(
			`${values[`ADDRESS${at}`]}/${prefixOf(values[`NETMASK${at}`] ?? "255.255.255.255")}${gateway ? ` via ${gateway}` : ""} dev ${device}`,
		);
	}
	return lines;
}
