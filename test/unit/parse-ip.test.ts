import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	divideShown,
	isResolved,
	parseAddresses,
	parseIfInet6,
	parseRouteGet,
	parseRoutes,
	parseRules,
	parseTableNames,
} from "../../src/observe/parse-ip.js";
import { divideWay } from "../../src/observe/show-kernel.js";
import { readFixture } from "./given.js";

const releases = ["3.10.0", "4.11.0", "6.1.0"];
// The captured machines had one line more than the usual rt_tables.
const tables = { local: 255, main: 254, default: 253, blue: 2001 };
const read = (release: string, name: string) =>
	readFixture("iproute2", release, `${name}.txt`);

describe.each(releases)("addresses as iproute2 %s prints them", (release) => {
	const addresses = parseAddresses(read(release, "addr"));
	const of = (link: string, ip: string) =>
		addresses[link]?.find((address) => address.ip === ip);

	test("every address is on its own link, and on no other whose name begins alike", () => {
		const v4 = Object.entries(addresses).map(([name, list]) => [
			name,
			list
				.filter((one) => one.family === 4)
				.map((one) => `${one.ip}/${one.prefix}`),
		]);
		expect(
			Object.fromEntries(
				v4.filter(([, list]) => (list as string[]).length > 0),
			),
		).toEqual({
			lo: ["127.0.0.1/8"],
			eth0: ["10.0.1.10/24"],
			eth1: [
				"10.30.0.1/24",
				"192.168.1.62/26",
				"192.168.1.63/32",
				"192.168.1.30/32",
				"10.20.0.5/24",
				"10.9.9.1/32",
				"192.168.1.40/26",
				"192.168.1.50/26",
			],
			tun0: ["10.8.0.6/32"],
			docker0: ["172.17.0.1/16"],
			vetha: ["10.40.0.1/24"],
			"eth1.100": ["10.100.0.2/24"],
			bond0: ["10.50.0.2/24"],
		});
	});

	test("a lease is told from a static address", () => {
		expect(of("eth0", "10.0.1.10")).toMatchObject({
			dynamic: true,
			scope: "global",
			broadcast: "10.0.1.255",
			label: "eth0",
		});
		expect(of("eth1", "192.168.1.62")).toMatchObject({
			dynamic: false,
			broadcast: "192.168.1.63",
		});
		expect(of("eth1", "10.20.0.5")).toMatchObject({
			dynamic: true,
			label: "eth1:1",
		});
	});

	test("a label, a peer and a scope are what they are, and flags in between are no labels", () => {
		expect(of("eth1", "192.168.1.50")).toMatchObject({
			label: "eth1:vip",
			prefix: 26,
		});
		expect(of("eth1", "192.168.1.50")).not.toHaveProperty("broadcast");
		expect(of("eth1", "192.168.1.40")).toMatchObject({ label: "eth1" });
		expect(of("eth1", "10.9.9.1")).toMatchObject({
			peer: "10.9.9.2/32",
			prefix: 32,
		});
		expect(of("eth1", "10.30.0.1")).toMatchObject({
			scope: "link",
			label: "eth1",
		});
		expect(of("lo", "127.0.0.1")).toMatchObject({ scope: "host" });
	});

	test("-4 shows the same IPv4 addresses, for all links and for one", () => {
		const v4 = Object.fromEntries(
			Object.entries(addresses)
				.map(
					([name, list]) =>
						[name, list.filter((one) => one.family === 4)] as const,
				)
				.filter(([, list]) => list.length > 0),
		);
		expect(parseAddresses(read(release, "addr4"))).toEqual(v4);
		expect(parseAddresses(read(release, "addr-eth1"))).toEqual({
			eth1: v4.eth1,
		});
	});

	test("link lines are no addresses", () => {
		expect(parseAddresses(read(release, "link"))).toEqual({});
	});
});

