import { expect, test } from "vitest";
import type { HttpResult } from "../../src/system";
import { run } from "./agent";
import { addressesOn, expectUntouched, outcomes } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { type Node, respond, type Tree } from "./metadata";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const mac = "52:54:00:BF:B3:51";

function at(tree: Tree, path: string[]): Tree {
	return path.reduce((node, part) => node[part] as Tree, tree);
}
/** Puts a node into the tree of one ENI; undefined takes it out. */
function put(
	host: FakeHost,
	path: string,
	node: Node | undefined,
	of = mac,
): void {
	const parts = path.split("/");
	const parent = at(host.metadata.tree, [
		"network",
		"interfaces",
		"macs",
		of,
		...parts.slice(0, -1),
	]);
	const leaf = parts.at(-1) as string;
	if (node === undefined) delete parent[leaf];
	else parent[leaf] = node;
}
const trouble = (result: HttpResult) => (host: FakeHost) => {
	host.metadata.trouble = result;
};

const general: [string, (host: FakeHost) => void][] = [
	["answers nothing but 404", trouble(respond(404, "not found"))],
	["answers 500", trouble(respond(500, "oops"))],
	["redirects", trouble(respond(302, ""))],
	[
		"times out",
		trouble({
			kind: "failed",
			reason: "no complete answer within 2000 ms",
			reset: false,
		}),
	],
	[
		"resets every connection",
		trouble({ kind: "failed", reason: "ECONNRESET", reset: true }),
	],
	["answers with an endless body", trouble({ kind: "too-large" })],
	["answers with nothing", trouble(respond(200, ""))],
	["answers `not available`", trouble(respond(200, "not available"))],
	[
		"answers with a login page",
		trouble(respond(200, "<html>please log in</html>")),
	],
	["answers with binary", trouble(respond(200, "\u0000\u0001"))],
	[
		"lists no MAC",
		(host) => {
			at(host.metadata.tree, ["network", "interfaces"]).macs = {};
		},
	],
	[
		"lists the MAC no more",
		(host) => {
			delete at(host.metadata.tree, ["network", "interfaces", "macs"])[mac];
		},
	],
	["has an empty list of addresses", (host) => put(host, "local-ipv4s", "")],
	[
		"has a list of addresses with a cut-off line",
		(host) => put(host, "local-ipv4s", "10.0.2.62/\n10.0.2.6\n10.0."),
	],
	["has no list of addresses", (host) => put(host, "local-ipv4s", undefined)],
	[
		"has an address outside the subnet in the list",
		(host) => put(host, "local-ipv4s/10.9.9.9", {}),
	],
];
const forNewcomers: typeof general = [
	[
		"has no primary address yet",
		(host) => put(host, "primary-local-ipv4", undefined),
	],
	[
		"says the primary address is `not available`",
		(host) => put(host, "primary-local-ipv4", "not available"),
	],
	[
		"names a primary address that is not in its list",
		(host) => {
			put(host, "local-ipv4s/10.0.2.99", {
				gateway: "10.0.2.1",
				"subnet-mask": "255.255.255.0",
			});
			put(host, "local-ipv4s/", "10.0.2.62/\n10.0.2.63/");
			put(host, "primary-local-ipv4", "10.0.2.99");
		},
	],
	[
		"has no gateway yet",
		(host) => put(host, "local-ipv4s/10.0.2.62/gateway", undefined),
	],
	[
		"has a gateway in another subnet",
		(host) => put(host, "local-ipv4s/10.0.2.62/gateway", "10.0.3.1"),
	],
	[
		"has a gateway of 0",
		(host) => put(host, "local-ipv4s/10.0.2.62/gateway", "0"),
	],
	[
		"has a mask with holes",
		(host) => put(host, "local-ipv4s/10.0.2.62/subnet-mask", "255.0.255.0"),
	],
	[
		"has a mask of 0.0.0.0",
		(host) => put(host, "local-ipv4s/10.0.2.62/subnet-mask", "0.0.0.0"),
	],
];

test.each([...general, ...forNewcomers])(
	"a new NIC waits while metadata %s",
	async (_, spoil) => {
		const host = await createFakeHost({ enis: [eth1] });
		spoil(host);
		const before = host.snapshot();
		const named = await run(host, "configure", "eth1");
		expectUntouched(host, named, before, 4);
		expect(named.outcome).toBe("pending");
		expect(named.interfaces[0]?.reason).toBeTruthy();
	},
);

test.each(general)(
	"a configured NIC keeps everything, even with --prune, while metadata %s",
	async (_, spoil) => {
		const host = await createFakeHost({ enis: [eth1] });
		await run(host, "configure", "eth1");
		const before = host.snapshot();
		spoil(host);
		expectUntouched(
			host,
			await run(host, "configure", "eth1", { prune: true }),
			before,
			4,
		);
		const all = await run(host, "configure", "", { all: true, prune: true });
		expect(host.snapshot()).toBe(before);
		expect([0, 4]).toContain(all.exitCode);
		host.metadata.trouble = undefined;
	},
);

test("one ENI that is not settled delays no other", async () => {
	const host = await createFakeHost({
		enis: [eth1, { name: "eth2", addresses: ["10.0.3.62"] }],
	});
	put(host, "local-ipv4s/10.0.2.62/gateway", undefined);
	const all = await run(host, "configure", "", { all: true });
	expect(all.exitCode).toBe(4);
	expect(outcomes(all)).toMatchObject({ eth1: "pending", eth2: "applied" });
	expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
	expect(addressesOn(host, "eth1")).toEqual([]);
});

test("--wait configures a NIC as soon as its metadata settles", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const ready = host.clock.nowMs() + 3000;
	put(host, "local-ipv4s/10.0.2.62/gateway", () =>
		host.clock.nowMs() < ready ? respond(404, "") : respond(200, "10.0.2.1"),
	);
	const waited = await run(host, "configure", "eth1", { wait: true });
	expect({ outcome: waited.outcome, exitCode: waited.exitCode }).toEqual({
		outcome: "applied",
		exitCode: 0,
	});
	expect(host.clock.nowMs() - ready).toBeLessThan(4000);
});

test("--wait gives up after its time-out and leaves the NIC as it was", async () => {
	const host = await createFakeHost({ enis: [{ ...eth1, listed: false }] });
	const [before, start] = [host.snapshot(), host.clock.nowMs()];
	expectUntouched(
		host,
		await run(host, "configure", "eth1", { wait: true, "wait-timeout": "20" }),
		before,
		4,
	);
	expect(host.clock.nowMs() - start).toBeGreaterThanOrEqual(20_000);
	expect(host.clock.nowMs() - start).toBeLessThan(25_000);
});

test("addresses by flags need no metadata", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.metadata.trouble = respond(500, "");
	const flagged = await run(host, "configure", "eth1", {
		address: "192.168.1.62/26",
		gateway: "192.168.1.1",
	});
	expect(flagged.outcome).toBe("applied");
	expect(host.metadata.requests).toEqual([]);
});

test("a second look costs no more requests than the list of addresses", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	await run(host, "configure", "eth1");
	host.metadata.requests.length = 0;
	await run(host, "configure", "eth1");
	expect([...host.metadata.requests].sort()).toEqual([
		"instance-id",
		"network/interfaces/macs/",
		`network/interfaces/macs/${mac}/local-ipv4s/`,
	]);
});

test("a connection reset once is asked again", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	let resets = 1;
	put(host, "primary-local-ipv4", () =>
		resets-- > 0
			? { kind: "failed", reason: "ECONNRESET", reset: true }
			: respond(200, "10.0.2.62"),
	);
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
});
