import type { Observed, Plan } from "./model.js";
import type { System } from "./system.js";

/** Whether systemd has a job for network.service: then it is not the time to touch links. */
export async function isNetworkBusy(
	system: System,
	{ facts }: Pick<Observed, "facts">,
): Promise<boolean> {
	if (!facts.systemdRunning) return false;
	// One property a line; systemd 219 has no --value, and prints no Job line where there is none.
	const result = await system.run(
		["systemctl", "show", "-p", "Job", "-p", "ActiveState", "network.service"],
		{ timeoutMs: 10_000 },
	);
	const values = Object.fromEntries(
		result.stdout.split("\n").map((line) => line.split("=", 2)),
	);
	return (
		Number(values.Job ?? 0) > 0 ||
		["activating", "deactivating", "reloading"].includes(
			values.ActiveState ?? "",
		)
	);
}

/**
 * Why a service restart would cost more than it cures, unless forced; undefined where there is none, or
 * it costs nothing: `network stop` takes every link down, and sets ip_forward to 0 for good where no
 * file says 1.
 */
export function serviceObstacle(
	observed: Observed,
	plan: Plan,
	force: boolean,
): string | undefined {
	if (
		force ||
		!plan.steps.some((step) => step.kind === "run" && step.touches === "all")
	)
		return undefined;
	const leased = observed.links.find((link) => link.up && link.dhcp);
	if (leased) {
		return `--restart service: ${leased.name} holds a DHCP lease, which a restart of the network drops: use --restart interface, or --force`;
	}
	const isForwarding = observed.sysctls.ip_forward === "1";
	const isPersistent =
		/^[ \t]*net[./]ipv4[./]ip_forward[ \t]*=[ \t]*1[ \t]*\r?$/m.test(
			observed.sysctlConf?.content ?? "",
		);
	if (isForwarding && !isPersistent) {
		return "--restart service: net.ipv4.ip_forward is 1 in the kernel and not in /etc/sysctl.conf, and a restart of the network sets it to 0: use --restart interface, write it to the file, or --force";
	}
	return undefined;
}
