import { describe, expect, test } from "vitest";
import { run } from "./agent";
import {
	addressesOn,
	expectUntouched,
	linkText,
	outcomes,
	policyRules,
	scripts,
} from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["192.168.1.62", "192.168.1.61"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.20"] };
const templates = "/etc/eni-configure/templates";
const ifcfg = `${scripts}/ifcfg-eth1`;

describe("NICs with odd names", () => {
	const names = [
		...["$(reboot)", ";reboot", 'a"b', "#x", "-all", "\x1b[31m", "eth1;", "é1"],
		...["eth1.bak", "eth1~", "a\\b", "table", "via", "dev", "eth0-range1"],
	];

	test.each(names)(
		"%j is left alone, and eth1 is configured beside it",
		async (name) => {
			const host = await createFakeHost({ enis: [eth1] });
			host.addLink({ name, mac: "52:54:00:66:66:66" });
			const before = linkText(host, name);
			const report = await run(host, "configure", "", { all: true });
			expect(outcomes(report)).toMatchObject({ eth1: "applied" });
			expect(addressesOn(host, "eth1")).toHaveLength(2);
			expect(linkText(host, name)).toBe(before);
			for (const path of host.disk.list("/etc"))
				expect(path).toMatch(/^[A-Za-z0-9/._-]+$/);
			expect(host.read("/etc/sysctl.conf")?.content).not.toContain(name);
		},
	);
});

describe("what is no regular file in place of ifcfg-eth1", () => {
	test.each([
		["a directory", (host: FakeHost) => host.disk.fs.mkdirSync(ifcfg)],
		[
			"a link elsewhere",
			(host: FakeHost) => {
				host.write("/etc/precious", "DEVICE=eth1\n");
				host.disk.fs.symlinkSync("/etc/precious", ifcfg);
			},
		],
		[
			"more than 64 KiB",
			(host: FakeHost) => host.write(ifcfg, "#\n".repeat(40_000)),
		],
	])(
		"%s holds eth1 with a reason, and with --force the others are configured all the same",
		async (_, place) => {
			const host = await createFakeHost({ enis: [eth1, eth2] });
			place(host);
			const before = host.snapshot();
			for (const force of [false, true]) {
				const held = await run(host, "configure", "eth1", { force });
				expectUntouched(host, held, before, 5);
				expect(held.interfaces[0]?.reason).toContain(`${ifcfg} `);
				expect(held.interfaces[0]?.reason).toContain("move it away");
			}
			const both = await run(host, "configure", "", { all: true, force: true });
			expect(both.exitCode).toBe(5);
			expect(outcomes(both)).toMatchObject({
				eth1: "refused",
				eth2: "applied",
			});
			expect(addressesOn(host, "eth1")).toEqual([]);
			expect(policyRules(host)).toEqual(["1002 from 10.0.3.20 lookup 1002"]);
		},
	);
});

test("a file of shell and odd bytes is held, copied byte for byte by --force, and given back", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	const bytes = Array.from({ length: 256 }, (_, at) => String.fromCharCode(at));
	const content = `NAME="x DEVICE=$(reboot)"\n\`reboot\`\ncat <<END\n${bytes.join("")}\n"'`;
	host.write(ifcfg, content, { mode: 0o600, uid: 5, gid: 6 });
	const before = host.snapshot();
	expectUntouched(host, await run(host, "configure", "eth1"), before, 5);
	await run(host, "configure", "eth1", { force: true });
	expect(host.read("/var/lib/eni-configure/backup/ifcfg-eth1")?.content).toBe(
		content,
	);
	await run(host, "remove", "eth1");
	expect(host.snapshot()).toBe(before);
});

test.each([
	[
		"that loops without end",
		`${"{{#each @root.sources}}".repeat(8)}x${"{{/each}}".repeat(8)}`.repeat(
			50,
		),
	],
	["with a partial of itself", '{{#*inline "a"}}{{> a}}{{/inline}}{{> a}}'],
	["that says a word to the console", "{{log name}}"],
	["with a misspelt list", "{{#each sorces}}{{/each}}"],
	["that renders shell", "$(reboot)"],
])("a template %s: exit 2 with its name, nothing touched", async (_, text) => {
	const host = await createFakeHost({ enis: [eth1] });
	host.write(`${templates}/rule.hbs`, `${text}\n`);
	const before = host.snapshot();
	const refused = await run(host, "configure", "eth1");
	expectUntouched(host, refused, before, 2);
	expect(refused.error).toContain(`${templates}/rule.hbs`);
});
