import fc from "fast-check";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import { readOptions, type Values } from "../../src/commands/options.js";
import type { FileSystem } from "../../src/system.js";
import { rejectionOf } from "./given.js";
import { hostile, hostileAround } from "./hostile.js";

const withConfig = (text?: string) => {
	const volume = new Volume();
	volume.mkdirSync("/etc/eni-configure", { recursive: true });
	if (text !== undefined)
		volume.writeFileSync("/etc/eni-configure/config.yaml", text);
	return volume as unknown as FileSystem;
};
const read = (
	values: Values,
	more: { command?: string; env?: NodeJS.ProcessEnv; config?: string } = {},
) =>
	readOptions(
		withConfig(more.config),
		more.command ?? "configure",
		{ nics: ["eth1"], ...values },
		more.env ?? {},
	);

describe("settings", () => {
	test("have one good default each", async () => {
		expect((await read({})).settings).toEqual({
			metadataUrls: [
				"http://169.254.0.23/latest/meta-data",
				"http://metadata.tencentyun.com/latest/meta-data",
			],
			backend: "auto",
			restart: "auto",
			routing: "policy",
			rpFilter: 0,
			exclude: { names: [], macs: [], drivers: [] },
			interfaces: {},
			managePrimary: false,
			resyncSeconds: 60,
		});
		expect(await read({})).toMatchObject({
			wait: false,
			waitTimeoutMs: 60_000,
			lockTimeoutMs: 60_000,
			json: false,
		});
	});

	test("come from the flag, else the environment, else the config", async () => {
		const env = { ENI_CONFIGURE_RESTART: "interface" };
		const config = "restart: none\n";
		expect((await read({}, { config })).settings.restart).toBe("none");
		expect((await read({}, { config, env })).settings.restart).toBe(
			"interface",
		);
		expect(
			(await read({ restart: "service" }, { config, env })).settings.restart,
		).toBe("service");
	});

	test("a config named by the environment has to be there", async () => {
		expect(
			(
				await rejectionOf(
					read({}, { env: { ENI_CONFIGURE_CONFIG: "/none.yaml" } }),
				)
			).message,
		).toContain("/none.yaml");
	});

	test("only the environment variables of the table count", async () => {
		expect(
			(
				await read(
					{},
					{
						env: {
							ENI_CONFIGURE_ROUTING: "none",
							ENI_CONFIGURE_FORCE: "1",
							RESTART: "none",
						},
					},
				)
			).settings,
		).toMatchObject({ routing: "policy", restart: "auto" });
	});

	test.each([
		[
			{ restart: "always" },
			{},
			/--restart: "always" is not one of auto, interface, service, none/,
		],
		[{ "rp-filter": "3" }, {}, /--rp-filter: "3" is not one of 0, 1, 2/],
		[
			{ "metadata-url": "https://169.254.0.23/" },
			{},
			/--metadata-url: .*plain http/,
		],
		[{ "metadata-url": "http://user:pw@host/" }, {}, /--metadata-url/],
		[{ "metadata-url": "http://host/?x" }, {}, /--metadata-url/],
		[{ "metadata-url": "file:///etc/passwd" }, {}, /--metadata-url/],
		[
			{},
			{ ENI_CONFIGURE_BACKEND: "systemd" },
			/ENI_CONFIGURE_BACKEND: "systemd" is not one of/,
		],
		[
			{ restart: ["none", "auto"] },
			{},
			/--restart is given 2 times: expected once/,
		],
		[{ force: [true, true] }, {}, /--force is given more than once/],
		[{ restart: "" }, {}, /--restart needs a value/],
		[
			{ "wait-timeout": "soon" },
			{},
			/--wait-timeout: "soon" is not a number of seconds/,
		],
		[{ "wait-timeout": "-1" }, {}, /--wait-timeout/],
		[{ "lock-timeout": "1e9" }, {}, /--lock-timeout/],
	] as [Values, NodeJS.ProcessEnv, RegExp][])(
		"%j %j is refused, and the place is named",
		async (values, env, message) => {
			expect(await rejectionOf(read(values, { env }))).toMatchObject({
				kind: "usage",
				message: expect.stringMatching(message),
			});
		},
	);

	test("a wait-timeout may have a fraction, and nothing at all is no wait", async () => {
		expect(
			await read({ "wait-timeout": "2.5", "lock-timeout": "0" }),
		).toMatchObject({
			waitTimeoutMs: 2500,
			lockTimeoutMs: 0,
		});
	});
});

