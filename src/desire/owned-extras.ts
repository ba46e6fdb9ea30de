import { ipOf } from "../ipv4.js";
import { isOurs } from "../marker.js";
import type { Link, Observed } from "../model.js";
import type { Context } from "./context.js";
import { parseIfcfg } from "./managed.js";

/**
 * What stands on the primary's link by the agent's doing, or did until a reboot or somebody dropped
 * it: each as IP/32. What its owner has written into a file since is the owner's, and so is what
 * stands after a boot without our having added it again.
 */
export function ownedExtras(link: Link, observed: Observed): string[] {
	const record = observed.state.extras;
	if (record?.mac !== link.mac) return [];
	return record.addresses.filter((cidr) => {
		const same = link.addresses.filter(({ ip }) => ip === ipOf(cidr));
		const isFree =
			same.length === 0 ||
			(record.bootId === observed.bootId &&
				same.some(({ prefix }) => prefix === 32));
		return isFree && fileNaming(ipOf(cidr), observed) === undefined;
	});
}

/** The ifcfg file of somebody's that names an address, without its folder; mostly none. */
export function fileNaming(
	ip: string,
	{ files }: Pick<Observed, "files">,
): string | undefined {
	const file = files.find(
		({ path, content }) =>
			/\/ifcfg-[^/]+$/.test(path) &&
			!isOurs(content) &&
			Object.entries(parseIfcfg(content)).some(
				([key, value]) => /^IPADDR\d*$/.test(key) && value === ip,
			),
	);
	return file?.path.split("/").at(-1);
}

/**
 * Whether the metadata service's list of the primary's private IPs is about this link: it holds one
 * that the link has without our doing. Anything else is another machine's, or not settled yet.
 */
export function isListOf(link: Link, { observed }: Context): boolean {
	const { cloud } = observed;
	const owned = ownedExtras(link, observed);
	return (
		cloud?.primaryMac === link.mac &&
		link.addresses.some(
			({ family, ip, prefix }) =>
				family === 4 &&
				!owned.includes(`${ip}/${prefix}`) &&
				cloud.primaryAddresses?.includes(ip),
		)
	);
}

/** Whether this run is about the primary's further private IPs at all. */
export function isAboutExtras({ observed, request, settings }: Context) {
	return (
		request.verb === "configure" &&
		request.targets === "all" &&
		observed.state.extras?.rolledBack !== settings.managePrimary
	);
}

/** Which of the owned ones this run takes off the primary, apart from those that somebody else claims. */
export function leavingExtras(link: Link, context: Context): string[] {
	const { observed, request, settings } = context;
	const owned = ownedExtras(link, observed);
	if (!isAboutExtras(context)) return [];
	if (!settings.managePrimary) return owned;
	// One answer adds; taking away needs --prune, or in the daemon the same answer for long enough.
	const mayTake = request.prune || request.daemon?.settled.includes(link.mac);
	if (!mayTake || !isListOf(link, context)) return [];
	return owned.filter(
		(cidr) => !observed.cloud?.primaryAddresses?.includes(ipOf(cidr)),
	);
}
