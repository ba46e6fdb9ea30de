import { describe, expect, test } from "vitest";
import { limitsOf, useOf } from "../../src/limits";

describe("the guide's limits", () => {
	test.each([
		// The kernel of a 1 GB machine shows less than 1 GiB, of a 2 GB one more than that.
		[1, 0.95, 2, 2],
		[1, 1, 2, 2],
		[1, 1.01, 2, 6],
		[1, 1.8, 2, 6],
		[2, 0.95, 2, 10],
		[2, 64, 2, 10],
		[3, 64, 2, 10],
		[4, 7.6, 4, 10],
		// A 16 GB machine: the table is silent, the lower row counts.
		[4, 15.5, 4, 10],
		[4, 16, 4, 10],
		[4, 16.1, 4, 20],
		[4, 23.4, 4, 20],
		[5, 8, 4, 10],
		[7, 32, 4, 20],
		[8, 16, 6, 20],
		[12, 24, 6, 20],
		[13, 24, 8, 30],
		[16, 0.5, 8, 30],
		[128, 1024, 8, 30],
		// Nothing a machine says of itself may break it.
		[0, 0, 2, 2],
		[Number.NaN, Number.NaN, 2, 2],
		[4, Number.NaN, 4, 10],
	])(
		"of %d cores and %d GiB are %d ENIs of %d addresses",
		(cores, memory, enis, addressesPerEni) => {
			expect(limitsOf(cores, memory)).toEqual({ enis, addressesPerEni });
		},
	);
});

describe("the use of the limits", () => {
	const limits = { enis: 2, addressesPerEni: 6 };

	test("counts ENIs and the private IPs of all of them", () => {
		const { enis, addresses, notes } = useOf(limits, [
			{ name: "eth0", addresses: 1 },
			{ name: "eth1", addresses: 6 },
		]);
		expect(enis).toEqual({ used: 2, of: 2 });
		expect(addresses).toEqual({ used: 7, of: 12, perEni: 6 });
		expect(notes).toEqual([]);
	});

	test("above the table is a note: of the ENIs, and of one ENI that has more than its own share", () => {
		const { enis, addresses, notes } = useOf(limits, [
			{ name: "eth0", addresses: 1 },
			{ name: "eth1", addresses: 7 },
			{ name: "eth2", addresses: 1 },
		]);
		expect(enis).toEqual({ used: 3, of: 2 });
		expect(addresses.used).toBe(9);
		expect(notes).toEqual([
			expect.stringMatching(/^3 ENIs .* 2: newer sizes allow more$/),
			expect.stringMatching(/^eth1 has 7 private IPs.* 6: newer sizes/),
		]);
	});

	test("what nobody says is not counted, and that is said", () => {
		const { addresses, notes } = useOf(limits, [
			{ name: "eth0", addresses: 2 },
			{ name: "52:54:00:00:00:01", addresses: undefined },
		]);
		expect(addresses.used).toBe(2);
		expect(notes).toEqual([expect.stringMatching(/of 1 of the ENIs are not/)]);
	});
});
