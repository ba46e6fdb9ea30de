import fc from "fast-check";
import { expect, test } from "vitest";
import { fetchCloud } from "../../src/observe/metadata";
import { emptyState } from "../../src/state";
import type { HttpResult } from "../../src/system";
import { run } from "./agent";
import { addressesOn, linkText, outcomes, scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { type Answer, type Node, respond, type Tree } from "./metadata";

const eight = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({
	name: `eth${number}`,
	addresses: [`10.0.${number + 1}.62`, `10.0.${number + 1}.63`],
}));
const url = "http://169.254.0.23/latest/meta-data";
const hang = (): Answer => "hang";

/** The tree of one ENI, to be spoilt. */
function treeOf(host: FakeHost, name: string): Tree {
	const mac = host.kernel.link(name)?.mac.toUpperCase() ?? "";
	const macs = ["network", "interfaces", "macs", mac];
	return macs.reduce((node, part) => node[part] as Tree, host.metadata.tree);
}

/** Puts one node in the place of all gateways, masks and EIPs of an ENI. */
function spoilDetails(host: FakeHost, name: string, node: Node): void {
	const list = treeOf(host, name)["local-ipv4s"] as Tree;
	for (const details of Object.values(list) as Tree[])
		for (const leaf of Object.keys(details)) details[leaf] = node;
}

async function took(host: FakeHost, work: () => Promise<unknown>) {
	const start = host.clock.nowMs();
	await work();
	return host.clock.nowMs() - start;
}

test("a service that hangs on every request costs no more than 15 s, and the reason says so", async () => {
	const host = await createFakeHost({ enis: eight });
	const before = host.snapshot();
	host.metadata.trouble = "hang";
	const ms = await took(host, async () => {
		const all = await run(host, "configure", "", { all: true });
		expect(all.exitCode).toBe(4);
		expect(all.interfaces.at(-1)?.reason).toMatch(
			/^the metadata service: network\/interfaces\/macs\/ cannot be read from /,
		);
	});
	expect(ms).toBeLessThanOrEqual(15_000);
	expect(host.snapshot()).toBe(before);
});

test("seven ENIs whose gateways and masks hang do not keep the eighth from being configured", async () => {
	const host = await createFakeHost({ enis: eight });
	for (const { name } of eight.slice(0, 7)) spoilDetails(host, name, hang);
	const ms = await took(host, async () => {
		const all = await run(host, "configure", "", { all: true });
		expect(all.exitCode).toBe(4);
		expect(outcomes(all)).toMatchObject({ eth1: "pending", eth8: "applied" });
	});
	expect(ms).toBeLessThanOrEqual(15_500);
	expect(addressesOn(host, "eth8")).toEqual(["10.0.9.62/24", "10.0.9.63/32"]);
});

test("EIPs that hang, one for every address, cost no ENI its description and no more than 15 s", async () => {
	const host = await createFakeHost({
		enis: [
			{
				name: "eth1",
				addresses: Array.from({ length: 200 }, (_, at) => `10.0.2.${at + 10}`),
			},
			{ name: "eth2", addresses: ["10.0.3.62"] },
		],
	});
	const details = treeOf(host, "eth1")["local-ipv4s"] as Tree;
	for (const one of Object.values(details) as Tree[]) one["public-ipv4"] = hang;
	const macs = ["eth1", "eth2"].map(
		(name) => host.kernel.link(name)?.mac ?? "",
	);
	const ms = await took(host, async () => {
		const cloud = await fetchCloud(host.system, [url], emptyState(), {
			macs,
			primaryAddresses: false,
			publicIps: true,
		});
		expect(Object.values(cloud.enis).map(({ state }) => state)).toEqual([
			"ok",
			"ok",
		]);
		expect(cloud.requests).toBeLessThan(60);
	});
	expect(ms).toBeGreaterThan(14_000);
	expect(ms).toBeLessThanOrEqual(15_000);
});

