import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { diffOfStep } from "../../src/commands/diffs.js";
import { matchesGlob, notCandidate } from "../../src/desire/candidate.js";
import { foreignFiles, heldAdvice } from "../../src/desire/foreign-files.js";
import { managedBy, parseIfcfg } from "../../src/desire/managed.js";
import { desire } from "../../src/desire.js";
import { mark } from "../../src/marker.js";
import type { Link, Step } from "../../src/model.js";
import { parseOsRelease } from "../../src/observe/facts.js";
import { tableNames } from "../../src/observe/kernel.js";
import {
	divideShown,
	parseAddresses,
	parseRouteGet,
	parseRoutes,
	parseRules,
	parseTableNames,
} from "../../src/observe/parse-ip.js";
import { batchLine, unfitWord } from "../../src/plan/ip-batch.js";
import {
	escapeSteering,
	printable,
	printableLines,
	quote,
} from "../../src/quote.js";
import type { SysctlSetting } from "../../src/render.js";
import { serviceObstacle } from "../../src/service.js";
import { emptyState } from "../../src/state.js";
import {
	contradictions,
	editSysctlConf,
	blockOf as markedBlock,
	stripSysctlConf,
} from "../../src/sysctl-conf.js";
import type { FileSystem } from "../../src/system.js";
import {
	fileOf,
	kernelOf,
	observedOf,
	renderer,
	requestOf,
	settingsOf,
} from "./given.js";

// Enough for anything quadratic to take minutes.
const size = 256 * 1024;
// Generous: it only has to catch what would never end.
const hangMs = 5000;

function inTime<T>(work: () => T): T {
	const start = Date.now();
	const result = work();
	expect(Date.now() - start).toBeLessThan(hangMs);
	return result;
}

const settings: SysctlSetting[] = ["default", "all", "eth1"].map((link) => ({
	link,
	leaf: "rp_filter",
	value: "0",
}));
const begin =
	"# eni-configure begin: `eni-configure remove` takes these lines away\n";
const key = "net.ipv4.conf.all.rp_filter";

// What a careless pattern would chew on.
const pathological: [string, string][] = [
	["blanks", " ".repeat(size)],
	["tabs and dashes", "\t-".repeat(size / 2)],
	["blank lines", "\n".repeat(size)],
	["blanks before a dash", `${" ".repeat(size)}-`],
	["lines of CRLF", "\r\n".repeat(size / 2)],
	["a key without end", `net.ipv4.conf.${"a".repeat(size)}`],
	["a value without end", `${key} = ${"1".repeat(size)}`],
	["blanks behind a key", `${key}${" ".repeat(size)}x`],
	["blanks behind a value", `${key} = 1${" ".repeat(size)}x`],
	["comments", "#\n".repeat(size / 2)],
	["begin marks", begin.repeat(size / begin.length)],
	["begin marks with comments", `${begin}${"#x\n".repeat(300)}`.repeat(250)],
	["a begun block without end", begin + "#\n".repeat(size / 2)],
	["a begun block of settings", begin + `${key} = 0\n`.repeat(10_000)],
	["lines we disabled", "# disabled by eni-configure: x\n".repeat(8000)],
	["quotes", '"'.repeat(size)],
	["open quotes", `A="${"\\".repeat(size)}`],
	["assignments", 'A="'.repeat(size / 3)],
	["NUL", "\0".repeat(size)],
	["numbers", "1".repeat(size)],
	["from", "from ".repeat(size / 5)],
	["backslashes", "\\".repeat(size)],
	["backslashes and blanks", "\\ ".repeat(size / 2)],
];

