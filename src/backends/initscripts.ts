import type { RunStep } from "../model.js";
import { paths } from "../paths.js";
import type { Backend } from "./backend.js";

// 30 addresses take about a second; a time-out only ends what hangs.
const ifupTimeoutMs = 60_000;
// TimeoutSec of the generated network.service is 5 minutes.
const serviceTimeoutMs = 310_000;

/** CentOS 7's network-scripts: ifcfg-, route- and rule- files, activated by ifup. */
export const initscripts: Backend = {
	name: "initscripts",
	// ifcfg last: it is what makes network-scripts see the link at all.
	files: (spec, renderer) => [
		...(spec.table === undefined
			? []
			: [
					{
						path: `${paths.networkScripts}/rule-${spec.name}`,
						body: renderer.rule(spec),
					},
					{
						path: `${paths.networkScripts}/route-${spec.name}`,
						body: renderer.route(spec),
					},
				]),
		{
			path: `${paths.networkScripts}/ifcfg-${spec.name}`,
			body: renderer.ifcfg(spec),
		},
	],
	activate: (spec) => [
		...(spec.nmControlled ? [] : releaseFromNetworkManager(spec.name)),
		run(spec.name, ["ifup", spec.name], ifupTimeoutMs, [spec.name]),
	],
	deactivate: (name) => [run(name, ["ifdown", name], ifupTimeoutMs, [name])],
	restartService: () => [
		run(
			undefined,
			["systemctl", "restart", "network"],
			serviceTimeoutMs,
			"all",
		),
	],
};

// ifup does not tell NetworkManager, which would keep its own DHCP profile on the link.
function releaseFromNetworkManager(name: string): RunStep[] {
	return [
		run(
			name,
			["nmcli", "connection", "load", `${paths.networkScripts}/ifcfg-${name}`],
			10_000,
			[name],
		),
		{
			...run(name, ["nmcli", "-t", "-f", "DEVICE,STATE", "device"], 10_000, [
				name,
			]),
			until: `${name}:unmanaged`,
		},
	];
}

function run(
	link: string | undefined,
	argv: string[],
	timeoutMs: number,
	touches: RunStep["touches"],
): RunStep {
	return { kind: "run", link, argv, timeoutMs, touches };
}