test.each(releases)(
	"what a batch of iproute2 %s shows is taken apart, whatever is empty",
	(release) => {
		const addresses = read(release, "addr4");
		const rules = read(release, "rule");
		const routes = read(release, "route");
		for (let mask = 0; mask < 8; mask += 1) {
			const parts = {
				addresses: mask & 1 ? addresses : "",
				rules: mask & 2 ? rules : "",
				routes: mask & 4 ? routes : "",
			};
			const shown = `${parts.addresses}${parts.rules}${parts.routes}`;
			expect(divideShown(shown)).toEqual(parts);
		}
	},
);

describe.each(releases)(
	"the way to an address behind the routes, by iproute2 %s",
	(release) => {
		const routes = read(release, "route");
		const names = readdirSync(join(process.cwd(), "fixtures/iproute2", release))
			.filter((name) => /^route-get-.*-o\.txt$/.test(name))
			.map((name) => name.replace(/\.txt$/, ""));

		test("is told from a route", () => {
			expect(names.length).toBeGreaterThan(10);
			for (const name of names) {
				const way = read(release, name);
				expect(divideWay(`${routes}${way}`), name).toEqual({
					shown: routes,
					way,
				});
			}
		});

		test("is not there where `route show` has ended the batch, whatever route is the last", () => {
			const lines = routes.split(/(?<=\n)/);
			for (let count = 0; count <= lines.length; count += 1) {
				const shown = lines.slice(0, count).join("");
				expect(divideWay(shown)).toEqual({ shown, way: undefined });
			}
		});
	},
);

describe("IPv6 addresses in /proc/net/if_inet6", () => {
	// Of a machine with the addresses of fixtures/iproute2/README.md.
	const text = [
		"00000000000000000000000000000001 01 80 10 80       lo",
		"20010db8000100000000000000000062 03 40 00 82     eth1",
		"20010db8000100000000000000000064 03 40 00 00     eth1",
		"fe80000000000000505400fffebfb352 03 40 20 80     eth1",
		"fec00000000000000000000000000001 0c 0a 40 80 veth1a2b3c4",
		"",
	].join("\n");

	test("are on their link's number, with prefix, scope and whether they are leased", () => {
		const family = 6;
		expect(parseIfInet6(text)).toEqual({
			1: [{ ip: "::1", prefix: 128, family, scope: "host", dynamic: false }],
			3: [
				{
					...{ ip: "2001:db8:1::62", prefix: 64, family },
					...{ scope: "global", dynamic: false },
				},
				{
					...{ ip: "2001:db8:1::64", prefix: 64, family },
					...{ scope: "global", dynamic: true },
				},
				{
					...{ ip: "fe80::5054:ff:febf:b352", prefix: 64, family },
					...{ scope: "link", dynamic: false },
				},
			],
			12: [
				{ ip: "fec0::1", prefix: 10, family, scope: "site", dynamic: false },
			],
		});
	});

	test("are written as the URL standard writes them", () => {
		const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
		const groups = fc.array(group, { minLength: 8, maxLength: 8 });
		fc.assert(
			fc.property(groups, (numbers) => {
				const hex = numbers.map((one) => one.toString(16).padStart(4, "0"));
				const line = `${hex.join("")} 02 40 00 80     eth0`;
				const { hostname } = new URL(`http://[${hex.join(":")}]/`);
				expect(`[${parseIfInet6(line)[2]?.[0]?.ip}]`).toBe(hostname);
			}),
		);
	});

	test("a line that is none is passed over", () => {
		expect(parseIfInet6("garbage\n0001 02 40 00 80 eth0\n\n")).toEqual({});
	});
});