describe.each(pathological)("a large file of %s", (_, text) => {
	test("is edited as /etc/sysctl.conf and comes back byte for byte", () => {
		inTime(() => {
			const stripped = stripSysctlConf(text) ?? "";
			const edited = editSysctlConf(
				stripped,
				settings,
				renderer.sysctl(settings),
			);
			expect(markedBlock(edited ?? "")).toContain(`${key} = 0\n`);
			expect(stripSysctlConf(edited) === stripped).toBe(true);
			contradictions(
				text,
				[{ path: "/etc/sysctl.d/99-z.conf", content: text }],
				settings,
			);
		});
	});

	test("is read as ifcfg, os-release, rt_tables and the output of ip", () => {
		inTime(() => {
			parseIfcfg(text);
			parseOsRelease(text);
			parseTableNames(text);
			for (const prefix of [
				"",
				"5: eth1    inet ",
				"1001:\tfrom ",
				"default via ",
			]) {
				const lines = prefix + text.slice(0, 128 * 1024);
				parseAddresses(lines);
				parseRules(lines);
				parseRoutes(lines);
				parseRouteGet(lines);
			}
		});
	});

	test("is nobody's file, whatever it is named", () => {
		const files = ["ifcfg-eth1", "route-eth1", "rule-eth1", "ifcfg-x"].flatMap(
			(name) => {
				const path = `/etc/sysconfig/network-scripts/${name}`;
				return [fileOf(path, text), fileOf(path, mark(text))];
			},
		);
		inTime(() => {
			managedBy(files, emptyState());
			const held = foreignFiles("eth1", "52:54:00:00:00:01", { files });
			expect(held).toHaveLength(3);
			heldAdvice("eth1", held);
		});
	});

	test("does not stall the guard of a service restart, nor a message", () => {
		const observed = {
			...observedOf({ links: {}, sysctls: { ip_forward: "1" } }),
			sysctlConf: fileOf("/etc/sysctl.conf", text),
		};
		const restart: Step = {
			kind: "run",
			link: undefined,
			argv: ["systemctl", "restart", "network"],
			timeoutMs: 1,
			touches: "all",
		};
		inTime(() => {
			expect(serviceObstacle(observed, { steps: [restart] }, false)).toContain(
				"ip_forward",
			);
			quote(text);
			printableLines(text);
			escapeSteering(JSON.stringify(text));
		});
	});
});

test("of a thousand lines that contradict ours the last one is named", () => {
	const tail = Array.from({ length: 30_000 }, (_, at) => `${key} = ${at}\n`);
	const own = editSysctlConf("", settings, renderer.sysctl(settings)) ?? "";
	expect(contradictions(own + tail.join(""), [], settings)).toEqual([
		{ path: "/etc/sysctl.conf", key, want: "0", got: "29999" },
	]);
	expect(
		contradictions(`${own}${tail.join("")}${key} = 0\n`, [], settings),
	).toEqual([]);
});

test("a plan for a file of which everything differs says so in good time", () => {
	const lines = (value: number) =>
		Array.from({ length: 30_000 }, (_, at) => `${key}${at} = ${value}\n`).join(
			"",
		);
	const before = { content: lines(1), mode: 0o644, uid: 0, gid: 0 };
	const diff = inTime(() =>
		diffOfStep({
			kind: "write",
			link: undefined,
			path: "/etc/sysctl.conf",
			content: lines(0),
			mode: 0o644,
			before,
			keepCopy: false,
		}),
	);
	expect(diff).toContain("/etc/sysctl.conf");
	expect(diff?.length).toBeLessThan(200);
});

test("a glob of nothing but stars is decided at once, and means the same as ever", () => {
	const names = ["eth1", "aaaaaaaaaaaaaaa", "constructor"];
	inTime(() => {
		for (const name of names) {
			expect(matchesGlob(name, "*".repeat(256))).toBe(true);
			expect(matchesGlob(name, `${"*".repeat(255)}x`)).toBe(false);
			expect(matchesGlob(name, `${"*a".repeat(120)}`)).toBe(false);
			expect(matchesGlob(name, `${"*?".repeat(120)}`)).toBe(false);
		}
	});
	const part = fc.constantFrom("a", "b", "*", "?", ".", "[");
	fc.assert(
		fc.property(
			fc.string({ unit: fc.constantFrom(..."ab.["), maxLength: 8 }),
			fc.array(part, { maxLength: 6 }),
			(name, parts) => {
				const pattern = parts
					.map(
						(one) =>
							({ "*": ".*", "?": "." })[one as "*"] ??
							`\\${one}`.replace(/\\([ab])/, "$1"),
					)
					.join("");
				expect(matchesGlob(name, parts.join(""))).toBe(
					new RegExp(`^${pattern}$`).test(name),
				);
			},
		),
	);
});

const oddNames = [
	...[
		"$(touch x)".replace(" ", "_"),
		";reboot",
		'a"b',
		"a'b",
		"#x",
		"-all",
		"\x1b[31m",
	],
	...["eth1;", "eth1.bak", "eth1~", "é1", "\u202eeth1", "\u009b31m", "eth１"],
	...["a\\b", "eth1\\", "`id`", "eth1&", "eth|1", "a*", "a?", "~", "!x", "%s"],
	...[
		"all",
		"default",
		"eth0-range1",
		"dev",
		"table",
		"via",
		"metric",
		"proto",
	],
	...["eth1\u2003x", "\ufeffeth1", "eth1\u3000"],
];

