import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ifcfgProblem, routeProblem, ruleProblem } from "../../src/grammar.js";
import type { InterfaceSpec } from "../../src/model.js";
import { spec as anySpec } from "./arbitraries.js";
import {
	casesIn,
	errorOf,
	readFixture,
	renderer,
	rendererOf,
	specOf,
	templates,
} from "./given.js";
import { hostile } from "./hostile.js";

describe.each(casesIn("ifcfg"))("files for %s", (name) => {
	const spec = specOf(
		JSON.parse(
			readFixture("ifcfg", name, "spec.json"),
		) as Partial<InterfaceSpec>,
	);

	test.each(["ifcfg", "route", "rule"] as const)(
		"%s is what network-scripts expect",
		(kind) => {
			expect(renderer[kind](spec)).toBe(readFixture("ifcfg", name, kind));
		},
	);
});

// What a shell that sources the file ends up with.
function sourced(text: string): Record<string, string> {
	const values: Record<string, string> = {};
	for (const line of text.split("\n")) {
		if (line === "" || line.startsWith("#")) continue;
		const match = /^([A-Z][A-Z0-9_]*)="([A-Za-z0-9.:]*)"$/.exec(line);
		if (!match?.[1]) throw new Error(`not plain: ${line}`);
		values[match[1]] = match[2] ?? "";
	}
	return values;
}

describe("any valid spec", () => {
	test("renders to files that pass their own grammar and hold nothing but plain values", () => {
		fc.assert(
			fc.property(anySpec, (spec) => {
				const text = renderer.ifcfg(spec);
				expect(
					ifcfgProblem(text, {
						DEVICE: spec.name,
						HWADDR: spec.mac.toUpperCase(),
						DEFROUTE: "no",
					}),
				).toBeUndefined();
				expect(() => sourced(text)).not.toThrow();
				if (spec.table === undefined) return;
				expect(routeProblem(renderer.route(spec), spec.name)).toBeUndefined();
				expect(ruleProblem(renderer.rule(spec))).toBeUndefined();
			}),
			{ numRuns: 200 },
		);
	});

	test("gives the shell every address once, the indices without a gap, and no address without a prefix", () => {
		fc.assert(
			fc.property(anySpec, (spec) => {
				const values = sourced(renderer.ifcfg(spec));
				const ips = spec.addresses.map((cidr) => cidr.split("/")[0]);
				expect(
					ips.map((_, index) => values[`IPADDR${index === 0 ? "" : index}`]),
				).toEqual(ips);
				expect(
					Object.keys(values).filter((key) => key.startsWith("IPADDR")),
				).toHaveLength(ips.length);
				for (let index = 1; index < ips.length; index += 1)
					expect(values).toMatchObject({
						[`PREFIX${index}`]: "32",
						[`ARPCHECK${index}`]: "no",
					});
				expect(values).toMatchObject({
					NETMASK: expect.stringMatching(/^255\./),
					ARPCHECK: "no",
					GATEWAY: spec.gateway,
					DEFROUTE: "no",
				});
			}),
			{ numRuns: 100 },
		);
	});

	test("gives each private IP its rule and the table its subnet and default", () => {
		fc.assert(
			fc.property(
				anySpec.filter((one) => one.table !== undefined),
				(spec) => {
					const lines = (text: string) =>
						text
							.split("\n")
							.filter((line) => line !== "" && !line.startsWith("#"));
					expect(lines(renderer.rule(spec))).toEqual(
						spec.addresses.map(
							(cidr) =>
								`from ${cidr.split("/")[0]}/32 table ${spec.table} priority ${spec.table}`,
						),
					);
					expect(lines(renderer.route(spec))).toEqual([
						`${spec.subnet} dev ${spec.name} table ${spec.table}`,
						`default via ${spec.gateway} dev ${spec.name} table ${spec.table}`,
					]);
				},
			),
			{ numRuns: 100 },
		);
	});
});

