import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anything, parseHint } from "../../src/daemon/hints.js";
import { readFixture } from "./given.js";

const nothingKnown = () => false;
const hint = (line: string, known: number[] = []) =>
	parseHint(line, [], (ifindex) => known.includes(ifindex));
const short = (line: string, known: number[] = []) => {
	const found = hint(line, known);
	return found && `${found.kind} ${found.link} ${found.ifindex}`;
};

const deleted = (text: string) => `Deleted ${text}`;
const link =
	"3: eth1: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN \\    link/ether 52:54:00:bf:b3:51 brd ff:ff:ff:ff:ff:ff";
const address =
	"3: eth1    inet 10.0.1.62/24 brd 10.0.1.255 scope global eth1\\       valid_lft forever preferred_lft forever";

test.each([
	["a link", link, "link eth1 3"],
	["a link that is gone", deleted(link), "link eth1 3"],
	["with several kinds of object", `[LINK]${link}`, "link eth1 3"],
	["and gone", `[LINK]${deleted(link)}`, "link eth1 3"],
	["an address", address, "address eth1 3"],
	["an address that is gone", deleted(address), "address eth1 3"],
	["labelled", `[ADDR]${address}`, "address eth1 3"],
	["a link with a peer", link.replace("eth1", "eth1@if7"), "link eth1 3"],
	[
		"a link whose peer has gone",
		link.replace("eth1", "eth1@NONE"),
		"link eth1 3",
	],
	["ten is not one", link.replace("3: eth1", "12: eth10"), "link eth10 12"],
	[
		"a name with odd characters",
		link.replace("eth1", "en-p0_s.1"),
		"link en-p0_s.1 3",
	],
])("%s", (_, line, expected) => {
	expect(short(line)).toBe(expected);
});

test.each([
	[
		"a veth of a container",
		"21: veth12ab@if20: <BROADCAST> mtu 1500 state DOWN",
	],
	["a bridge itself", "4: br-0a1b2c3d4e5f: <BROADCAST,MULTICAST> mtu 1500"],
	["docker0 itself", "5: docker0: <BROADCAST,MULTICAST> mtu 1500"],
	["a tap", "5: tap3: <BROADCAST,MULTICAST> mtu 1500"],
	[
		"an address on a veth",
		"21: veth12ab    inet 10.0.0.1/24 scope global veth12ab",
	],
	["an IPv6 address", "3: eth1    inet6 fe80::5054:ff:febf:b351/64 scope link"],
	[
		"an IPv6 address that is gone",
		"Deleted 3: eth1    inet6 fe80::1/64 scope link tentative",
	],
	["an IPv6 address of a bridge", "4: docker0    inet6 fe80::1/64 scope link"],
	["an empty line", ""],
	["blanks", "  \t "],
])("nobody's business: %s", (_, line) => {
	expect(hint(line)).toBeUndefined();
});

test.each(["br-0a1b2c3d4e5f", "docker0", "cni0", "flannel.1", "virbr0"])(
	"a prefix that comes to %s, or goes, is a prefix that the ENIs' tables have to know",
	(name) => {
		const line = `4: ${name}    inet 172.18.0.1/16 brd 172.18.255.255 scope global ${name}`;
		expect(short(line)).toBe(`address ${name} 4`);
		expect(short(deleted(line))).toBe(`address ${name} 4`);
	},
);

test("a NIC that is known by its index counts whatever name the line gives it", () => {
	const line = "3: dummy0: <BROADCAST,UP> mtu 1500 state UP";
	expect(hint(line)).toBeUndefined();
	expect(short(line, [3])).toBe("link dummy0 3");
	expect(short("3: dummy0    inet 10.9.0.5/24 scope global eth7", [3])).toBe(
		"address dummy0 3",
	);
});

test("names that the settings exclude are passed over", () => {
	expect(parseHint(link, ["eth1*"], nothingKnown)).toBeUndefined();
	expect(parseHint(link, ["eth2*"], nothingKnown)).toBeDefined();
});

test.each([
	"Dump was interrupted and may be inconsistent.",
	"netlink receive error No buffer space available (105)",
	"3: eth1",
	'Option "monitor" is unknown, try "ip -help".',
])("what is not understood may be anything: %s", (line) => {
	expect(hint(line)).toEqual(anything);
});

describe.each(["3.10.0", "4.11.0", "6.1.0"])(
	"what iproute2 %s printed",
	(release) => {
		const lines = readFixture("iproute2", release, "monitor.txt")
			.split("\n")
			.filter((line) => line !== "");

		test("is understood, line by line", () => {
			expect(lines.length).toBeGreaterThan(10);
			for (const line of lines) expect(hint(line)).not.toEqual(anything);
		});

		test("gives a hint for every NIC and none for what containers hang on bridges", () => {
			const hinted = lines.flatMap((line) => hint(line)?.link ?? []);
			expect(hinted).toContain("eth3");
			expect(hinted.filter((name) => /^veth/.test(name))).toEqual([]);
		});
	},
);

test("a day of containers as iproute2 6.1 printed it: hints for eth1 and for the bridges' prefixes only", () => {
	const lines = readFixture("iproute2", "6.1.0", "monitor-containers.txt")
		.split("\n")
		.filter((line) => line !== "");
	const hinted = new Set(lines.flatMap((line) => short(line) ?? []));
	expect([...hinted].sort()).toEqual([
		"address br-0a1b2c3d4e5f 4",
		"address docker0 5",
		"address eth1 3",
		"link eth1 3",
	]);
});

test("any line whatever is read without an error", () => {
	const piece = fc.oneof(
		fc.string(),
		fc.constantFrom(
			"Deleted ",
			"[LINK]",
			"3: ",
			"eth1",
			"@if3",
			": ",
			" inet ",
			"\\",
		),
	);
	fc.assert(
		fc.property(
			fc.array(piece).map((all) => all.join("")),
			(line) => {
				const found = hint(line);
				if (found) expect(found.ifindex).toBeGreaterThanOrEqual(0);
				else if (line.trim() !== "") expect(line).toMatch(/\d+: /);
			},
		),
	);
});
