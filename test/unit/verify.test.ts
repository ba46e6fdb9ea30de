import { describe, expect, test } from "vitest";
import type { Desired, Finding, Health, Plan } from "../../src/model.js";
import {
	failedLinks,
	fileFindings,
	healthFindings,
	isNeighbourOnly,
	kernelFindings,
	neighbourFindings,
} from "../../src/verify.js";
import { fileOf, kernelOf, specOf } from "./given.js";

const healthy: Health = {
	link: "eth0",
	addresses: ["10.0.1.10/24", "10.0.1.11/24"],
	gateway: "10.0.1.1",
	gatewayLink: "eth0",
	hasNeighbour: true,
};
const kinds = (findings: Finding[]) =>
	findings.map(({ kind, want, got }) => `${kind}: ${want} / ${got}`);

describe("the primary must not pay for a secondary", () => {
	test("nothing changed, nothing found", () => {
		expect(healthFindings(healthy, healthy)).toEqual([]);
		expect(healthFindings(undefined, healthy)).toEqual([]);
	});

	test.each([
		[
			"an address is gone",
			{ addresses: ["10.0.1.10/24"] },
			["primary-address: 10.0.1.11/24 / missing"],
		],
		[
			"its gateway would be reached by another link",
			{ gatewayLink: "eth1" },
			["primary-gateway-link: 10.0.1.1 by eth0 / eth1"],
		],
		[
			"its gateway has no route",
			{ gatewayLink: undefined },
			["primary-gateway-link: 10.0.1.1 by eth0 / no route"],
		],
		[
			"its gateway is silent",
			{ hasNeighbour: false },
			["primary-neighbour: 10.0.1.1 answers ARP on eth0 / no answer"],
		],
	] as [string, Partial<Health>, string[]][])(
		"%s: found",
		(_, change, expected) => {
			expect(kinds(healthFindings(healthy, { ...healthy, ...change }))).toEqual(
				expected,
			);
		},
	);

	test("the whole link is gone: found", () => {
		expect(kinds(healthFindings(healthy, undefined))).toEqual([
			"primary-link: eth0 present / gone",
		]);
	});

	test("what did not work before is nobody's fault now", () => {
		const before = { ...healthy, hasNeighbour: false, gatewayLink: "eth1" };
		expect(healthFindings(before, before)).toEqual([]);
		expect(healthFindings(before, healthy)).toEqual([]);
	});
});

