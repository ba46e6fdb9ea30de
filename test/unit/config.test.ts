import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.js";
import type { FileSystem } from "../../src/system.js";
import { rejectionOf } from "./given.js";
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
	test("may be missing at its default place, and not where it was named", async () => {
		const empty = new Volume() as unknown as FileSystem;
		expect(await readConfig(empty, path, false)).toEqual({});
		expect(await rejectionOf(readConfig(empty, path, true))).toMatchObject({
			kind: "usage",
			message: `${path}: there is no such file`,
		});
	});

	test.each(["", "\n", "# nothing yet\n", "---\n", "null\n"])(
		"may hold nothing: %j",
		async (text) => {
			expect(await read(text)).toEqual({});
		},
	);

	test("holds settings and addresses by MAC or by name", async () => {
		const config = await read(
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
	])("%j is refused with its place", async (text, message) => {
		const error = await rejectionOf(read(text));
		expect(error.kind).toBe("usage");
		expect(error.message).toMatch(message);
		expect(error.message.startsWith(path)).toBe(true);
		expect(error.message).not.toContain("\n");
	});

	test("a billion laughs ends at once", async () => {
		const levels = Array.from(
			{ length: 12 },
			(_, at) =>
				`l${at}: &l${at} [${Array(10)
					.fill(at === 0 ? "lol" : `*l${at - 1}`)
					.join(", ")}]`,
		);
		expect((await rejectionOf(read(levels.join("\n")))).kind).toBe("usage");
	});

	test.each([
		[
			"a second document",
			"restart: auto\n---\nrestart: none\n",
			/line 2: a second document begins/,
		],
		[
			"a tag",
			"restart: !!js/function 'x'\n",
			/line 1: the tag .*js\/function" is not understood/,
		],
		[
			"a tag that yaml knows",
			"exclude: !!set {names}\n",
			/line 1: the tag .*set" is not/,
		],
		[
			"a binary value",
			"# why\nbackend: !!binary aGk=\n",
			/line 2: the tag .*binary" is not/,
		],
		[
			"a tag of its own",
			"restart: !mine auto\n",
			/line 1: the tag "!mine" is not/,
		],
		["a merge key", "exclude: &a {names: []}\n<<: *a\n", /<<: unknown key/],
		[
			"a key of every object",
			"__proto__: {restart: none}\n",
			/line 1: "__proto__" is an unknown key/,
		],
		[
			"another",
			"restart: auto\nconstructor: 1\n",
			/line 2: "constructor" is an unknown key/,
		],
		[
			"one further in",
			"exclude: {toString: [a]}\n",
			/line 1: "toString" is an unknown key/,
		],
		[
			"one for a NIC",
			"interfaces:\n  constructor: {addresses: [10.0.0.5/24], gateway: 10.0.0.1}\n",
			/line 2: "constructor" is/,
		],
		["a list for a key", "? [a]\n: 1\n", /line 1: a key is no plain text/],
		["a mapping for a key", "{{a: b}: c}\n", /line 1: a key is no plain text/],
		["no key", "? \n: 1\n", /a key is no plain text/],
		[
			"an alias to itself",
			"exclude: &a {names: *a}\n",
			/exclude\.names: expected a list/,
		],
		[
			"a list around itself",
			"exclude: {names: &a [*a]}\n",
			/exclude\.names\.0: expected text/,
		],
		[
			"an alias to nothing",
			`restart: *${"x".repeat(60_000)}\n`,
			/Unresolved alias/,
		],
		["a list of nothing", "[]\n", /expected keys and values/],
		[
			"a list for exclusions",
			"exclude: []\n",
			/exclude: expected names, macs or drivers/,
		],
		[
			"a list for NICs",
			"interfaces: []\n",
			/interfaces: expected NIC names or MAC/,
		],
		[
			"NICs without names",
			"interfaces: [{addresses: [10.0.0.5/24], gateway: 10.0.0.1}]\n",
			/interfaces: expected/,
		],
		[
			"a list for a NIC",
			"interfaces: {eth1: [10.0.0.5/24]}\n",
			/interfaces\.eth1: expected addresses and gateway/,
		],
		[
			"a NIC named all",
			"interfaces: {all: {addresses: [10.0.0.5/24], gateway: 10.0.0.1}}\n",
			/expected a NIC name or a MAC/,
		],
		[
			"an alias interface",
			"interfaces: {'eth1:1': {addresses: [10.0.0.5/24], gateway: 10.0.0.1}}\n",
			/expected a NIC name or a MAC/,
		],
		[
			"a number for text",
			"interfaces: {eth1: {addresses: [10], gateway: 10.0.0.1}}\n",
			/interfaces\.eth1\.addresses\.0: expected text/,
		],
		[
			"UTF-16",
			Buffer.from("\ufeffrestart: auto\n", "utf16le"),
			/expected UTF-8/,
		],
		[
			"UTF-16 without a mark",
			Buffer.from("restart: auto\n", "utf16le"),
			/expected UTF-8/,
		],
		["latin1", Buffer.from("# caf\u00e9\n", "latin1"), /expected UTF-8/],
		["a NUL", "restart: auto\n# \0\n", /expected UTF-8/],
		["an escape sequence", "restart: '\u001b[31m'\n", /expected UTF-8/],
		["a C1 control character", "restart: '\u009b31m'\n", /expected UTF-8/],
		[
			"a key that turns the line round",
			"'\u202ea': 1\n",
			/config\.yaml: \?a: unknown key/,
		],
	] as [string, string | Buffer, RegExp][])(
		"%s is refused in one line",
		async (_, text, message) => {
			const error = await rejectionOf(read(text));
			expect(error.kind).toBe("usage");
			expect(error.message).toMatch(message);
			expect(error.message).toMatch(/^[^\p{Cc}\p{Cf}]{1,400}$/u);
			expect(error.message.startsWith(path)).toBe(true);
		},
	);

	test("a byte order mark, an anchor and an alias are YAML too", async () => {
		expect(await read("\ufeffrestart: none\n")).toEqual({ restart: "none" });
		expect(
			(await read("exclude: {names: &n ['wg*'], drivers: *n}\n")).exclude,
		).toMatchObject({ names: ["wg*"], drivers: ["wg*"] });
	});

	test.each([
		["brackets", "[".repeat(65_000)],
		["brackets that close", "[".repeat(32_000) + "]".repeat(32_000)],
		["braces", "{a: ".repeat(16_000)],
		["lists in lists", "- ".repeat(32_000)],
		["keys in keys", "? ".repeat(32_000)],
		[
			"ever deeper keys",
			Array.from({ length: 350 }, (_, at) => `${" ".repeat(at)}a:`).join("\n"),
		],
		[
			"ten thousand keys",
			Array.from({ length: 10_000 }, (_, at) => `k${at}:`).join("\n"),
		],
		[
			"anchors",
			`a: [${Array.from({ length: 5000 }, (_, at) => `&a${at} x`).join(",")}]`,
		],
		["anchors on anchors", "&a ".repeat(20_000)],
		["aliases", `a: &a x\nb: [${Array(13_000).fill("*a").join(",")}]`],
		["documents", "---\n".repeat(16_000)],
		["directives", "%a\n".repeat(20_000)],
		["commas", `[${",".repeat(65_000)}]`],
		["spaces", `a: |\n${" ".repeat(65_000)}x`],
		["tabs", `${"\t".repeat(65_000)}a`],
		["colons", ":".repeat(65_000)],
		["backslashes", `"${"\\".repeat(65_000)}`],
	])("64 KiB of %s end in a line, in good time", async (_, text) => {
		const start = Date.now();
		const error = await rejectionOf(read(text));
		expect(error.kind).toBe("usage");
		expect(error.message).toMatch(/^[^\p{Cc}]{1,400}$/u);
		// Generous: it only has to catch what would never end.
		expect(Date.now() - start).toBeLessThan(20_000);
	});

	test("keys that are no plain text cause no warning of the runtime", async () => {
		const said: Error[] = [];
		const listen = (warning: Error) => said.push(warning);
		process.on("warning", listen);
		await rejectionOf(read("{[a]: 1}\n"));
		await rejectionOf(read("? {a: b}\n: c\n"));
		await new Promise((resolve) => setImmediate(resolve));
		process.off("warning", listen);
		expect(said).toEqual([]);
	});

	test.each([
		[
			"a directory",
			(volume: Volume) => volume.mkdirSync(path, { recursive: true }),
			/is not a regular file|EISDIR/,
		],
		[
			"a link that leads in a circle",
			(volume: Volume) => volume.symlinkSync(path, path),
			/in a circle/,
		],
		[
			"a link to nothing",
			(volume: Volume) => volume.symlinkSync("/none", path),
			/symbolic link to nothing/,
		],
	])(
		"%s in its place is refused, even where it may be missing",
		async (_, place, message) => {
			const volume = new Volume();
			volume.mkdirSync("/etc/eni-configure", { recursive: true });
			place(volume);
			const fs = volume as unknown as FileSystem;
			for (const isRequired of [true, false]) {
				const error = await rejectionOf(readConfig(fs, path, isRequired));
				expect(error.kind).toBe("usage");
				expect(error.message).toMatch(message);
				expect(error.message.startsWith(path)).toBe(true);
			}
		},
	);

	test("larger than 64 KiB is refused without reading on", async () => {
		await expect(read(`# ${"x".repeat(70_000)}\n`)).rejects.toThrow(
			/larger than the 65536 bytes/,
		);
	});

	test("one MAC in two spellings is refused: which entry counts cannot be known", async () => {
		const entry = "{addresses: [192.168.1.62/26], gateway: 192.168.1.1}";
		expect(
			(
				await rejectionOf(
					read(
						`interfaces:\n  "52:54:00:bf:b3:51": ${entry}\n  "52:54:00:BF:B3:51": ${entry}\n`,
					),
				)
			).kind,
		).toBe("usage");
	});

	test("hostile text in any value is refused in one line", async () => {
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
				const error = await rejectionOf(read(line));
				expect(error.kind).toBe("usage");
				expect(error.message).toMatch(/^[^\p{Cc}]{1,400}$/u);
			}
		}
	});

	test("any bytes at all give settings or one line, never a crash", async () => {
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
		await fc.assert(
			fc.asyncProperty(text, async (bytes) => {
				try {
					expect(typeof (await read(bytes))).toBe("object");
				} catch (error) {
					expect((error as { kind?: string }).kind).toBe("usage");
					expect((error as Error).message).not.toContain("\n");
				}
			}),
			{ numRuns: 300 },
		);
	});
});
