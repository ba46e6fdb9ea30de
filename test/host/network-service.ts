import { configs, ignored } from "./ifcfg";
import { ifdown, ifup, type ScriptHost } from "./network-scripts";
import { linesOf } from "./shell-file";

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