describe("a NIC with the name", () => {
	const nic = (name: string): Link => ({
		...(kernelOf({ links: { eth9: {} } }).links[0] as Link),
		name,
	});
	const nothing = { names: [], macs: [], drivers: [] };

	test.each(oddNames)("%j is no candidate", (name) => {
		expect(notCandidate(nic(name), nothing)).toBeDefined();
	});

	test.each([
		...oddNames,
		"a\u2028b",
		"linkdown",
		"src",
		"lookup",
		"from",
		"[x",
		"dynamic",
		"brd",
		"scope",
		"nexthop",
		"x\\dev\\eth1",
	])(
		"%j misleads nobody about the others' addresses, routes and rules",
		(name) => {
			const shown = [
				`2: eth1    inet 10.0.1.20/24 brd 10.0.1.255 scope global eth1\\       valid_lft forever preferred_lft forever`,
				`3: ${name}    inet 10.9.9.9/24 brd 10.9.9.255 scope global ${name}\\       valid_lft forever preferred_lft forever`,
				`3: ${name}    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever`,
				"",
			].join("\n");
			const addresses = parseAddresses(shown);
			expect(Object.keys(addresses).sort()).toEqual(["eth1", name].sort());
			expect(addresses.eth1).toHaveLength(1);
			expect(addresses[name]?.[0]).toEqual({
				ip: "10.9.9.9",
				prefix: 24,
				family: 4,
				scope: "global",
				dynamic: false,
				broadcast: "10.9.9.255",
				label: name,
			});
			expect(addresses[name]).toHaveLength(1);
			const ruled = `0:\tfrom all iif ${name} lookup local\n`;
			const ways = `default dev ${name} scope link\n`;
			expect(divideShown(`${shown}${ruled}${ways}`)).toEqual({
				addresses: shown,
				rules: ruled,
				routes: ways,
			});

			const routes = parseRoutes(
				[
					`default via 10.0.1.1 dev ${name} proto static metric 7 linkdown `,
					`10.9.9.0/24 dev ${name}  proto kernel  scope link  src 10.9.9.9 `,
					`10.8.0.0/16 dev ${name} table 77 \\\tnexthop via 10.0.1.1  dev ${name} weight 1\\\tnexthop dev eth1 weight 1`,
				].join("\n"),
			);
			expect(
				routes.map(({ table, dst, devs, via, metric, proto, src }) => [
					...[table, dst, devs.join(" "), via, metric, proto, src],
				]),
			).toEqual([
				[254, "0.0.0.0/0", name, "10.0.1.1", 7, "static", undefined],
				[254, "10.9.9.0/24", name, undefined, 0, "kernel", "10.9.9.9"],
				[
					77,
					"10.8.0.0/16",
					`${name} ${name} eth1`,
					"10.0.1.1",
					0,
					undefined,
					undefined,
				],
			]);
			expect(routes[0]?.words).toEqual([
				...["default", "via", "10.0.1.1", "dev", name, "proto", "static"],
				...["metric", "7"],
			]);

			const rules = parseRules(
				`900:\tfrom 10.0.0.0/8 iif ${name} [detached] lookup 77\n901:\tfrom all oif ${name} lookup main`,
			);
			expect(rules.map(({ from, table }) => [from, table])).toEqual([
				["10.0.0.0/8", 77],
				["all", 254],
			]);
			expect(rules[0]?.words).toEqual([
				...["from", "10.0.0.0/8", "iif", name, "lookup", "77"],
				...["priority", "900"],
			]);
			expect(
				parseRouteGet(`10.0.1.1 dev ${name} src 10.0.1.10 uid 0 \\    cache `),
			).toBe(name);
		},
	);

	test.each(["constructor", "toString", "hasOwnProperty", "valueOf"])(
		"%j has the addresses that the cloud gives it and no others",
		(name) => {
			const mac = "52:54:00:00:00:01";
			const observed = observedOf({
				links: {
					eth0: {
						mac: "52:54:00:00:00:00",
						addresses: ["inet 10.0.1.10/24 scope global eth0"],
					},
					[name]: { mac },
				},
				routes: ["default via 10.0.1.1 dev eth0"],
				cloud: {
					enis: {
						[mac]: {
							state: "ok",
							eni: {
								mac,
								addresses: ["10.0.2.20"],
								prefix: 24,
								gateway: "10.0.2.1",
								publicIps: {},
							} as never,
						},
					},
				},
			});
			const { interfaces, notes } = desire(
				observed,
				requestOf({ targets: [name] }),
				settingsOf(),
			);
			expect(interfaces.map(({ addresses }) => addresses)).toEqual([
				["10.0.2.20/24"],
			]);
			expect(notes).toEqual([]);
		},
	);
});

