import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SysctlSetting } from "../../src/render.js";
import {
	contradictions,
	editSysctlConf,
	stripSysctlConf,
} from "../../src/sysctl-conf.js";
import { casesIn, readFixture, renderer } from "./given.js";

const settings: SysctlSetting[] = ["default", "all", "eth1"].map((link) => ({
	link,
	leaf: "rp_filter",
	value: "0",
}));
const edit = (content: string | undefined, wanted = settings) =>
	editSysctlConf(content, wanted, renderer.sysctl(wanted));

// What sysctl makes of a file: the last line for a key wins.
function effective(content: string): Record<string, string> {
	const pairs = content.split("\n").flatMap((line) => {
		const match = /^\s*-?\s*(net[./]ipv4[./]conf[./]\S+?)\s*=\s*(\S*)\s*$/.exec(
			line,
		);
		return match?.[1] ? [[match[1].replaceAll("/", "."), match[2] ?? ""]] : [];
	});
	return Object.fromEntries(pairs);
}

describe.each(casesIn("sysctl-conf"))("/etc/sysctl.conf: %s", (name) => {
	const before = existsSync(
		join(__dirname, "../../fixtures/sysctl-conf", name, "before.conf"),
	)
		? readFixture("sysctl-conf", name, "before.conf")
		: undefined;
	const after = readFixture("sysctl-conf", name, "after.conf");

	test("is edited as expected", () => {
		expect(edit(before)).toBe(after);
	});

	test("is left alone the second time", () => {
		expect(edit(after)).toBe(after);
	});

	test("comes back byte for byte", () => {
		expect(stripSysctlConf(after)).toBe(before);
		expect(editSysctlConf(after, [], "")).toBe(before);
	});

	test("gives rp_filter 0 when it is read", () => {
		expect(effective(after)).toMatchObject({
			"net.ipv4.conf.all.rp_filter": "0",
			"net.ipv4.conf.default.rp_filter": "0",
			"net.ipv4.conf.eth1.rp_filter": "0",
		});
	});
});

const line = fc.oneof(
	{
		weight: 3,
		arbitrary: fc.constantFrom(
			"net.ipv4.conf.all.rp_filter = 1",
			"net.ipv4.conf.all.rp_filter=0",
			"net/ipv4/conf/eth1/rp_filter = 2",
			"- net.ipv4.conf.default.rp_filter=1",
			"net.ipv4.conf.eth1.arp_ignore = 0",
			"# x",
			"",
			"\xe9\xff",
			"vm.swappiness = 0",
		),
	},
	{
		weight: 1,
		arbitrary: fc
			.uint8Array({ maxLength: 30 })
			.map((bytes) => String.fromCharCode(...bytes)),
	},
);
const anyFile = fc
	.tuple(
		fc.array(fc.tuple(line, fc.constantFrom("\n", "\n", "\r\n", " \n")), {
			maxLength: 12,
		}),
		line,
	)
	.map(([lines, last]) => lines.map((pair) => pair.join("")).join("") + last);

describe("any file at all", () => {
	test("comes back byte for byte once our marks are taken off", () => {
		fc.assert(
			fc.property(anyFile, (content) => {
				expect(stripSysctlConf(edit(content))).toBe(content);
			}),
			{ numRuns: 1000 },
		);
	});

	test("is not changed by the same edit again", () => {
		fc.assert(
			fc.property(anyFile, (content) => {
				const once = edit(content);
				expect(edit(once)).toBe(once);
			}),
			{ numRuns: 500 },
		);
	});

	test("comes back whatever number of ENIs came and went in between", () => {
		const names = fc.uniqueArray(fc.constantFrom("eth1", "eth2", "eth10"), {
			maxLength: 3,
		});
		fc.assert(
			fc.property(
				fc.option(anyFile, { nil: undefined }),
				fc.array(fc.tuple(names, fc.constantFrom("0", "1", "2")), {
					maxLength: 6,
				}),
				(content, rounds) => {
					let now = content;
					for (const [links, value] of rounds) {
						const wanted =
							links.length === 0
								? []
								: ["all", ...links].map((link) => ({
										link,
										leaf: "rp_filter",
										value,
									}));
						now = edit(now, wanted);
					}
					expect(stripSysctlConf(now)).toBe(content);
				},
			),
			{ numRuns: 500 },
		);
	});

	test("ends up meaning what was wanted", () => {
		fc.assert(
			fc.property(anyFile, (content) => {
				expect(effective(edit(content) ?? "")).toMatchObject({
					"net.ipv4.conf.all.rp_filter": "0",
					"net.ipv4.conf.eth1.rp_filter": "0",
				});
			}),
		);
	});

	test("keeps every line it had, at most commented out", () => {
		fc.assert(
			fc.property(anyFile, (content) => {
				const after = (edit(content) ?? "").split("\n");
				for (const one of content.split("\n"))
					expect(
						after.some(
							(other) =>
								other === one ||
								other === `# disabled by eni-configure: ${one}`,
						),
					).toBe(true);
			}),
		);
	});
});

describe("lines that come after our block", () => {
	const mine = "net.ipv4.conf.all.rp_filter = 1\n";

	test("are the user's: they stay where they are, through an edit and a removal", () => {
		const edited = `${edit("vm.swappiness = 0\n")}${mine}`;
		expect(edit(edited)).toBe(edited);
		expect(stripSysctlConf(edited)).toBe(`vm.swappiness = 0\n${mine}`);
	});

	test("survive in a file that we created", () => {
		expect(stripSysctlConf(`${edit(undefined)}${mine}`)).toBe(mine);
	});

	test("are named when they contradict, with what they say and where", () => {
		expect(
			contradictions(
				`${edit("")}${mine}net.ipv4.conf.eth1.rp_filter = 0\nnet.ipv4.conf.eth10.rp_filter = 2\n`,
				[],
				settings,
			),
		).toEqual([
			{
				path: "/etc/sysctl.conf",
				key: "net.ipv4.conf.all.rp_filter",
				want: "0",
				got: "1",
			},
		]);
	});

	test("count in files that are read later, too", () => {
		const later = [
			{
				path: "/etc/sysctl.d/zz.conf",
				content:
					"net/ipv4/conf/eth1/rp_filter = 1\n# net.ipv4.conf.all.rp_filter = 1\n",
			},
		];
		expect(contradictions(edit(""), later, settings)).toEqual([
			{
				path: "/etc/sysctl.d/zz.conf",
				key: "net.ipv4.conf.eth1.rp_filter",
				want: "0",
				got: "1",
			},
		]);
	});
});

test("an earlier line that says otherwise is no contradiction: our block comes later", () => {
	expect(
		contradictions(edit("net.ipv4.conf.all.rp_filter = 1\n"), [], settings),
	).toEqual([]);
});

test("a wildcard line that a later systemd reads is not mistaken for a link's", () => {
	const content = "net.ipv4.conf.*.rp_filter = 1\n";
	expect(edit(content)?.startsWith(content)).toBe(true);
});

test("a block that somebody damaged does not swallow the lines behind it", () => {
	const edited = edit("vm.swappiness = 0\n") ?? "";
	const damaged = `${edited.replace("# eni-configure end\n", "")}kernel.pid_max = 65535\n`;
	expect(stripSysctlConf(edit(damaged))).toContain("kernel.pid_max = 65535\n");
	expect(effective(edit(damaged) ?? "")).toMatchObject({
		"net.ipv4.conf.all.rp_filter": "0",
	});
});
