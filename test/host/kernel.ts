import { broadcastOf, networkOf } from "./ip-math";
import { createConnections } from "./kernel-addresses";
import { createRoutes, tables } from "./kernel-routes";
import type { Kernel, KernelLink, KernelRule } from "./kernel-types";

const scopeOrder = { global: 0, link: 253, host: 254 };
const linkSysctls = {
	rp_filter: "1",
	arp_ignore: "0",
	promote_secondaries: "1",
};

/** The part of Linux 3.10 that matters here: links, addresses, rules, routes, sysctls, neighbours. */
export function createKernel(): Kernel {
	const links: KernelLink[] = [];
	const rules: KernelRule[] = [
		{
			priority: 0,
			from: "0.0.0.0/0",
			to: undefined,
			iif: undefined,
			table: tables.local,
		},
		{
			priority: 32766,
			from: "0.0.0.0/0",
			to: undefined,
			iif: undefined,
			table: tables.main,
		},
		{
			priority: 32767,
			from: "0.0.0.0/0",
			to: undefined,
			iif: undefined,
			table: tables.default,
		},
	];
	const sysctls = new Map([["ip_forward", "0"]]);
	for (const name of ["all", "default"]) {
		for (const [leaf, value] of Object.entries(linkSysctls))
			sysctls.set(`conf/${name}/${leaf}`, value);
	}
	const neighbours = new Map<string, boolean>();
	const find = (name: string) => links.find((link) => link.name === name);
	const routes = createRoutes({
		link: find,
		isLocal: (ip) =>
			links.some((link) => link.addresses.some((one) => one.ip === ip)),
	});
	let lastIndex = 0;

	function forgetNeighbours(name: string): void {
		for (const key of neighbours.keys())
			if (key.endsWith(` ${name}`)) neighbours.delete(key);
	}

	const { connect, remove } = createConnections(links, routes, sysctls);

	return {
		links,
		rules,
		routes,
		sysctls,
		neighbours,
		link: find,
		plug: (given) => {
			lastIndex += 1;
			const link: KernelLink = {
				ifindex: lastIndex,
				up: false,
				mtu: 1500,
				type: 1,
				driver: "virtio_net",
				devtype: undefined,
				master: undefined,
				lowers: [],
				...given,
				addresses: [],
			};
			links.push(link);
			for (const leaf of Object.keys(linkSysctls))
				sysctls.set(
					`conf/${link.name}/${leaf}`,
					sysctls.get(`conf/default/${leaf}`) ?? "0",
				);
			return link;
		},
		unplug: (name) => {
			const link = find(name);
			if (!link) return;
			for (const address of [...link.addresses])
				if (link.addresses.includes(address)) remove(link, address);
			routes.removeByLink(name, "all");
			forgetNeighbours(name);
			links.splice(links.indexOf(link), 1);
			for (const leaf of Object.keys(linkSysctls))
				sysctls.delete(`conf/${name}/${leaf}`);
		},
		setLink: (link, up) => {
			if (link.up === up) return;
			link.up = up;
			if (up) for (const address of link.addresses) connect(link, address);
			else {
				// fib_sync_down_dev: only routes of scope host stay.
				routes.removeByLink(link.name, "but-host");
				forgetNeighbours(link.name);
			}
		},
		addAddress: (link, given) => {
			const subnet = networkOf(given.ip, given.prefix);
			const peers = link.addresses.filter(
				(one) =>
					one.prefix === given.prefix &&
					networkOf(one.ip, one.prefix) === subnet,
			);
			if (peers.some((one) => one.ip === given.ip)) return "File exists";
			if (peers.some((one) => one.scope !== given.scope))
				return "Invalid argument";
			const address = { ...given, secondary: peers.length > 0 };
			const lastPrimary = link.addresses
				.map(
					(one) =>
						!one.secondary && scopeOrder[given.scope] <= scopeOrder[one.scope],
				)
				.lastIndexOf(true);
			link.addresses.splice(
				address.secondary ? link.addresses.length : lastPrimary + 1,
				0,
				address,
			);
			connect(link, address);
			return undefined;
		},
		deleteAddress: (link, ip, prefix) => {
			const address = link.addresses.find(
				(one) => one.ip === ip && one.prefix === prefix,
			);
			if (!address) return "Cannot assign requested address";
			remove(link, address);
			return undefined;
		},
		// 3.10 takes the same rule twice; newer kernels do not.
		addRule: (rule) => {
			const at = rules.findIndex((one) => one.priority > rule.priority);
			rules.splice(at < 0 ? rules.length : at, 0, rule);
			return undefined;
		},
		deleteRule: (wanted) => {
			const keys = Object.keys(wanted) as (keyof KernelRule)[];
			const at = rules.findIndex((rule) =>
				keys.every(
					(key) => wanted[key] === undefined || rule[key] === wanted[key],
				),
			);
			if (at < 0) return "No such file or directory";
			rules.splice(at, 1);
			return undefined;
		},
	};
}

/** What `brd +` stands for: nothing on a /31 or /32. */
export function plusBroadcast(ip: string, prefix: number): string | undefined {
	return prefix <= 30 ? broadcastOf(ip, prefix) : undefined;
}
