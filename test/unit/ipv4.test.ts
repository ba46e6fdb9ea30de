import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	compareIps,
	gatewayProblem,
	hostAddressProblem,
	isInside,
	isIpv4,
	maskOfPrefix,
	numberOf,
	parseCidr,
	prefixOfMask,
	subnetOf,
} from "../../src/ipv4.js";

// Independent arithmetic: whole numbers, no bit operators, no library.
const quad = (number: number) =>
	[24, 16, 8, 0]
		.map((shift) => Math.floor(number / 2 ** shift) % 256)
		.join(".");
const floorTo = (number: number, prefix: number) =>
	Math.floor(number / 2 ** (32 - prefix)) * 2 ** (32 - prefix);

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const prefix = fc.integer({ min: 0, max: 32 });

describe("address maths agrees with plain arithmetic", () => {
	test("a subnet is the address with its host part at zero", () => {
		fc.assert(
			fc.property(address, prefix, (number, length) => {
				expect(subnetOf(quad(number), length)).toBe(
					`${quad(floorTo(number, length))}/${length}`,
				);
			}),
		);
	});

	test("an address is inside a subnet exactly when their network parts agree", () => {
		fc.assert(
			fc.property(
				address,
				address,
				prefix,
				fc.boolean(),
				(a, b, length, isNear) => {
					const other = isNear
						? floorTo(a, length) + (b % 2 ** (32 - length))
						: b;
					expect(isInside(quad(other), `${quad(a)}/${length}`)).toBe(
						floorTo(a, length) === floorTo(other, length),
					);
				},
			),
		);
	});

	test("mask and prefix are each other's inverse", () => {
		fc.assert(
			fc.property(prefix, (length) => {
				const mask = quad(2 ** 32 - 2 ** (32 - length));
				expect(maskOfPrefix(length)).toBe(mask);
				expect(prefixOfMask(mask)).toBe(length);
			}),
		);
	});

	test("a mask with a hole in it is none", () => {
		const contiguous = new Set(
			Array.from({ length: 33 }, (_, length) => 2 ** 32 - 2 ** (32 - length)),
		);
		fc.assert(
			fc.property(address, (number) => {
				fc.pre(!contiguous.has(number));
				expect(prefixOfMask(quad(number))).toBeUndefined();
			}),
		);
		for (const mask of ["255.0.255.0", "127.255.255.255", "0.0.0.1"])
			expect(prefixOfMask(mask)).toBeUndefined();
	});

	test("addresses are ordered by number, not by text", () => {
		expect(["10.0.0.10", "10.0.0.9", "9.255.255.255"].sort(compareIps)).toEqual(
			["9.255.255.255", "10.0.0.9", "10.0.0.10"],
		);
		fc.assert(
			fc.property(address, (number) => {
				expect(numberOf(quad(number))).toBe(number);
			}),
		);
	});
});

describe("what counts as an address", () => {
	test("every dotted quad in decimal does, and comes back from a CIDR as it was", () => {
		fc.assert(
			fc.property(address, prefix, (number, length) => {
				expect(isIpv4(quad(number))).toBe(true);
				expect(parseCidr(`${quad(number)}/${length}`)).toEqual({
					ip: quad(number),
					prefix: length,
				});
			}),
		);
	});

	test.each([
		"",
		"1.2.3",
		"1.2.3.4.5",
		"256.1.1.1",
		"1.2.3.04",
		"010.0.0.1",
		"0x7f.0.0.1",
		"2130706433",
		" 1.2.3.4",
		"1.2.3.4\n",
		"1.2.3.4 ",
		"1.2.3.4/24",
		"::ffff:1.2.3.4",
		"1.2.3.４",
		"1.2.3.-4",
		"1..3.4",
	])("%j does not", (text) => {
		expect(isIpv4(text)).toBe(false);
	});

	test.each([
		"1.2.3.4",
		"1.2.3.4/",
		"1.2.3.4/33",
		"1.2.3.4/024",
		"1.2.3.4/-1",
		"1.2.3.4/24\n",
		"1.2.3.4/24/8",
		"1.2.3.4/255.255.255.0",
		"1.2.3.4/2 4",
	])("%j is no CIDR", (text) => {
		expect(parseCidr(text)).toBeUndefined();
	});

	test("no text but a plain quad is ever taken for an address", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				if (isIpv4(text))
					expect(text).toMatch(/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/);
			}),
		);
	});
});

describe("what may stand on a NIC", () => {
	test.each([
		["0.0.0.0", 24, /0\.0\.0\.0\/8/],
		["0.1.2.3", 24, /0\.0\.0\.0\/8/],
		["127.0.0.1", 8, /loopback/],
		["169.254.0.23", 16, /link-local/],
		["224.0.0.1", 24, /multicast/],
		["255.255.255.255", 24, /broadcast/],
		["250.1.2.3", 24, /reserved/],
		["192.168.1.0", 26, /network address/],
		["192.168.1.63", 26, /broadcast address/],
		["10.0.0.1", 7, /\/7: expected \/8 to \/32/],
		["10.0.0.1", 0, /expected \/8/],
		["10.0.0", 24, /not an IPv4 address/],
	])("%s/%i is refused with a reason", (ip, length, reason) => {
		expect(hostAddressProblem(ip, length)).toMatch(reason);
	});

	test.each([
		["192.168.1.62", 26],
		["10.0.0.1", 8],
		["172.16.0.5", 32],
		["100.64.0.5", 10],
		["203.0.113.9", 24],
		["192.168.1.0", 31],
		["192.168.1.1", 31],
		["192.168.1.64", 24],
	])("%s/%i is fine", (ip, length) => {
		expect(hostAddressProblem(ip, length)).toBeUndefined();
	});

	test.each([
		["192.168.1.62", /own address/],
		["192.168.1.65", /outside the subnet 192\.168\.1\.0\/26/],
		["192.168.1.0", /network address/],
		["192.168.1.63", /broadcast address/],
		["fe80::1", /not an IPv4/],
	])("%s is no gateway for 192.168.1.62/26", (gateway, reason) => {
		expect(gatewayProblem(gateway, "192.168.1.62", 26)).toMatch(reason);
	});

	test("the subnet's first host is a gateway", () => {
		expect(gatewayProblem("192.168.1.1", "192.168.1.62", 26)).toBeUndefined();
	});
});
