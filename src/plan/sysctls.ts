import type { Desired, Observed } from "../model.js";
import type { SysctlSetting } from "../render.js";
import { sysctlKey } from "../sysctl-keys.js";

/**
 * The sysctl settings of a run, for the file and the kernel alike. The kernel uses the larger of
 * `all` and the link's own rp_filter, so both are set; a line for a link stands only while it is managed.
 */
export function sysctlSettings(desired: Desired): SysctlSetting[] {
	const names = [
		...new Set(
			[...desired.interfaces, ...desired.others].map((one) => one.name),
		),
	].sort();
	if (names.length === 0) return [];
	const primary = desired.primary ? [desired.primary.name] : [];
	const value = String(desired.rpFilter);
	return [
		...["default", "all", ...primary, ...names].map((link) => ({
			link,
			leaf: "rp_filter",
			value,
		})),
		...names.flatMap((link) => [
			// Without it eth1 answers ARP requests for the primary's address.
			{ link, leaf: "arp_ignore", value: "1" },
			{ link, leaf: "promote_secondaries", value: "1" },
		]),
	];
}

/** The running kernel's sysctls of a run by key: those of managed links, and old values for what nobody needs any more. */
export function wantedSysctls(
	observed: Observed,
	desired: Desired,
): Record<string, string> {
	const wanted: Record<string, string> = {};
	for (const { link, leaf, value } of sysctlSettings(desired)) {
		const isThere =
			link === "all" ||
			link === "default" ||
			observed.links.some((one) => one.name === link);
		if (isThere && !desired.held.includes(link))
			wanted[sysctlKey(link, leaf)] = value;
	}
	// What no managed ENI needs any more returns to what it was, unless somebody has changed it since.
	const giveBack = Object.fromEntries(
		Object.entries({
			...observed.state.sysctls,
			...Object.assign(
				{},
				// Of a link that has been unplugged nothing is left; another one may have its name.
				...desired.gone
					.filter(({ name, mac }) =>
						observed.links.some(
							(link) => link.name === name && link.mac === mac,
						),
					)
					.map(
						({ mac }) => observed.state.interfaces[mac]?.before?.sysctls ?? {},
					),
			),
		}).filter(
			([key]) =>
				wanted[key] === undefined && isStillOurs(key, observed, desired),
		),
	);
	return { ...wanted, ...(giveBack as Record<string, string>) };
}

function isStillOurs(
	key: string,
	observed: Observed,
	desired: Desired,
): boolean {
	const now = observed.sysctls[key];
	const rpFilter = observed.state.rpFilter ?? desired.rpFilter;
	const ours = key.endsWith("/rp_filter") ? String(rpFilter) : "1";
	return now === ours;
}
