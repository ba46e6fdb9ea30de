import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { EniOptions } from "../sandbox/eni";
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

/** Content of the files that match, by path; in one command, because each costs a second under emulation. */
export async function contentsOf(
	machine: Machine,
	globs: string,
): Promise<Map<string, string>> {
	const lines = await machine.shell(
		`for file in ${globs}; do [ -f "$file" ] && echo "$file $(base64 -w0 "$file")"; done; true`,
	);
	return new Map(
		lines
			.split("\n")
			.filter(Boolean)
			.map((line) => {
				const [path = "", content = ""] = line.split(" ");
				return [path, Buffer.from(content, "base64").toString("utf8")];
			}),
	);
}

/** Whether a text is a file of the agent's and what its own hash says. */
export function isWhole(text: string): boolean {
	const [title = "", hash, ...rest] = text.split("\n");
	const real = createHash("sha256").update(rest.join("\n")).digest("hex");
	return title.startsWith("# eni-configure 1:") && hash === `# sha256 ${real}`;
}

/** Fails when a unit of this boot has failed. */
export async function expectNothingFailed(machine: Machine): Promise<void> {
	expect(
		await machine.shell("systemctl --failed --no-legend --plain --no-pager"),
	).toBe("");
}
