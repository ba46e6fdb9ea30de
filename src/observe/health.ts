import { defaultRoutes } from "../desire/candidate.js";
import { readFile, readValue } from "../files.js";
import type { Health, KernelState, Link } from "../model.js";
import { paths } from "../paths.js";
import type { System } from "../system.js";
import { askWay } from "./kernel.js";
import { isResolved } from "./parse-ip.js";

// A line has 80 bytes; a node of many containers has tens of thousands of neighbours.
const arpLimit = 16 * 1024 * 1024;

/** Looks at the primary: its addresses, the link its gateway resolves to, the gateway's neighbour entry. `known` is the link by which the kernel would go to a gateway, where that is known by now. */
export async function observeHealth(
	system: System,
	kernel: KernelState,
	primary: Link | undefined,
	before: Health | undefined,
	neighbourLimitMs: number,
	known?: { to: string; link: string | undefined },
): Promise<Health | undefined> {
	const link = kernel.links.find((one) => one.name === primary?.name);
	if (!link) return undefined;
	const own = defaultRoutes(kernel.routes).find((route) =>
		route.devs.includes(link.name),
	);
	const gateway = before?.gateway ?? own?.via;
	const addresses = link.addresses
		.filter(({ family }) => family === 4)
		.map(({ ip, prefix }) => `${ip}/${prefix}`);
	const first = addresses[0]?.split("/")[0];
	if (!gateway || !first)
		return {
			link: link.name,
			addresses,
			gateway,
			gatewayLink: undefined,
			hasNeighbour: false,
		};
	const [gatewayLink, hasNeighbour] = await Promise.all([
		known?.to === gateway ? known.link : askWay(system, gateway),
		// What did not answer before need not answer afterwards.
		before && !before.hasNeighbour
			? false
			: resolvesNeighbour(
					system,
					{ link: link.name, from: first, to: gateway },
					neighbourLimitMs,
				),
	]);
	return {
		link: link.name,
		addresses,
		gateway,
		gatewayLink,
		hasNeighbour,
	};
}

function ifindexOf({ fs }: System, link: string): string | undefined {
	return readValue(fs, `${paths.sysClassNet}/${link}/ifindex`);
}

/**
 * Whether the gateway answers ARP on a link: a datagram from the link's own address makes the
 * kernel ask, then /proc/net/arp tells (after a good ifup there is no entry until something is
 * sent). STALE is as good as REACHABLE: unasked for a while is not gone.
 */
export async function resolvesNeighbour(
	system: System,
	hop: { link: string; from: string; to: string },
	limitMs: number,
): Promise<boolean> {
	const { clock } = system;
	const limit = clock.nowMs() + limitMs;
	const index = ifindexOf(system, hop.link);
	let nextNudge = 0;
	let pauseMs = 2;
	for (;;) {
		if (clock.nowMs() >= nextNudge) {
			await system.nudge(hop.from, hop.to);
			// The kernel asks three times a second apart before it gives up; then it needs a new reason.
			nextNudge = clock.nowMs() + 1000;
		}
		if (
			isResolved(
				readFile(system.fs, paths.arp, arpLimit)?.content ?? "",
				hop.to,
				hop.link,
			)
		)
			return true;
		// A NIC that was unplugged meanwhile, or just before, has nobody to wait for, whoever has its name by now.
		const isOver =
			clock.nowMs() >= limit ||
			index === undefined ||
			ifindexOf(system, hop.link) !== index;
		if (isOver || system.stopSignal()) return false;
		await clock.sleep(pauseMs);
		pauseMs = Math.min(pauseMs * 2, 50);
	}
}