describe("a line for ip -batch", () => {
	const bad = fc.constantFrom(
		..."#\"'\\ \t\n\r\0$`;&|<>(){}[]!*?^é\u2003\u202e".split(""),
	);
	const step = (word: string): Step & { kind: "route" } => ({
		kind: "route",
		link: undefined,
		op: "append",
		words: ["10.0.0.0/24", "dev", word],
	});

	test("is refused for any word that it could misread", () => {
		fc.assert(
			fc.property(fc.string(), bad, fc.string(), (before, char, after) => {
				const word = before + char + after;
				expect(unfitWord(step(word))).toBe(word);
				expect(unfitWord({ kind: "link", link: word, op: "up" })).toBe(word);
				expect(
					unfitWord({
						kind: "addr",
						link: word,
						op: "add",
						words: ["10.0.0.5/24"],
					}),
				).toBe(word);
			}),
		);
		expect(unfitWord(step(""))).toBe("");
	});

	test("is one line of words divided by single blanks wherever it is not refused", () => {
		fc.assert(
			fc.property(
				fc.oneof(fc.string(), fc.constantFrom(...oddNames)),
				(word) => {
					if (unfitWord(step(word)) === undefined)
						expect(batchLine(step(word))).toMatch(/^[\w.:,+@%/=~ -]+$/);
				},
			),
		);
	});

	test.each([
		"eth1",
		"eth1.100",
		"br-1a2b",
		"eth1:vip",
		"10.0.0.0/24",
		"+",
		"2001:db8::1/64",
		"0x80/0xff0",
	])("takes %s", (word) => {
		expect(unfitWord(step(word))).toBeUndefined();
	});
});

describe("what could steer a terminal", () => {
	const unit = fc.oneof(
		fc.constantFrom(
			"\x1b",
			"\x07",
			"\x7f",
			"\u009b",
			"\u202e",
			"\u200f",
			"\u2028",
			"\0",
			"\r",
			"\ud800",
			"\u{e0041}",
			"a",
			"é",
			"💥",
		),
		fc.string({ unit: "binary", maxLength: 1 }),
	);
	const text = fc.array(unit).map((parts) => parts.join(""));

	test("is gone from text and from lines, and ordinary text stays as it is", () => {
		fc.assert(
			fc.property(text, (one) => {
				expect(printable(one)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u);
				expect(printableLines(one)).not.toMatch(
					/[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}]/u,
				);
				expect(quote(one)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u);
			}),
		);
		expect(printableLines("eth1: café\n\t💥")).toBe("eth1: café\n\t💥");
	});

	test("is escaped in JSON, which stays the same value", () => {
		fc.assert(
			fc.property(fc.dictionary(text, text), (value) => {
				const json = escapeSteering(JSON.stringify(value, undefined, 2));
				expect(json).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Cs}]/u);
				expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
			}),
		);
	});
});

test("names that stand beyond the first page of rt_tables are known too", () => {
	const volume = new Volume();
	volume.mkdirSync("/etc/iproute2", { recursive: true });
	volume.writeFileSync(
		"/etc/iproute2/rt_tables",
		`${"# a comment\n".repeat(1000)}2001 blue\n`,
	);
	expect(tableNames(volume as unknown as FileSystem)).toEqual({ blue: 2001 });
});

test.each([
	"export DEVICE=eth1",
	"DEVICE=eth1;reboot",
	'DEVICE="eth1"; touch x',
	"if true; then DEVICE=eth1; fi",
	"\tDEVICE='eth1'",
])("a file that comes to its device by shell claims the NIC: %s", (line) => {
	const claim = (text: string) =>
		foreignFiles("eth1", "52:54:00:00:00:01", {
			files: [fileOf("/etc/sysconfig/network-scripts/ifcfg-mine", `${text}\n`)],
		});
	expect(claim(line)).toHaveLength(1);
	expect(claim(line.replace("eth1", "eth10"))).toEqual([]);
	expect(claim(line.replace("eth1", "eth1.100"))).toEqual([]);
	expect(claim(line.replace("DEVICE", "PHYSDEVICE"))).toEqual([]);
	expect(claim(`# ${line}`)).toEqual([]);
});
