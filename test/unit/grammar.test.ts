import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	ifcfgProblem,
	routeProblem,
	ruleProblem,
	sysctlProblem,
} from "../../src/grammar.js";
import { hostile } from "./hostile.js";

// What bash would make of a line without running anything: an assignment of a constant.
const plainLine = /^(#.*|[A-Z][A-Z0-9_]*="[A-Za-z0-9 .:,/_@%+-]*"|)$/;

describe("an ifcfg file", () => {
	test.each([
		['DEVICE="eth1"\n# why\n\nONBOOT="yes"\n', undefined],
		["", undefined],
		['DEVICE="eth1"', /last line has no newline/],
		["DEVICE=eth1\n", /line 1: .*is not KEY="value"/],
		["DEVICE='eth1'\n", /line 1/],
		['DEVICE="eth1" ONBOOT="yes"\n', /line 1/],
		[' DEVICE="eth1"\n', /line 1/],
		['export DEVICE="eth1"\n', /line 1/],
		['device="eth1"\n', /line 1/],
		['ONBOOT="yes"\nNAME="$(id)"\n', /line 2/],
		['NAME="`id`"\n', /line 1/],
		['NAME="a\\\n', /line 1/],
		['NAME="a"; id\n', /line 1/],
		["id\n", /line 1/],
		['PATH="/tmp"\n', /PATH may not be set/],
		['LD_PRELOAD="/tmp/x.so"\n', /LD_PRELOAD may not be set/],
		['BASH_ENV="/tmp/x"\n', /BASH_ENV may not be set/],
		['IFS="x"\n', /IFS may not be set/],
		['ONBOOT="yes"\nONBOOT="no"\n', /line 2: ONBOOT is set twice/],
		['# DEVICE=$(id)\nONBOOT="yes"\n', /line 1: .*evaluated/],
		['# my TYPE="x"\n', /evaluated/],
		["# ADDRESS0=1.2.3.4\n", /evaluated/],
		['NAME="é"\n', /bytes other than printable ASCII/],
		['NAME="a\tb"\n', /bytes other than printable ASCII/],
		['NAME="a\0b"\n', /bytes other than printable ASCII/],
		['NAME="x"\r\n', /bytes other than printable ASCII/],
		[`# ${"x".repeat(70_000)}\n`, /larger than 64 KiB/],
	])("%j: %s", (text, problem) => {
		if (problem === undefined) expect(ifcfgProblem(text, {})).toBeUndefined();
		else expect(ifcfgProblem(text, {})).toMatch(problem);
	});

	test("must hold what the spec says, whatever else a template adds", () => {
		expect(
			ifcfgProblem('DEVICE="eth1"\nMTU="1400"\n', { DEVICE: "eth1" }),
		).toBeUndefined();
		expect(ifcfgProblem('DEVICE="eth10"\n', { DEVICE: "eth1" })).toBe(
			'DEVICE="eth1" is missing',
		);
		expect(ifcfgProblem("# DEFROUTE\n", { DEFROUTE: "no" })).toBe(
			'DEFROUTE="no" is missing',
		);
	});

	test("NAME holding what the init script evaluates anywhere in a line is refused", () => {
		expect(ifcfgProblem('NAME="x DEVICE=eth9"\n', {})).toMatch(/line 1/);
		expect(ifcfgProblem('NAME="x NM_CONTROLLED=no"\n', {})).toMatch(/line 1/);
	});

	test("whatever text passes holds nothing but plain assignments and comments", () => {
		const near = fc
			.array(
				fc.tuple(
					fc.constantFrom("DEVICE", "NAME", "IPADDR1", "", " A", "a"),
					fc.constantFrom('="', "=", "='", ' ="'),
					fc.string({ unit: fc.constantFrom(...'ab1./$`"\\;\n# é') }),
					fc.constantFrom('"\n', "\n", '"', '" \n'),
				),
			)
			.map((lines) => lines.map((parts) => parts.join("")).join(""));
		fc.assert(
			fc.property(fc.oneof(near, fc.string({ unit: "binary" })), (text) => {
				if (ifcfgProblem(text, {}) === undefined)
					for (const line of text.split("\n")) expect(line).toMatch(plainLine);
			}),
			{ numRuns: 1000 },
		);
	});
});

describe("a route file", () => {
	test.each([
		[
			"192.168.1.0/26 dev eth1 table 1001\ndefault via 192.168.1.1 dev eth1 table 1001\n",
			undefined,
		],
		["throw 172.17.0.0/16 table 1001\n", undefined],
		["192.168.1.0/26 dev eth10 table 1001\n", /lacks `dev eth1`/],
		["192.168.1.0/26 table 1001\n", /lacks `dev eth1`/],
		["10.0.0.0/33 dev eth1\n", /does not begin with a prefix/],
		["ADDRESS0=10.0.0.0\n", /line 1/],
		[
			"default via $(id) dev eth1 table 1001\n",
			/`via \$\(id\)` is not understood/,
		],
		["default via 1.2.3.4 dev eth1;id\n", /line 1/],
		[
			"default via 1.2.3.4 dev eth1 table 1001 garbage 1\n",
			/`garbage 1` is not understood/,
		],
		[
			"default via 1.2.3.4 dev eth1 table main\n",
			/`table main` is not understood/,
		],
		["default via 1.2.3.4 via 1.2.3.5 dev eth1\n", /not words/],
		["default  via 1.2.3.4 dev eth1\n", /not words/],
		["# ADDRESS0=1\n", /evaluated/],
	])("%j: %s", (text, problem) => {
		if (problem === undefined)
			expect(routeProblem(text, "eth1")).toBeUndefined();
		else expect(routeProblem(text, "eth1")).toMatch(problem);
	});
});

describe("a rule file", () => {
	test.each([
		["from 192.168.1.62/32 table 1001 priority 1001\n", undefined],
		["to 10.0.0.0/8 table 1001 priority 1001\n", undefined],
		["from 192.168.1.62/32 table 1001\n", /needs a numeric table and priority/],
		[
			"from 192.168.1.62/32 priority 1001\n",
			/needs a numeric table and priority/,
		],
		["table 1001 priority 1001\n", /names no address/],
		["from all table 1001 priority 1001\n", /names no address/],
		[
			"from 192.168.1.62/32 table main priority 1001\n",
			/`table main` is not understood/,
		],
		["from 192.168.1.62/32 table 1001 priority $(id)\n", /is not understood/],
		[
			"from 192.168.1.62/32 table 1001 priority 1001 iif eth1\n",
			/`iif eth1` is not understood/,
		],
		["from 192.168.1.62/32 table 1001 priority\n", /not words/],
	])("%j: %s", (text, problem) => {
		if (problem === undefined) expect(ruleProblem(text)).toBeUndefined();
		else expect(ruleProblem(text)).toMatch(problem);
	});
});

describe("a block of sysctl.conf", () => {
	test.each([
		["net.ipv4.conf.eth1.rp_filter = 0\n", undefined],
		["net.ipv4.conf.all.rp_filter=0\n", /line 1/],
		["net.ipv4.ip_forward = 0\n", /line 1/],
		["kernel.core_pattern = |/tmp/x\n", /line 1/],
		["net.ipv4.conf.eth1.rp_filter = 0; id\n", /line 1/],
	])("%j: %s", (text, problem) => {
		if (problem === undefined) expect(sysctlProblem(text)).toBeUndefined();
		else expect(sysctlProblem(text)).toMatch(problem);
	});
});

test("hostile text is refused by every grammar, and what it says stays on one line of sane length", () => {
	for (const text of hostile) {
		for (const problem of [
			ifcfgProblem(`NAME="${text}"\n`, {}),
			routeProblem(`${text}\n`, "eth1"),
			ruleProblem(`from ${text} table 1 priority 1\n`),
			sysctlProblem(`${text}\n`),
		]) {
			// Harmless inside quotes, and nowhere else.
			if (problem === undefined) expect(text).toMatch(/^[A-Za-z0-9 ./%]*$/);
			else expect(problem).toMatch(/^[\x20-\x7e]{1,250}$/);
		}
	}
});