test("what is asked after the time is used up fails at once with a clear reason", async () => {
	const many = Array.from(
		{ length: 30 },
		(_, at) => `52:54:00:aa:00:${at + 10}`,
	);
	const host = await createFakeHost({ enis: eight });
	host.metadata.tree.network = {
		interfaces: {
			macs: Object.fromEntries(
				many.map((mac) => [
					mac,
					{ "local-ipv4s": hang, "primary-local-ipv4": hang },
				]),
			),
		},
	};
	const cloud = await fetchCloud(host.system, [url], emptyState(), {
		macs: many,
		primaryAddresses: false,
		publicIps: false,
	});
	const last = cloud.enis[many.at(-1) ?? ""];
	expect(last).toEqual({
		state: "error",
		reason: `local-ipv4s/ cannot be read from ${url}: the 15 s that all reads together may take are used up`,
	});
	expect(host.metadata.requests.length).toBeLessThan(40);
});

const bodies: HttpResult[] = [
	respond(200, "$(reboot)"),
	respond(200, '10.0.2.62";reboot;"'),
	respond(200, "10.0.2.62\nONBOOT=no"),
	respond(200, "10.0.2.62/\n10.0.2.63/\n`reboot`/"),
	respond(200, "<html>please log in</html>"),
	respond(200, "x".repeat(10 * 1024 * 1024)),
	respond(302, ""),
	respond(500, "oops"),
	respond(200, "0.0.0.0"),
	respond(200, "127.0.0.1"),
	respond(200, "224.0.0.1"),
	respond(200, "169.254.0.23"),
	respond(200, "255.255.255.128"),
	respond(200, "10.0.1.1"),
	respond(200, "10.0.1.10"),
	respond(200, "10.0.2.62/\n"),
	{ kind: "failed", reason: "the body was cut off", reset: false },
];
const answer = fc.oneof(
	fc.constantFrom(...bodies),
	fc
		.uint8Array({ maxLength: 40 })
		.map((body): HttpResult => ({ kind: "response", status: 200, body })),
);
const lies = fc.record(
	{
		"primary-local-ipv4": answer,
		"local-ipv4s": answer,
		details: answer,
	},
	{ requiredKeys: [] },
);

/** What the agent wrote for a NIC and every command it gave, but for plain words. */
function oddWords(host: FakeHost): string[] {
	const files = host.disk
		.list(scripts)
		.filter((path) => /-eth[1-9]$/.test(path))
		.flatMap((path) => (host.read(path)?.content ?? "").split("\n").slice(2));
	const commands = host.operations
		.list()
		.filter(({ kind }) => kind === "command" || kind === "ip")
		.map(({ target }) => target);
	return [
		...files.filter(
			(line) =>
				!/^([A-Z][A-Z0-9_]*="[A-Za-z0-9.:]*"|#[A-Za-z0-9 ;:.,-]*|[a-z0-9./ ]*)$/.test(
					line,
				),
		),
		...commands.filter((words) => !/^[A-Za-z0-9./:+ -]+$/.test(words)),
	];
}

test("hostile answers about one NIC, carried out to the end: it keeps all it had, its neighbour is configured", {
	timeout: 120_000,
}, async () => {
	await fc.assert(
		fc.asyncProperty(lies, fc.boolean(), async (about, isConfigured) => {
			const host = await createFakeHost({ enis: eight.slice(0, 2) });
			if (isConfigured) await run(host, "configure", "eth1");
			const before = linkText(host, "eth1");
			const primary = linkText(host, "eth0");
			const tree = treeOf(host, "eth1");
			for (const leaf of ["primary-local-ipv4", "local-ipv4s"] as const) {
				const node = about[leaf];
				if (node) tree[leaf] = () => node;
			}
			const { details } = about;
			if (details && !about["local-ipv4s"])
				spoilDetails(host, "eth1", () => details);
			const all = await run(host, "configure", "", { all: true });
			expect(all.error).toBeUndefined();
			expect([0, 4, 5]).toContain(all.exitCode);
			expect(addressesOn(host, "eth2")).toEqual([
				"10.0.3.62/24",
				"10.0.3.63/32",
			]);
			if (isConfigured) expect(linkText(host, "eth1")).toBe(before);
			expect(linkText(host, "eth0")).toBe(primary);
			expect(oddWords(host)).toEqual([]);
		}),
		{ numRuns: 150 },
	);
});