describe("what is looked at afterwards", () => {
	const spec = specOf();
	const links = {
		eth1: {
			mac: spec.mac,
			up: true,
			addresses: ["inet 192.168.1.62/26 scope global eth1"],
		},
	};
	const rules = ["1001:	from 192.168.1.62 lookup 1001"];
	const routes = [
		"192.168.1.0/26 dev eth1 table 1001 scope link",
		"default via 192.168.1.1 dev eth1 table 1001",
	];
	const sysctls = { "conf/eth1/rp_filter": "0" };
	const now = kernelOf({ links, rules, routes, sysctls });
	const want = {
		interfaces: [spec],
		recorded: [],
		gone: [],
		sysctls,
		spared: {},
		down: [],
		baseline: now,
		touched: [],
		left: [],
	};

	test("a kernel as wanted has no findings", () => {
		expect(kernelFindings(want, now)).toEqual([]);
	});

	test.each([
		[
			"no address",
			{ links: { eth1: { ...links.eth1, addresses: [], up: true } } },
			["address: 192.168.1.62/26 / missing"],
		],
		[
			"the classful mask instead of the subnet's",
			{
				links: {
					eth1: {
						...links.eth1,
						addresses: ["inet 192.168.1.62/24 scope global eth1"],
					},
				},
			},
			["address: 192.168.1.62/26 / missing"],
		],
		[
			"the link down",
			{ links: { eth1: { ...links.eth1, up: false } } },
			["link: up / down"],
		],
		[
			"no rule",
			{ rules: [] },
			["rule: from 192.168.1.62/32 lookup 1001 priority 1001 / missing"],
		],
		[
			"a rule for a longer address",
			{ rules: ["1001:	from 192.168.1.6 lookup 1001"] },
			["rule: from 192.168.1.62/32 lookup 1001 priority 1001 / missing"],
		],
		[
			"a default by another gateway",
			{
				routes: [
					routes[0] as string,
					"default via 192.168.1.2 dev eth1 table 1001",
				],
			},
			["route: default via 192.168.1.1 dev eth1 table 1001 / missing"],
		],
		[
			"a default by another link",
			{
				routes: [
					routes[0] as string,
					"default via 192.168.1.1 dev eth10 table 1001",
				],
			},
			["route: default via 192.168.1.1 dev eth1 table 1001 / missing"],
		],
		[
			"rp_filter still on",
			{ sysctls: { "conf/eth1/rp_filter": "1" } },
			["rp_filter: net.ipv4.conf.eth1.rp_filter = 0 / 1"],
		],
		[
			"the NIC unplugged",
			{ links: {} },
			[`link: a NIC with the MAC ${spec.mac} / gone`],
		],
		[
			"another NIC under its name",
			{ links: { eth1: { ...links.eth1, mac: "52:54:00:99:99:99" } } },
			[`link: a NIC with the MAC ${spec.mac} / gone`],
		],
	])("%s: found", (_, change, expected) => {
		const kernel = kernelOf({
			links,
			rules,
			routes,
			sysctls,
			...(change as object),
		});
		expect(
			kinds(kernelFindings({ ...want, baseline: kernel }, kernel)),
		).toEqual(expected);
	});

	test("a default route that eth1 took from main is found, and so is the one that is missing", () => {
		const before = kernelOf({
			links,
			rules,
			routes: [...routes, "default via 10.0.1.1 dev eth0"],
			sysctls,
		});
		const stolen = kernelOf({
			links,
			rules,
			routes: [...routes, "default via 192.168.1.1 dev eth1"],
			sysctls,
		});
		expect(
			kinds(
				kernelFindings(
					{ ...want, baseline: before, touched: ["eth1"], left: [] },
					stolen,
				),
			),
		).toEqual([
			"default-route: not default via 192.168.1.1 dev eth1 / default via 192.168.1.1 dev eth1",
			"default-route: default via 10.0.1.1 dev eth0 / default via 192.168.1.1 dev eth1",
		]);
	});

	test("a default route that a DHCP client renewed meanwhile is not fought over", () => {
		const before = kernelOf({
			links,
			rules,
			routes: [...routes, "default via 10.0.1.1 dev eth0"],
			sysctls,
		});
		const renewed = kernelOf({
			links,
			rules,
			routes: [...routes, "default via 10.0.1.2 dev eth0"],
			sysctls,
		});
		expect(kernelFindings({ ...want, baseline: before }, renewed)).toEqual([]);
	});

	test("files that somebody changed or took away meanwhile are found", () => {
		const before = { content: "old", mode: 0o644, uid: 0, gid: 0 };
		const plan: Plan = {
			steps: [
				{
					kind: "write",
					link: "eth1",
					path: "/a",
					content: "new",
					mode: 0o644,
					before: undefined,
					keepCopy: false,
				},
				{
					kind: "write",
					link: "eth1",
					path: "/b",
					content: "new",
					mode: 0o644,
					before,
					keepCopy: false,
				},
				{ kind: "remove", link: "eth2", path: "/c", before, keepCopy: false },
			],
		};
		expect(
			fileFindings(plan, [fileOf("/a", "new"), fileOf("/b", "new")]),
		).toEqual([]);
		expect(
			kinds(fileFindings(plan, [fileOf("/b", "other"), fileOf("/c", "old")])),
		).toEqual([
			"file: /a as written / missing",
			"file: /b as written / changed since",
			"file: no /c / present",
		]);
	});

	test("a silent gateway is found where it was asked, and restarting the link does not cure it", () => {
		const silent = neighbourFindings([spec, specOf({ name: "eth2" })], {
			eth1: false,
		});
		expect(kinds(silent)).toEqual([
			"neighbour: the gateway 192.168.1.1 answers ARP on eth1 / no answer",
		]);
		expect(isNeighbourOnly(silent)).toBe(true);
		expect(
			isNeighbourOnly([
				...silent,
				{ link: "eth1", kind: "address", want: "x", got: "missing" },
			]),
		).toBe(false);
	});
});

describe("who pays for a finding", () => {
	const desired = {
		interfaces: [specOf(), specOf({ name: "eth10" })],
		gone: [],
	} as unknown as Desired;
	const finding = (link: string | undefined): Finding => ({
		link,
		kind: "address",
		want: "x",
		got: "missing",
	});

	test("the link it is about, and no other whose name begins alike", () => {
		expect(failedLinks([finding("eth1"), finding("eth1")], desired)).toEqual([
			"eth1",
		]);
	});

	test("all, when it is about the primary or what is shared", () => {
		expect(failedLinks([finding("eth1"), finding("eth0")], desired)).toBe(
			"all",
		);
		expect(failedLinks([finding(undefined)], desired)).toBe("all");
	});
});
