import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.js";
import type { FileSystem } from "../../src/system.js";
import { errorOf } from "./given.js";
import { hostile } from "./hostile.js";

const path = "/etc/eni-configure/config.yaml";
const holding = (text: string | Buffer) => {
	const volume = new Volume();
	volume.mkdirSync("/etc/eni-configure", { recursive: true });
	volume.writeFileSync(path, text);
	return volume as unknown as FileSystem;
};
const read = (text: string | Buffer) => readConfig(holding(text), path, true);

describe("the config file", () => {
	test("may be missing at its default place, and not where it was named", () => {
		const empty = new Volume() as unknown as FileSystem;
		expect(readConfig(empty, path, false)).toEqual({});
		expect(errorOf(() => readConfig(empty, path, true))).toMatchObject({
			kind: "usage",
			message: `${path}: there is no such file`,
		});
	});

	test.each(["", "\n", "# nothing yet\n", "---\n", "null\n"])(
		"may hold nothing: %j",
		(text) => {
			expect(read(text)).toEqual({});
		},
	);

	test("holds settings and addresses by MAC or by name", () => {
		const config = read(
			[
				"metadataUrl: http://127.0.0.1:8080/meta-data",
				"restart: interface",
				"routing: none",
				"rpFilter: 2",
				"exclude: {names: ['wg*'], macs: ['52:54:00:AA:BB:CC'], drivers: [tun]}",
				"interfaces:",
				"  52:54:00:BF:B3:51:",
				"    addresses: [192.168.1.62/26, 192.168.1.40]",
				"    gateway: 192.168.1.1",
				"  eth2: {addresses: [10.0.1.20], netmask: 255.255.255.0, gateway: 10.0.1.1}",
			].join("\n"),
		);
		expect(config).toMatchObject({
			restart: "interface",
			routing: "none",
			rpFilter: 2,
			exclude: { names: ["wg*"], drivers: ["tun"] },
		});
		expect(config.interfaces).toEqual({
			"52:54:00:bf:b3:51": {
				addresses: ["192.168.1.62/26", "192.168.1.40/32"],
				gateway: "192.168.1.1",
			},
			eth2: { addresses: ["10.0.1.20/24"], gateway: "10.0.1.1" },
		});
	});

	test.each([
		[
			"nonsense: 1",
			/config\.yaml: nonsense: unknown key; expected one of metadataUrl/,
		],
		[
			"exclude: {nic: []}",
			/exclude\.nic: unknown key; expected one of names, macs, drivers/,
		],
		[
			"interfaces: {eth1: {addresses: [1.2.3.4/24], gateway: 1.2.3.1, mtu: 1}}",
			/interfaces\.eth1\.mtu: unknown key/,
		],
		["restart: always", /restart: expected auto, interface, service or none/],
		["rpFilter: 3", /rpFilter: expected 0, 1 or 2/],
		["rpFilter: '1'", /rpFilter: expected/],
		["backend: systemd", /backend: expected/],
		["exclude: {macs: [nonsense]}", /exclude\.macs\.0: expected a MAC/],
		["exclude: {names: eth1}", /exclude\.names: expected a list/],
		[
			"interfaces: {eth1: {addresses: [192.168.1.62/26]}}",
			/interfaces\.eth1\.gateway/,
		],
		[
			"interfaces: {eth1: {addresses: [192.168.1.62], gateway: 192.168.1.1}}",
			/interfaces\.eth1\.address: 192\.168\.1\.62 has no prefix/,
		],
		[
			"interfaces: {eth1: {addresses: [], gateway: 192.168.1.1}}",
			/interfaces\.eth1\.address: at least one/,
		],
		[
			"interfaces: {'a b': {addresses: [192.168.1.62/26], gateway: 192.168.1.1}}",
			/expected a NIC name or a MAC/,
		],
		["- a list", /expected/],
		["just text", /expected keys and values/],
		["restart: auto\nrestart: none\n", /line 2: .*unique/i],
		["restart: [\n", /line \d+: /],
		["a: &a [1]\nb: *nothing\n", /./],
	])("%j is refused with its place", (text, message) => {
		const error = errorOf(() => read(text));
		expect(error.kind).toBe("usage");
		expect(error.message).toMatch(message);
		expect(error.message.startsWith(path)).toBe(true);
		expect(error.message).not.toContain("\n");
	});

	test("a billion laughs ends at once", () => {
		const levels = Array.from(
			{ length: 12 },
			(_, at) =>
				`l${at}: &l${at} [${Array(10)
					.fill(at === 0 ? "lol" : `*l${at - 1}`)
					.join(", ")}]`,
		);
		expect(errorOf(() => read(levels.join("\n"))).kind).toBe("usage");
	});

	test("larger than 64 KiB is refused without reading on", () => {
		expect(() => read(`# ${"x".repeat(70_000)}\n`)).toThrow(
			/larger than the 65536 bytes/,
		);
	});

	test("one MAC in two spellings is refused: which entry counts cannot be known", () => {
		const entry = "{addresses: [192.168.1.62/26], gateway: 192.168.1.1}";
		expect(
			errorOf(() =>
				read(
					`interfaces:\n  "52:54:00:bf:b3:51": ${entry}\n  "52:54:00:BF:B3:51": ${entry}\n`,
				),
			).kind,
		).toBe("usage");
	});

	test("hostile text in any value is refused in one line", () => {
		for (const text of hostile) {
			const quoted = JSON.stringify(text);
			for (const line of [
				`backend: ${quoted}`,
				`restart: ${quoted}`,
				`routing: ${quoted}`,
				`rpFilter: ${quoted}`,
				`${quoted}: 1`,
				`exclude: {macs: [${quoted}]}`,
				`interfaces: {${quoted}: {addresses: [192.168.1.62/26], gateway: 192.168.1.1}}`,
				`interfaces: {eth1: {addresses: [${quoted}], gateway: 192.168.1.1}}`,
				`interfaces: {eth1: {addresses: [192.168.1.62/26], gateway: ${quoted}}}`,
				`interfaces: {eth1: {addresses: [192.168.1.62], netmask: ${quoted}, gateway: 192.168.1.1}}`,
			]) {
				const error = errorOf(() => read(line));
				expect(error.kind).toBe("usage");
				expect(error.message).toMatch(/^[^\p{Cc}]{1,400}$/u);
			}
		}
	});

	test("any bytes at all give settings or one line, never a crash", () => {
		const word = fc.constantFrom(
			"restart",
			"exclude",
			"interfaces",
			"names",
			":",
			"- ",
			"\n",
			"  ",
			"{",
			"}",
			"[",
			"]",
			"&a",
			"*a",
			"!!js/function",
			"'",
			'"',
			"|",
			">",
			"eth1",
			"\t",
			"1",
		);
		const text = fc.oneof(
			fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
			fc
				.array(word, { maxLength: 20 })
				.map((words) => Buffer.from(words.join(""))),
		);
		fc.assert(
			fc.property(text, (bytes) => {
				try {
					expect(typeof read(bytes)).toBe("object");
				} catch (error) {
					expect((error as { kind?: string }).kind).toBe("usage");
					expect((error as Error).message).not.toContain("\n");
				}
			}),
			{ numRuns: 300 },
		);
	});
});
