import { describe, expect, test } from "vitest";
import {
	defaultRoutes,
	findPrimary,
	matchesGlob,
	notCandidate,
	primaryReason,
} from "../../src/desire/candidate.js";
import { parseIfcfg } from "../../src/desire/managed.js";
import type { Link } from "../../src/model.js";
import { parseRoutes } from "../../src/observe/parse-ip.js";
import { kernelOf, observedOf } from "./given.js";

const nothing = { names: [], macs: [], drivers: [] };
const nic = (name: string, more: Partial<Link> = {}): Link => ({
	...(kernelOf({ links: { [name]: {} } }).links[0] as Link),
	...more,
});

describe("which links can be an ENI", () => {
	test.each(["eth1", "eth10", "ens6", "enp0s6", "net0", "vethernet0".slice(4)])(
		"%s can",
		(name) => {
			expect(notCandidate(nic(name), nothing)).toBeUndefined();
		},
	);

	test.each([
		"veth1a2b3c",
		"docker0",
		"br-1a2b3c",
		"cali123",
		"cni0",
		"flannel.1",
		"virbr0",
		"tap0",
		"vnet3",
		"lxcbr0",
		"dummy0",
		"ifb0",
		"macvlan1",
		"bond0",
		"team0",
	])(
		"%s cannot: containers, VMs and bonds are left alone without a word to the cloud",
		(name) => {
			expect(notCandidate(nic(name), nothing)).toBeDefined();
		},
	);

	test.each([
		["a VLAN", { devtype: "vlan" }, /is a vlan/],
		["a bond's port", { master: "bond0" }, /port of bond0/],
		[
			"something that stands on another link",
			{ lowers: ["eth0"] },
			/stands on eth0/,
		],
		["a tunnel", { type: 65534 }, /not Ethernet/],
		["the loopback", { type: 772 }, /loopback/],
	] as [string, Partial<Link>, RegExp][])("%s cannot", (_, more, reason) => {
		expect(notCandidate(nic("eth1", more), nothing)).toMatch(reason);
	});

	test.each([
		"eth1.100",
		"1eth",
		"eth 1",
		"eth1;id",
		"eth1\n",
		"eth$(id)",
		"../eth1",
		"",
		"a".repeat(16),
		"eth１",
	])(
		"a name like %j cannot: it would go into file names and a shell",
		(name) => {
			expect(notCandidate(nic("eth1", { name }), nothing)).toBeDefined();
		},
	);

	test("a user can exclude by name pattern, MAC and driver, as whole words", () => {
		const link = nic("wg1", { mac: "52:54:00:00:00:09", driver: "sriov" });
		expect(notCandidate(link, { ...nothing, names: ["wg*"] })).toMatch(
			/name pattern wg\*/,
		);
		expect(
			notCandidate(link, { ...nothing, macs: ["52:54:00:00:00:09"] }),
		).toMatch(/MAC/);
		expect(notCandidate(link, { ...nothing, drivers: ["sriov"] })).toMatch(
			/driver/,
		);
		expect(
			notCandidate(link, {
				names: ["wg", "g1"],
				macs: ["52:54:00:00:00:0"],
				drivers: ["sri"],
			}),
		).toBeUndefined();
	});

	test.each([
		["eth1", "eth1", true],
		["eth10", "eth1", false],
		["eth10", "eth1?", true],
		["eth1", "*", true],
		["eth1", "e.h1", false],
		["br-1", "br-*", true],
		["a+b", "a+b", true],
		["eth1\nx", "eth1*", false],
	])("%j against %s: %s", (name, glob, expected) => {
		expect(matchesGlob(name, glob)).toBe(expected);
	});
});

describe("which link is the primary", () => {
	const links = {
		eth0: { mac: "52:54:00:00:00:00" },
		eth1: { mac: "52:54:00:00:00:01" },
	};
	const reason = (more: Parameters<typeof observedOf>[0]) => {
		const observed = observedOf(more);
		return observed.links.map((link) => primaryReason(link, observed));
	};

	test("the one with main's default route, whatever the cloud says", () => {
		expect(
			reason({
				links,
				routes: ["default via 10.0.1.1 dev eth1"],
				cloud: { primaryMac: "52:54:00:00:00:00" },
			}),
		).toEqual(["is the primary ENI", "carries the machine's default route"]);
	});

	test("any default route of main makes a primary, one in another table does not", () => {
		expect(
			reason({
				links,
				routes: [
					"default via 10.0.1.1 dev eth0",
					"default via 10.9.0.1 dev eth1 table 1001",
				],
			}),
		).toEqual(["carries the machine's default route", undefined]);
		expect(
			reason({
				links,
				routes: [
					"default via 10.0.1.1 dev eth0",
					"default via 10.9.0.1 dev eth1 metric 500",
				],
			}),
		).toEqual([
			"carries the machine's default route",
			"carries the machine's default route",
		]);
	});

	test("the one with a lease", () => {
		expect(
			reason({ links: { ...links, eth1: { ...links.eth1, dhcp: true } } }),
		).toEqual([undefined, "holds a DHCP lease"]);
	});

	test("the one remembered, while the cloud is silent", () => {
		expect(
			reason({
				links,
				state: { primary: { instanceId: "ins-1", mac: "52:54:00:00:00:00" } },
			}),
		).toEqual(["is the primary ENI", undefined]);
	});

	test("is found by the cloud's word first, then by the default route", () => {
		const routes = ["default via 10.0.1.1 dev eth1"];
		expect(
			findPrimary(
				observedOf({
					links,
					routes,
					cloud: { primaryMac: "52:54:00:00:00:00" },
				}),
			)?.name,
		).toBe("eth0");
		expect(findPrimary(observedOf({ links, routes }))?.name).toBe("eth1");
		expect(findPrimary(observedOf({ links }))).toBeUndefined();
	});

	test("of several default routes the lowest metrics count", () => {
		const routes = parseRoutes(
			"default via 10.0.1.1 dev eth0 metric 100\ndefault via 10.0.2.1 dev eth1 metric 100\ndefault via 10.0.3.1 dev eth2 metric 200",
		);
		expect(defaultRoutes(routes).flatMap((route) => route.devs)).toEqual([
			"eth0",
			"eth1",
		]);
		expect(defaultRoutes([])).toEqual([]);
	});
});

describe("a hand-written ifcfg", () => {
	test("is read as its shell would: quotes off, comments off, the last line for a key wins", () => {
		const text = [
			"# DEVICE=eth9",
			'DEVICE="eth1" # the ENI',
			"HWADDR='52:54:00:00:00:01'",
			"  ONBOOT=yes",
			"IPADDR=10.0.0.5#x",
			"ONBOOT=no",
			"broken line",
			"",
		].join("\n");
		expect(parseIfcfg(text)).toEqual({
			DEVICE: "eth1",
			HWADDR: "52:54:00:00:00:01",
			ONBOOT: "no",
			IPADDR: "10.0.0.5",
		});
	});

	test("with Windows line ends still names its device", () => {
		expect(parseIfcfg("DEVICE=eth1\r\nONBOOT=yes\r\n").DEVICE).toBe("eth1");
	});
});