describe.each(releases)("rules as iproute2 %s prints them", (release) => {
	const rules = parseRules(read(release, "rule"), tables);
	const at = (priority: number) =>
		rules.filter((rule) => rule.priority === priority);

	test("every line is one rule, in the kernel's order", () => {
		const lines = read(release, "rule").trim().split("\n");
		expect(rules.map((rule) => rule.priority)).toEqual(
			lines.map((line) => Number.parseInt(line, 10)),
		);
	});

	test("a rule of ours is read as its selector, table and priority and nothing more", () => {
		expect(at(1001)).toEqual([
			{
				priority: 1001,
				from: "192.168.1.62/32",
				to: undefined,
				table: 1001,
				words: ["from", "192.168.1.62", "lookup", "1001", "priority", "1001"],
			},
			{
				priority: 1001,
				from: "192.168.1.63/32",
				to: undefined,
				table: 1001,
				words: ["from", "192.168.1.63", "lookup", "1001", "priority", "1001"],
			},
		]);
	});

	test("table names are numbers, also one the machine itself has named", () => {
		expect(at(0)[0]?.table).toBe(255);
		expect(at(32766)[0]?.table).toBe(254);
		expect(at(32767)[0]?.table).toBe(253);
		expect(at(1119)[0]?.table).toBe(2001);
		expect(at(1000)[0]).toMatchObject({
			from: "192.168.1.0/26",
			to: "10.0.0.0/8",
			table: 254,
		});
	});

	test("rules that are more than a source and a table cannot be mistaken for ours", () => {
		for (const priority of [
			1000, 1100, 1101, 1102, 1103, 1104, 1105, 1106, 1107, 1108, 1120,
		]) {
			expect(
				at(priority)[0]?.words.length,
				`priority ${priority}`,
			).toBeGreaterThan(6);
		}
	});

	test("a rule without a table has none", () => {
		for (const priority of [1109, 1110, 1111, 1112, 1113, 1114])
			expect(at(priority)[0]?.table).toBeUndefined();
	});

	test("what is read can be typed again: no remarks among the words", () => {
		expect(
			rules
				.flatMap((rule) => rule.words)
				.filter((word) => /[[\]:\\]/.test(word)),
		).toEqual([]);
		expect(at(1103)[0]?.words).toEqual([
			"from",
			"all",
			"iif",
			"eth7",
			"lookup",
			"1001",
			"priority",
			"1103",
		]);
		expect(at(1104)[0]?.words).toEqual([
			"from",
			"all",
			"fwmark",
			"0x80/0xff0",
			"lookup",
			"2000",
			"priority",
			"1104",
		]);
		expect(at(1106)[0]?.words.slice(0, 3)).toEqual([
			"not",
			"from",
			"192.168.1.0/24",
		]);
	});
});