describe("a template of the user's own", () => {
	const standard = templates().ifcfg.text;

	test("may add a plain line", () => {
		const own = rendererOf(templates({ ifcfg: `${standard}MTU="1400"\n` }));
		expect(own.ifcfg(specOf())).toContain('\nMTU="1400"\n');
	});

	test.each([
		["a command", "touch /tmp/x\n", /line 17: .*is not KEY="value"/],
		["a substitution", 'NAME="$(touch x)"\n', /line 17/],
		["a value unquoted", "MTU=1400\n", /line 17/],
		["a comment that would be evaluated", "# DEVICE=x\n", /evaluated/],
		["a key set twice", 'ONBOOT="yes"\n', /ONBOOT is set twice/],
		["a line without its newline", 'MTU="1400"', /no newline/],
		["PATH", 'PATH="/tmp"\n', /PATH may not be set/],
		["what was never given", "{{nothing}}\n", /nothing/],
		["broken syntax", "{{#each further}}\n", /Parse error|expecting/i],
	])("is refused, by its own name, for %s", (_, line, reason) => {
		const own = rendererOf(templates({ ifcfg: standard + line }));
		const error = errorOf(() => own.ifcfg(specOf()));
		expect(error.exitCode).toBe(2);
		expect(error.message).toMatch(reason);
		expect(error.message).toContain("/etc/eni-configure/templates/ifcfg.hbs");
		expect(error.message).not.toContain("\n");
	});

	test.each([
		"DEVICE",
		"HWADDR",
		"ONBOOT",
		"BOOTPROTO",
		"NM_CONTROLLED",
		"IPADDR",
		"DEFROUTE",
	])("is refused when it leaves out %s", (key) => {
		const own = rendererOf(
			templates({
				ifcfg: standard.replace(new RegExp(`^${key}=.*\n`, "m"), ""),
			}),
		);
		expect(errorOf(() => own.ifcfg(specOf())).message).toContain(`${key}="`);
	});

	test.each([
		["further addresses", /^IPADDR\{\{index.*\n/m, /IPADDR1="192\.168\.1\.40"/],
		// Without one network-scripts would take the classful mask: 10.x gets /8.
		[
			"further addresses' prefixes",
			/^PREFIX\{\{index.*\n/m,
			/PREFIX1|NETMASK1/,
		],
		["primary address's mask", /^NETMASK.*\n/m, /PREFIX|NETMASK/],
	])("is refused when it leaves out the %s", (_, line, reason) => {
		const own = rendererOf(templates({ ifcfg: standard.replace(line, "") }));
		expect(
			errorOf(() =>
				own.ifcfg(
					specOf({ addresses: ["192.168.1.62/26", "192.168.1.40/32"] }),
				),
			).message,
		).toMatch(reason);
	});

	test("cannot smuggle hostile text in, whatever the kind of file", () => {
		// Mustaches are the template's own language, and an empty value is no harm.
		for (const text of hostile.filter(
			(one) => /[^A-Za-z0-9 ./%]/.test(one) && !one.includes("{{"),
		)) {
			const own = rendererOf(
				templates({
					ifcfg: `${standard}NAME="${text}"\n`,
					route: `${text} dev eth1\n`,
					rule: `from ${text} table 1 priority 1\n`,
					sysctl: `net.ipv4.conf.all.rp_filter = ${text}\n`,
				}),
			);
			expect(errorOf(() => own.ifcfg(specOf())).kind).toBe("usage");
			expect(errorOf(() => own.route(specOf())).kind).toBe("usage");
			expect(errorOf(() => own.rule(specOf())).kind).toBe("usage");
			expect(
				errorOf(() =>
					own.sysctl([{ link: "all", leaf: "rp_filter", value: "0" }]),
				).kind,
			).toBe("usage");
		}
	});

	test("cannot route over another link or leave the rules out of their table", () => {
		expect(
			errorOf(() =>
				rendererOf(
					templates({ route: "default via {{gateway}} dev eth0\n" }),
				).route(specOf()),
			).message,
		).toContain("dev eth1");
		expect(
			errorOf(() =>
				rendererOf(templates({ rule: "from all table 1 priority 1\n" })).rule(
					specOf(),
				),
			).message,
		).toContain("names no address");
	});

	test("cannot give main another default route", () => {
		const own = rendererOf(
			templates({ route: "default via {{gateway}} dev {{name}}\n" }),
		);
		expect(errorOf(() => own.route(specOf())).kind).toBe("usage");
	});
});

test("hostile text in a spec's fields is refused by the renderer even where an earlier check was missed", () => {
	for (const text of hostile.filter((one) => /[^A-Za-z0-9 ./%]/.test(one))) {
		expect(errorOf(() => renderer.ifcfg(specOf({ gateway: text }))).kind).toBe(
			"usage",
		);
		expect(errorOf(() => renderer.ifcfg(specOf({ name: text }))).kind).toBe(
			"usage",
		);
		expect(errorOf(() => renderer.route(specOf({ gateway: text }))).kind).toBe(
			"usage",
		);
		expect(
			errorOf(() => renderer.rule(specOf({ addresses: [`${text}/26`] }))).kind,
		).toBe("usage");
	}
});
