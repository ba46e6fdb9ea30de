import type { RunResult } from "../../src/system";
import type { FakeClock } from "./clock";
import type { Disk } from "./disk";
import { addressesOf, directory, findConfig, numberedRoutes } from "./ifcfg";
import { changeByIp } from "./ip-change";
import { broadcastOf, isIn, networkOf } from "./ip-math";
import type { Kernel } from "./kernel-types";
import type { Operations } from "./operations";
import { linesOf, source } from "./shell-file";

/** What network-scripts work with. */
export interface ScriptHost {
	kernel: Kernel;
	disk: Disk;
	operations: Operations;
	clock: FakeClock;
}

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

function ip({ kernel, operations }: ScriptHost, line: string): boolean {
	return changeByIp(kernel, operations, line.split(" ")) !== undefined;
}
