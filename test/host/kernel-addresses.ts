import { networkOf } from "./ip-math";
import { type Routes, tables } from "./kernel-routes";
import type { KernelAddress, KernelLink } from "./kernel-types";

/** What an address brings and takes: fib_frontend.c and devinet.c of Linux 3.10. */
export interface Connections {
	/** The routes of an address on a link that is up. */
	connect(link: KernelLink, address: KernelAddress): void;
	/** Takes an address off its link, with what depends on it. */
	remove(link: KernelLink, address: KernelAddress): void;
}

export function createConnections(
	links: KernelLink[],
	routes: Routes,
	sysctls: Map<string, string>,
): Connections {
	// fib_add_ifaddr: no routes while the link is down, a /32 or a secondary connects to nothing.
	function connect(
		link: KernelLink,
		{ ip, prefix, broadcast, secondary, scope }: KernelAddress,
	): void {
		if (!link.up) return;
		const kernel = {
			dev: link.name,
			proto: "kernel",
			src: ip,
			metric: 0,
			via: undefined,
		} as const;
		routes.insertOwn({
			...kernel,
			table: tables.local,
			type: "local",
			dst: `${ip}/32`,
			scope: "host",
		});
		if (broadcast && broadcast !== ip)
			routes.insertOwn({
				...kernel,
				table: tables.local,
				type: "broadcast",
				dst: `${broadcast}/32`,
				scope: "link",
			});
		if (!secondary && prefix < 32) {
			const own = scope === "host" ? "local" : "unicast";
			const table = scope === "host" ? tables.local : tables.main;
			routes.insertOwn({
				...kernel,
				table,
				type: own,
				dst: networkOf(ip, prefix),
				scope: scope === "host" ? "host" : "link",
			});
		}
	}

	function disconnect(
		link: KernelLink,
		{ ip, prefix, broadcast, secondary }: KernelAddress,
	): void {
		if (!secondary && prefix < 32)
			routes.removeConnected(link.name, networkOf(ip, prefix), ip);
		if (broadcast) routes.removeLocal(link.name, broadcast, "broadcast");
		if (link.addresses.some((other) => other.ip === ip)) return;
		routes.removeLocal(link.name, ip, "local");
		// A route whose preferred source is gone goes with it, in every table.
		if (!links.some((one) => one.addresses.some((other) => other.ip === ip)))
			routes.removeBySource(ip);
	}

	function remove(link: KernelLink, address: KernelAddress): void {
		link.addresses.splice(link.addresses.indexOf(address), 1);
		const subnet = networkOf(address.ip, address.prefix);
		const followers = address.secondary
			? []
			: link.addresses.filter(
					(one) => one.secondary && networkOf(one.ip, one.prefix) === subnet,
				);
		const promotes = ["all", link.name].some(
			(name) => sysctls.get(`conf/${name}/promote_secondaries`) === "1",
		);
		disconnect(link, address);
		for (const [at, follower] of followers.entries()) {
			if (!promotes) remove(link, follower);
			else if (at === 0) {
				follower.secondary = false;
				connect(link, follower);
			}
		}
		// inet_del_ifa: without its last address a link forgets every route.
		if (link.addresses.length === 0) routes.removeByLink(link.name, "all");
	}

	return { connect, remove };
}
