import fc from "fast-check";
import type { InterfaceSpec } from "../../src/model.js";
import { specOf } from "./given.js";

/** MACs by number, so that two of them are never equal by chance. */
export const macOf = (number: number) =>
	`52:54:00:aa:${[number >> 8, number & 255].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;

const quad = (number: number) =>
	[24, 16, 8, 0]
		.map((shift) => Math.floor(number / 2 ** shift) % 256)
		.join(".");

/** A VPC subnet with its gateway and some hosts, as the cloud may give them: /16 to /28 in 10.0.0.0/8. */
export const subnet = fc
	.tuple(
		fc.integer({ min: 0, max: 2 ** 24 - 1 }),
		fc.integer({ min: 16, max: 28 }),
	)
	.map(([number, prefix]) => {
		const size = 2 ** (32 - prefix);
		const network = 10 * 2 ** 24 + Math.floor(number / size) * size;
		return {
			prefix,
			cidr: `${quad(network)}/${prefix}`,
			gateway: quad(network + 1),
			host: (at: number) => quad(network + 2 + (at % (size - 3))),
		};
	});

/** A spec as desire makes them: valid, the primary address first, further ones /32. */
export const spec: fc.Arbitrary<InterfaceSpec> = fc
	.record({
		subnet,
		number: fc.integer({ min: 1, max: 20 }),
		hosts: fc.uniqueArray(fc.integer({ min: 0, max: 12 }), {
			minLength: 1,
			maxLength: 8,
		}),
		hasTable: fc.boolean(),
		isDemoted: fc.boolean(),
		nmControlled: fc.boolean(),
		throws: fc.subarray(["172.17.0.0/16", "172.18.0.0/16", "192.168.122.0/24"]),
	})
	.map(
		({
			subnet: { cidr, prefix, gateway, host },
			number,
			hosts,
			hasTable,
			isDemoted,
			nmControlled,
			throws,
		}) =>
			specOf({
				name: `eth${number}`,
				mac: macOf(number),
				addresses: hosts.map(
					(at, index) => `${host(at)}/${index === 0 ? prefix : 32}`,
				),
				subnet: cidr,
				gateway,
				table: hasTable ? 1000 + number : undefined,
				throws: hasTable ? throws : [],
				demoteMetric: isDemoted ? 2000 + number : undefined,
				nmControlled,
			}),
	);