describe.each(releases)("routes as iproute2 %s prints them", (release) => {
	const routes = parseRoutes(read(release, "route"), tables);
	const find = (dst: string, table = 254) =>
		routes.filter((route) => route.dst === dst && route.table === table);

	test("every line is one route of a known table", () => {
		expect(routes).toHaveLength(
			read(release, "route").trim().split("\n").length,
		);
		expect(new Set(routes.map((route) => route.table))).toEqual(
			new Set([254, 255, 1001, 2000, 2001, 3000]),
		);
	});

	test("main's default route is one, with its gateway and link", () => {
		expect(find("0.0.0.0/0")).toEqual([
			{
				table: 254,
				type: "unicast",
				dst: "0.0.0.0/0",
				devs: ["eth0"],
				via: "10.0.1.1",
				metric: 0,
				proto: "static",
				src: undefined,
				words: ["default", "via", "10.0.1.1", "dev", "eth0", "proto", "static"],
			},
		]);
	});

	test("an ENI's own table holds its subnet, its default and its throws", () => {
		const own = routes.filter((route) => route.table === 1001);
		expect(
			own.map(({ type, dst, devs, via }) => [type, dst, devs.join(), via]),
		).toEqual([
			["unicast", "0.0.0.0/0", "eth1", "192.168.1.1"],
			["throw", "10.0.0.0/8", "", undefined],
			["throw", "172.17.0.0/16", "", undefined],
			["unicast", "192.168.1.0/26", "eth1", undefined],
			["prohibit", "198.18.0.0/16", "", undefined],
		]);
		expect(own[1]?.words).toEqual(["throw", "10.0.0.0/8", "table", "1001"]);
	});

	test("the same prefix twice is two routes, the lower metric first", () => {
		expect(
			find("192.168.1.0/26").map(({ metric, proto, src }) => [
				metric,
				proto,
				src,
			]),
		).toEqual([
			[0, "kernel", "192.168.1.62"],
			[2001, "kernel", "192.168.1.62"],
		]);
		expect(find("192.168.1.7/32", 3000).map((route) => route.via)).toEqual([
			undefined,
			"192.168.1.1",
		]);
	});

	test("a route with several next hops names every link it uses", () => {
		expect(find("0.0.0.0/0", 2000)[0]?.devs).toEqual(["eth0", "eth1"]);
		expect(find("10.69.0.0/16", 2000)[0]?.devs).toEqual(["eth0", "tun0"]);
		expect(find("10.76.0.0/16", 2000)[0]?.devs).toEqual(["eth0", "eth10"]);
	});

	test("a route to nowhere has no link, and a large metric stays whole", () => {
		expect(find("10.66.0.0/16")[0]).toMatchObject({
			type: "blackhole",
			devs: [],
		});
		expect(find("10.67.0.0/16")[0]).toMatchObject({
			type: "unreachable",
			metric: 4278198272,
		});
		expect(find("10.75.0.0/24", 3000)[0]).toMatchObject({
			type: "local",
			devs: ["lo"],
		});
	});

	test("what the kernel only remarks is no word that would be typed again", () => {
		const remarks = routes
			.flatMap((route) => route.words)
			.filter((word) => ["linkdown", "dead", "\\", ""].includes(word));
		expect(remarks).toEqual([]);
		expect(find("10.71.0.0/16")[0]?.words).toContain("onlink");
		expect(find("10.70.0.0/16")[0]?.words).toEqual(
			"10.70.0.0/16 via 192.168.1.1 dev eth1 proto static src 192.168.1.62 metric 2001 mtu 1400".split(
				" ",
			),
		);
	});

	test("a listing of one table has the same routes, without its number", () => {
		for (const table of [1001, 2000, 3000]) {
			const shape = ({
				type,
				dst,
				devs,
				via,
				metric,
			}: (typeof routes)[number]) => ({ type, dst, devs, via, metric });
			expect(
				parseRoutes(read(release, `route-${table}`), tables).map(shape),
			).toEqual(routes.filter((route) => route.table === table).map(shape));
		}
	});

	test.each([
		["default", "eth0"],
		["onlink-eth0", "eth0"],
		["from-eth1", "eth1"],
		["from-eth1-subnet", "eth1"],
		["from-eth1-oif", "eth1"],
		["from-eth1-throw", "docker0"],
		["from-foreign-iif", "eth0"],
		["local", "lo"],
		["broadcast", "eth1"],
		["mark", "eth1"],
		["mtu", "eth1"],
		["onlink", "eth1"],
		["tun", "tun0"],
		["broadcast-src", "eth0"],
	])(
		"`route get` %s says the kernel would use %s, printed on one line or on two",
		(name, link) => {
			expect(parseRouteGet(read(release, `route-get-${name}-o`))).toBe(link);
			expect(parseRouteGet(read(release, `route-get-${name}`))).toBe(link);
		},
	);

	test("an error from `route get` names no link", () => {
		for (const line of read(release, "errors")
			.split("\n")
			.filter((one) => /answers|Error/.test(one)))
			expect(parseRouteGet(line)).toBeUndefined();
	});
});

