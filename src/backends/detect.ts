import type { HostFacts, Settings } from "../model.js";
import type { Backend } from "./backend.js";
import { initscripts } from "./initscripts.js";

export type BackendVerdict =
	| { backend: Backend; why: string }
	| { backend: undefined; why: string };

/** Which network stack is in charge, and the facts that say so. */
export function detectBackend(
	facts: HostFacts,
	wanted: Settings["backend"],
): BackendVerdict {
	const seen = [
		facts.osName,
		`network-scripts ${facts.networkScripts ? "installed" : "missing"}`,
		`network service ${facts.networkServiceEnabled ? "enabled" : "not enabled"}`,
		`NetworkManager ${facts.networkManagerRunning ? "running" : "not running"}`,
	].join(", ");
	if (wanted === "initscripts") {
		return facts.networkScripts
			? { backend: initscripts, why: `initscripts, as asked (${seen})` }
			: {
					backend: undefined,
					why: `backend initscripts was asked for, but network-scripts are missing (${seen})`,
				};
	}
	if (
		facts.networkScripts &&
		(!facts.networkManagerRunning || facts.networkServiceEnabled)
	) {
		return { backend: initscripts, why: `initscripts (${seen})` };
	}
	if (facts.networkManagerRunning) {
		return {
			backend: undefined,
			why: `NetworkManager is in charge here and this version configures network-scripts only (${seen}); enable the network service, or pass --backend initscripts where network-scripts are installed`,
		};
	}
	return {
		backend: undefined,
		why: `no supported network configuration was found: expected CentOS network-scripts in /etc/sysconfig/network-scripts (${seen})`,
	};
}