describe("what is asked", () => {
	test.each([
		[{ nics: [] }, /no NIC is named/],
		[{ nics: ["eth1"], all: true }, /name NICs, or say --all/],
		[{ nics: ["eth1/../../x"] }, /is not a NIC name/],
		[{ nics: ["a".repeat(16)] }, /is not a NIC name/],
		[
			{
				nics: ["eth1", "eth2"],
				address: "192.168.1.62/26",
				gateway: "192.168.1.1",
			},
			/exactly one NIC/,
		],
		[
			{
				nics: [],
				all: true,
				address: "192.168.1.62/26",
				gateway: "192.168.1.1",
			},
			/exactly one NIC/,
		],
		[{ gateway: "192.168.1.1" }, /--gateway goes with --address/],
		[{ netmask: "255.255.255.0" }, /--netmask goes with --address/],
		[{ address: "192.168.1.62/26" }, /--gateway: missing/],
		[
			{
				address: "192.168.1.62/26",
				gateway: "192.168.1.1",
				"from-metadata": true,
			},
			/exclude each other/,
		],
		[
			{ address: "192.168.1.62/26", gateway: ["192.168.1.1", "192.168.1.2"] },
			/--gateway is given 2 times/,
		],
	] as [Values, RegExp][])("%j is refused", async (values, message) => {
		expect(await rejectionOf(read(values))).toMatchObject({
			kind: "usage",
			message: expect.stringMatching(message),
		});
	});

	test("addresses may be repeated or joined by commas", async () => {
		const expected = {
			addresses: ["192.168.1.62/26", "192.168.1.40/32"],
			gateway: "192.168.1.1",
		};
		expect(
			(
				await read({
					address: ["192.168.1.62/26", "192.168.1.40"],
					gateway: "192.168.1.1",
				})
			).request.flags,
		).toEqual(expected);
		expect(
			(
				await read({
					address: "192.168.1.62/26,192.168.1.40",
					gateway: "192.168.1.1",
				})
			).request.flags,
		).toEqual(expected);
	});

	test("the same NIC twice is one NIC", async () => {
		expect((await read({ nics: ["eth1", "eth1"] })).request.targets).toEqual([
			"eth1",
		]);
	});

	test("plan and status change nothing, remove removes, --all means all", async () => {
		expect((await read({}, { command: "plan" })).request).toMatchObject({
			verb: "configure",
			dryRun: true,
		});
		expect(
			(await read({ nics: [] }, { command: "status" })).request,
		).toMatchObject({
			targets: "all",
			dryRun: true,
		});
		expect((await read({ "dry-run": true })).request.dryRun).toBe(true);
		expect((await read({}, { command: "remove" })).request).toMatchObject({
			verb: "remove",
			dryRun: false,
		});
		expect((await read({ nics: [], all: true })).request.targets).toBe("all");
	});

	test("hostile text in any flag, variable or name is refused in one line", async () => {
		const flags = [
			"address",
			"gateway",
			"netmask",
			"metadata-url",
			"backend",
			"restart",
			"routing",
			"rp-filter",
			"wait-timeout",
			"lock-timeout",
			"nics",
			"ENI_CONFIGURE_METADATA_URL",
			"ENI_CONFIGURE_BACKEND",
			"ENI_CONFIGURE_RESTART",
		];
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom(...flags),
				hostileAround(fc.constantFrom("192.168.1.62/26", "eth1", "auto", "5")),
				async (flag, text) => {
					const env = flag.startsWith("ENI") ? { [flag]: text } : {};
					const own =
						flag === "nics"
							? { nics: [text] }
							: flag === "netmask"
								? {
										address: "192.168.1.62",
										gateway: "192.168.1.1",
										netmask: text,
									}
								: flag === "gateway"
									? { address: "192.168.1.62/26", gateway: text }
									: flag === "address"
										? { address: text, gateway: "192.168.1.1" }
										: { [flag]: text };
					try {
						const { request, settings } = await read(
							flag.startsWith("ENI") ? {} : own,
							{ env },
						);
						// What happens to be valid is plain by then.
						expect(JSON.stringify([request, settings])).toMatch(
							/^[A-Za-z0-9"{}[\]:,./_@~-]+$/,
						);
					} catch (error) {
						expect((error as { kind?: string }).kind, String(error)).toBe(
							"usage",
						);
						expect((error as Error).message).toMatch(/^[^\p{Cc}]{1,400}$/u);
					}
				},
			),
			{ numRuns: 600 },
		);
	});

	test("known hostile strings never pass as a NIC or a metadata address", async () => {
		for (const text of hostile) {
			expect((await rejectionOf(read({ nics: [text] }))).kind).toBe("usage");
			expect((await rejectionOf(read({ "metadata-url": text }))).kind).toBe(
				"usage",
			);
			// A host of letters, digits and dots only is no danger, just nowhere.
			if (/[^0-9a-z./]/.test(text)) {
				const url = `http://${text}`;
				expect((await rejectionOf(read({ "metadata-url": url }))).kind).toBe(
					"usage",
				);
			}
		}
	});
});