describe("text that no `ip` prints", () => {
	const lists = [
		parseAddresses,
		parseRules,
		parseRoutes,
		parseRouteGet,
		parseTableNames,
	];
	// Words of the real thing, so that arbitrary text gets past the first check.
	const word = fc.oneof(
		fc.constantFrom(
			"inet",
			"inet6",
			"dev",
			"via",
			"table",
			"metric",
			"from",
			"all",
			"lookup",
			"peer",
			"brd",
			"scope",
			"nexthop",
			"throw",
			"default",
			"1:",
			"1001:",
			"eth1",
		),
		fc.constantFrom(
			"10/8",
			"10.1/16",
			"1.2.3.4/99",
			"1.2.3.4/",
			"/",
			"999.1.1.1/8",
			"\\",
			"[detached]",
			"__proto__",
			"constructor",
		),
		fc.string({ unit: "binary", maxLength: 8 }),
	);
	const text = fc.oneof(
		fc.string({ unit: "binary" }),
		fc
			.array(fc.array(word).map((words) => words.join(" ")))
			.map((all) => all.join("\n")),
	);

	test("never makes a parser throw", () => {
		fc.assert(
			fc.property(text, (given) => {
				for (const parse of lists) expect(() => parse(given)).not.toThrow();
				expect(() => isResolved(given, "10.0.0.1", "eth1")).not.toThrow();
			}),
			{ numRuns: 500 },
		);
	});

	test.each(["constructor", "__proto__", "toString"])(
		"a link may be called %s: Linux allows it",
		(name) => {
			const addresses = parseAddresses(
				`7: ${name}    inet 10.0.0.5/24 scope global ${name}\\       valid_lft forever preferred_lft forever`,
			);
			expect(Object.entries(addresses)).toEqual([
				[name, [expect.objectContaining({ ip: "10.0.0.5", prefix: 24 })]],
			]);
		},
	);

	test("old shortened prefixes become whole ones", () => {
		const dsts = parseRoutes(
			"10/8 dev eth0\n172.17/16 dev docker0\n192.168.1.0/24 dev eth1\n192.168.1.7 dev eth1",
		).map((route) => route.dst);
		expect(dsts).toEqual([
			"10.0.0.0/8",
			"172.17.0.0/16",
			"192.168.1.0/24",
			"192.168.1.7/32",
		]);
	});

	test.each(["mystery", "constructor"])(
		"a route in a table called %s, which has no number, is passed over",
		(name) => {
			expect(
				parseRoutes(`default via 10.0.0.1 dev eth0 table ${name}`),
			).toEqual([]);
		},
	);

	test("the same rule twice is two rules: CentOS 7.2's kernel takes them", () => {
		expect(
			parseRules(
				"1001:\tfrom 10.0.0.5 lookup 1001 \n1001:\tfrom 10.0.0.5 lookup 1001 \n",
			),
		).toHaveLength(2);
	});
});

describe("names of tables", () => {
	test("decimal and hexadecimal numbers, comments aside", () => {
		expect(
			parseTableNames(
				"#\n# reserved values\n#\n255\tlocal\n0\tunspec\n 1001 eni1 # mine\n0x7d1 blue\nnonsense\n#1 inr.ruhep\n",
			),
		).toEqual({
			local: 255,
			unspec: 0,
			eni1: 1001,
			blue: 2001,
		});
	});
});

describe("whether a gateway has answered", () => {
	const arp = [
		"IP address       HW type     Flags       HW address            Mask     Device",
		"10.0.1.1         0x1         0x2         fe:ee:ff:ff:ff:ff     *        eth0",
		"192.168.1.1      0x1         0x0         00:00:00:00:00:00     *        eth1",
		"192.168.1.10     0x1         0x6         52:54:00:00:00:09     *        eth10",
	].join("\n");

	test.each([
		["10.0.1.1", "eth0", true],
		["10.0.1.1", "eth1", false],
		["192.168.1.1", "eth1", false],
		["192.168.1.10", "eth10", true],
		["192.168.1.10", "eth1", false],
		["10.0.1", "eth0", false],
	])("%s on %s: %s", (ip, link, expected) => {
		expect(isResolved(arp, ip, link)).toBe(expected);
	});
});
