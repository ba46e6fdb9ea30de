import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseStaticSource } from "../../src/static-source.js";
import { hostileAround } from "./hostile.js";

const gateway = "192.168.1.1";
const parse = (
	addresses: string[],
	more: { gateway?: string; netmask?: string } = {},
) =>
	parseStaticSource({
		addresses,
		gateway: "gateway" in more ? more.gateway : gateway,
		netmask: more.netmask,
	});

describe("addresses given by a person", () => {
	test("the first keeps its prefix, further ones are /32, in the order given", () => {
		expect(
			parse([
				"192.168.1.62/26",
				"192.168.1.40/26",
				"192.168.1.30",
				"192.168.1.9/32",
			]),
		).toEqual({
			addresses: [
				"192.168.1.62/26",
				"192.168.1.40/32",
				"192.168.1.30/32",
				"192.168.1.9/32",
			],
			gateway,
		});
	});

	test("a netmask does for a prefix", () => {
		expect(parse(["192.168.1.62"], { netmask: "255.255.255.192" })).toEqual({
			addresses: ["192.168.1.62/26"],
			gateway,
		});
	});

	test.each([
		[[], {}, /at least one is needed/],
		[["192.168.1.62"], {}, /has no prefix: write 192\.168\.1\.62\/26/],
		[
			["192.168.1.62/26"],
			{ netmask: "255.255.255.192" },
			/one of the two is enough/,
		],
		[
			["192.168.1.62"],
			{ netmask: "255.0.255.0" },
			/netmask: .*not a contiguous/,
		],
		[["192.168.1.62/26"], { gateway: undefined }, /gateway: missing/],
		[
			["192.168.1.62/26"],
			{ gateway: "192.168.1.65" },
			/gateway: 192\.168\.1\.65 lies outside the subnet/,
		],
		[
			["192.168.1.62/26"],
			{ gateway: "192.168.1.62" },
			/gateway: .*own address/,
		],
		[
			["192.168.1.62/33"],
			{},
			/address: "192\.168\.1\.62\/33" is not an IPv4 address with a prefix/,
		],
		[["192.168.1.63/26"], {}, /broadcast address/],
		[["192.168.1.62/26", "192.168.1.65"], {}, /lies outside the subnet/],
		[["192.168.1.62/26", "192.168.1.62"], {}, /is given twice/],
		[["192.168.1.62/26", "192.168.1.1"], {}, /is the gateway/],
		[["192.168.1.62/26", "192.168.1.40/24"], {}, /has another prefix/],
		[["fe80::1/64"], {}, /not an IPv4/],
		[["127.0.0.1/8"], { gateway: "127.0.0.2" }, /loopback/],
	] as [string[], { gateway?: string; netmask?: string }, RegExp][])(
		"%j %j is refused in one line",
		(addresses, more, reason) => {
			const source = parse(addresses, more);
			expect(source).toMatch(reason);
			expect(source).not.toContain("\n");
		},
	);

	test("are at most 512 for one NIC, and one more is refused by its number", () => {
		const given = (count: number) =>
			parseStaticSource({
				addresses: Array.from(
					{ length: count },
					(_, at) => `10.0.${at >> 7}.${(at & 127) + 10}/16`,
				),
				gateway: "10.0.0.1",
				netmask: undefined,
			});
		expect(given(512)).toMatchObject({ gateway: "10.0.0.1" });
		expect(given(513)).toBe(
			"address: 513 are given, more than the 512 that one NIC can have",
		);
	});

	test("hostile text in any place gives one short printable line, never a source that carries it", () => {
		const place = fc.constantFrom("first", "further", "gateway", "netmask");
		fc.assert(
			fc.property(
				place,
				hostileAround(fc.constant("192.168.1.5")),
				(where, text) => {
					const source = parseStaticSource({
						addresses:
							where === "first"
								? [text]
								: where === "netmask"
									? ["192.168.1.62"]
									: ["192.168.1.62/26", ...(where === "further" ? [text] : [])],
						gateway: where === "gateway" ? text : gateway,
						netmask: where === "netmask" ? text : undefined,
					});
					if (typeof source === "string")
						expect(source).toMatch(/^[^\p{Cc}]{1,300}$/u);
					else expect(JSON.stringify(source)).toMatch(/^[\x20-\x7e]+$/);
					if (typeof source !== "string")
						for (const one of [...source.addresses, source.gateway])
							expect(one).toMatch(/^[0-9./]+$/);
				},
			),
			{ numRuns: 400 },
		);
	});
});
