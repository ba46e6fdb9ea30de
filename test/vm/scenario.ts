import type { EniOptions } from "../sandbox/sandbox";
import { type Disk, installedDisk } from "./image";
import type { Machine } from "./machine";
import { buildPackages, type Target } from "./packages";

export const scripts = "/etc/sysconfig/network-scripts";

/** The machine's disk with the package, its services enabled or not. */
export async function installed(
	services: "enabled" | "disabled" = "enabled",
	target: Target = "el7",
): Promise<Disk> {
	return installedDisk(await buildPackages({ target }), services);
}

/** An ENI with so many addresses and a MAC of its own; the first is in the primary's own subnet, the others have one each. */
export function eni(number: number, count = 2): EniOptions {
	const third = number === 1 ? 1 : number + 1;
	return {
		name: `eth${number}`,
		mac: `52:54:00:be:00:a${number}`,
		subnet: `10.0.${third}.0/24`,
		addresses: Array.from(
			{ length: count },
			(_, i) => `10.0.${third}.${20 + i}`,
		),
	};
}

export const addressesOf = (...enis: EniOptions[]): string[] =>
	enis.flatMap(({ addresses }) => addresses);

/** Lines of the unit's journal in this boot. */
export const journal = (machine: Machine, unit = "eni-configure") =>
	machine.shell(`journalctl -b -u ${unit} --no-pager -o cat`);

/** Waits until the daemon has logged a line like this (an extended regular expression) in this boot. */
export const untilSaid = (machine: Machine, line: string, timeoutMs?: number) =>
	machine.until(
		line,
		`journalctl -b -u eni-configure --no-pager -o cat | grep -qE '${line}' || { journalctl -b -u eni-configure --no-pager -o cat; exit 1; }`,
		timeoutMs,
	);

/** Waits until the daemon has ended its first pass, and systemd all that belongs to the boot. */
export async function untilUp(machine: Machine): Promise<void> {
	// Not 0 when something has failed, which is for the test to judge.
	await machine.run("systemctl is-system-running --wait", 180_000);
}

export async function untilDaemonIsReady(machine: Machine): Promise<void> {
	await untilUp(machine);
	await machine.until(
		"the daemon's first pass",
		"grep -q lastPass /run/eni-configure/status.json",
	);
}

/** Waits until nothing of these ENIs is left in the guest: files, rules, tables, sysctl lines. */
export function untilForgotten(machine: Machine, names: string[]) {
	const words = names.join("|");
	return machine.until(
		`nothing left of ${names.join(", ")}`,
		`! ls -A ${scripts} | grep -E -- '-(${words})$' && ! ip -4 rule | grep -E 'lookup 10[0-9][0-9]' &&
		! ip -4 route show table all | grep -E 'dev (${words}) ' && ! grep -E '\\.(${words})\\.' /etc/sysctl.conf`,
	);
}

/** Files that a run was writing when it ended: our temporary ones have a leading dot. */
export const leftovers = (machine: Machine) =>
	machine.shell(
		`find ${scripts} /etc -maxdepth 1 -name '.*' -type f | grep -v -e '/\\.pwd.lock$' -e '/\\.updated$' || true; find /var/lib/eni-configure -name '.*' -type f`,
	);

/** The agent's files in network-scripts, and whether each is what its own hash says. */
export async function managedFiles(
	machine: Machine,
): Promise<{ path: string; isValid: boolean }[]> {
	const lines = await machine.shell(
		`for file in ${scripts}/*; do
			[ -f "$file" ] || continue
			head -n 1 "$file" | grep -q '^# eni-configure 1:' || continue
			[ "$(sed -n 2p "$file")" = "# sha256 $(tail -n +3 "$file" | sha256sum | cut -d ' ' -f 1)" ]
			echo "$? $file"
		done`,
	);
	return lines
		.split("\n")
		.filter(Boolean)
		.map((line) => ({ path: line.slice(2), isValid: line.startsWith("0 ") }));
}
