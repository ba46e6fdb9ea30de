import { expect } from "vitest";
import type { Run } from "./agent";
import type { FakeHost } from "./fake-host";
import { showAddresses, showRoutes, showRules } from "./ip-show";
import { tables } from "./kernel-routes";

export const scripts = "/etc/sysconfig/network-scripts";

/** The CIDRs on a link, sorted. */
export function addressesOn(host: FakeHost, name: string): string[] {
	return (host.kernel.link(name)?.addresses ?? [])
		.map(({ ip, prefix }) => `${ip}/${prefix}`)
		.sort();
}

/** The rules besides the kernel's own three, as `PRIORITY from SOURCE lookup TABLE`, sorted. */
export function policyRules(host: FakeHost): string[] {
	const own = ["0:", "32766:", "32767:"];
	return showRules(host.kernel.rules)
		.split("\n")
		.filter((line) => line !== "" && !own.includes(line.split("\t")[0] ?? ""))
		.map((line) => line.replace(":\t", " ").trim())
		.sort();
}

/** The routes of a table as `ip` prints them, single-spaced. */
export function routesIn(host: FakeHost, table: number): string[] {
	const routes = host.kernel.routes
		.all()
		.filter((route) => route.table === table);
	return showRoutes(routes.map((route) => ({ ...route, table: tables.main })))
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => line.trim().replace(/ +/g, " "));
}

/** All lines of a link in the kernel, for comparing a link before and after. */
export function linkText(host: FakeHost, name: string): string {
	const link = host.kernel.links.filter((one) => one.name === name);
	const routes = host.kernel.routes.all().filter((route) => route.dev === name);
	return `${link.map(({ mac, up }) => `${mac} ${up}`).join()}\n${showAddresses(link, 4)}${showRoutes(routes)}`;
}

/** The outcome of each NIC by name. */
export function outcomes(run: Run): Record<string, string> {
	return Object.fromEntries(
		run.interfaces.map(({ name, outcome }) => [name, outcome]),
	);
}

/** Expects a run to have changed nothing and to have said why. */
export function expectUntouched(
	host: FakeHost,
	run: Run,
	before: string,
	exitCode: number,
): void {
	expect({ exitCode: run.exitCode, snapshot: host.snapshot() }).toEqual({
		exitCode,
		snapshot: before,
	});
}
