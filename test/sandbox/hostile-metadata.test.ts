import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Answer } from "./programs/protocol";
import { createSandbox, type EniOptions, type Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

const suspect: EniOptions = {
	name: "eth2",
	subnet: "10.0.3.0/24",
	addresses: ["10.0.3.20", "10.0.3.21"],
};
const good: EniOptions = {
	name: "eth3",
	subnet: "10.0.4.0/24",
	addresses: ["10.0.4.20", "10.0.4.21"],
};
const macs = "network/interfaces/macs/";
const configuredMac = "52:54:00:BE:EF:02";
const suspectMac = "52:54:00:BE:EF:03";
const page = "<html><head><title>Log in</title></head><body></body></html>";
const addresses = (count: number) =>
	Array.from({ length: count }, (_, at) => `10.0.${at >> 8}.${at & 255}/`).join(
		"\n",
	);
const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

/** The lines about one NIC on stderr, after the program's name. */
function linesAbout(name: string, stderr: string): string[] {
	const start = `eni-configure: ${name}: `;
	return stderr
		.split("\n")
		.filter((line) => line.startsWith(start))
		.map((line) => line.slice(start.length));
}

/** Runs `--all` in the time that a person would wait, and checks its exit code. */
async function runAll(sandbox: Sandbox, exitCode: number): Promise<string> {
	const start = Date.now();
	const result = await sandbox.agent(["--all"]);
	expect(result.exitCode, result.stdout + result.stderr).toBe(exitCode);
	expect(Date.now() - start).toBeLessThan(16_000);
	return result.stderr;
}

describe("an answer about one ENI that cannot be right", () => {
	let sandbox: Sandbox;
	let before: string;
	beforeAll(async () => {
		sandbox = await createSandbox({ enis: [otherSubnet, suspect] });
		await run(sandbox, ["eth1"]);
		before = await sandbox.snapshot();
	});
	afterAll(() => sandbox.close());
	beforeEach(async () => {
		await sandbox.metadata.clearOverrides();
		await sandbox.metadata.clearRequests();
	});

	/** A new ENI beside the others is configured; once it is removed, everything else is as it was. */
	async function expectHarmless(
		answer: Answer,
		reason: string | RegExp,
	): Promise<void> {
		for (const mac of [configuredMac, suspectMac])
			await sandbox.metadata.override(`${macs}${mac}/local-ipv4s/`, answer);
		await sandbox.plug(good);
		try {
			const stderr = await runAll(sandbox, 4);
			for (const name of ["eth1", "eth2"]) {
				const lines = linesAbout(name, stderr);
				expect(lines, stderr).toHaveLength(1);
				expect(lines[0]).toMatch(reason);
				expect(lines[0]?.length).toBeLessThan(250);
			}
			expect(linesAbout("eth3", stderr)[0]).toMatch(/^applied in /);
			await expectReachable(sandbox, [
				...good.addresses,
				...otherSubnet.addresses,
			]);
		} finally {
			await sandbox.agent(["remove", "eth3"]);
			await sandbox.unplug("eth3");
		}
		expect(await sandbox.snapshot()).toBe(before);
	}

	const cases: [string, Answer, string | RegExp][] = [
		[
			"a body of 10 MB",
			{ body: "10.0.3.20/\n", repeat: 1_000_000 },
			"local-ipv4s/ is larger than 65536 bytes",
		],
		[
			"a body of 10 MB in chunks, without a length",
			{ body: "10.0.3.20/\n", repeat: 1_000_000, chunked: true },
			"local-ipv4s/ is larger than 65536 bytes",
		],
		[
			"a body that drips in",
			{ body: "10.0.3.20/\n10.0.3.21/", dripMs: 150 },
			/local-ipv4s\/ cannot be read from .*: no complete answer within 2000 ms$/,
		],
		[
			"headers that drip in",
			{ raw: `${head}${"X-Y: z\r\n".repeat(100)}`, dripMs: 20 },
			/no complete answer within 2000 ms$/,
		],
		[
			"a chunked body that is cut off between two lines",
			{
				raw: `${head}Transfer-Encoding: chunked\r\n\r\nb\r\n10.0.3.20/\n\r\n`,
			},
			/local-ipv4s\/ cannot be read from .*: the body was cut off$/,
		],
		[
			"a body shorter than its length says",
			{ raw: `${head}Content-Length: 100\r\n\r\n10.0.3.20/\n` },
			/: the body was cut off$/,
		],
		[
			"a redirect",
			{
				status: 302,
				headers: { Location: "http://169.254.0.23/latest/meta-data/trap" },
			},
			"local-ipv4s/ was answered with HTTP status 302",
		],
		[
			"a permanent redirect with a list in its body",
			{ status: 308, headers: { Location: "/trap" }, body: "10.0.3.20/" },
			"local-ipv4s/ was answered with HTTP status 308",
		],
		[
			"500",
			{ status: 500, body: "10.0.3.20/" },
			"local-ipv4s/ was answered with HTTP status 500",
		],
		[
			"200 with HTML",
			{ body: page, headers: { "Content-Type": "text/html" } },
			"local-ipv4s/ is not a list of IPv4 addresses",
		],
		[
			"ten thousand addresses",
			{ body: addresses(10_000) },
			"local-ipv4s/ is larger than 65536 bytes",
		],
		[
			"as many addresses as fit a body",
			{ body: addresses(5000) },
			"local-ipv4s/ lists 5000 addresses, more than the 512 that one NIC can have",
		],
		[
			"compressed bytes that nobody asked for",
			{
				body: "\u001f\u008b\u0008\u0000",
				headers: { "Content-Encoding": "gzip" },
			},
			"local-ipv4s/ holds bytes that are not printable text",
		],
		[
			"an endless header",
			{ raw: `${head}X-Y: ${"z".repeat(100_000)}` },
			/local-ipv4s\/ cannot be read from .*Header overflow/,
		],
		[
			"another protocol",
			{ raw: "SSH-2.0-OpenSSH_7.4\r\n" },
			/local-ipv4s\/ cannot be read from .*Parse Error/,
		],
		[
			"a switch of protocols",
			{
				raw: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
			},
			"local-ipv4s/ cannot be read from ",
		],
		[
			"two lengths",
			{
				raw: `${head}Content-Length: 10\r\nContent-Length: 20\r\n\r\n10.0.3.20/10.0.3.20/`,
			},
			/local-ipv4s\/ cannot be read from .*Parse Error/,
		],
		[
			"a reset",
			{ reset: true },
			/local-ipv4s\/ cannot be read from .*(ECONNRESET|socket hang up)/,
		],
		[
			"silence",
			{ hang: true },
			/local-ipv4s\/ cannot be read from .*: no complete answer within 2000 ms$/,
		],
	];
	it.each(cases)(
		"(%s) costs a configured ENI nothing, a new one waits, and the one beside them is configured",
		async (_, answer, reason) => {
			await expectHarmless(answer, reason);
			const asked = await sandbox.metadata.requests();
			expect(asked.filter(({ path }) => path.includes("trap"))).toEqual([]);
		},
	);
});

describe("a list of MACs that cannot be right", () => {
	it("with a thousand MACs is one line, and those that are there are configured", () =>
		inSandbox(
			{ enis: [otherSubnet, sameSubnetOf("eth2")] },
			async (sandbox) => {
				const many = Array.from(
					{ length: 1000 },
					(_, at) =>
						`52:54:00:0F:${[at >> 8, at & 255].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}/`,
				);
				const own = ["01", "02", "03"].map((end) => `52:54:00:BE:EF:${end}/`);
				await sandbox.metadata.override(macs, {
					body: [...many, ...own].join("\n"),
				});
				const stderr = await runAll(sandbox, 4);
				expect(stderr.trim().split("\n")).toHaveLength(3);
				expect(linesAbout("-", stderr)[0]).toMatch(
					/^the metadata service lists 1000 ENIs without a NIC here: (52:54:00:0f:00:0\d, ){7}52:54:00:0f:00:07 and 992 more$/,
				);
				await expectReachable(sandbox, [
					...otherSubnet.addresses,
					...sameSubnet.addresses,
				]);
			},
		));

	it("with every MAC twice, in both cases, is a list like any other", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const list = ["01", "02"].map((end) => `52:54:00:BE:EF:${end}/`);
			await sandbox.metadata.override(macs, {
				body: [...list.map((mac) => mac.toLowerCase()), ...list].join("\n"),
			});
			await runAll(sandbox, 0);
			await expectReachable(sandbox, otherSubnet.addresses);
		}));

	it.each([
		["is cut off at a newline", { body: "52:54:00:BE:EF:03/\n" }, 0],
		["is cut off in a MAC", { body: "52:54:00:BE:EF:03/\n52:54:00:BE" }, 4],
		["is a login page", { body: page }, 4],
		["is a redirect", { status: 301, headers: { Location: "/trap" } }, 4],
		["is an error", { status: 503 }, 4],
		[
			"is cut off in a chunk",
			{
				raw: `${head}Transfer-Encoding: chunked\r\n\r\n14\r\n52:54:00:BE:EF:03/\n`,
			},
			4,
		],
		["drips in", { body: "52:54:00:BE:EF:03/\n", dripMs: 200 }, 4],
		["is 10 MB", { body: "52:54:00:BE:EF:03/\n", repeat: 500_000 }, 4],
	] as [string, Answer, number][])(
		"and %s costs a configured ENI nothing",
		(_, answer, exitCode) =>
			inSandbox({ enis: [otherSubnet, suspect] }, async (sandbox) => {
				await run(sandbox, ["eth1", "eth2"]);
				const before = await sandbox.snapshot();
				await sandbox.metadata.override(macs, answer);
				await runAll(sandbox, exitCode);
				expect(await sandbox.snapshot()).toBe(before);
				await sandbox.metadata.clearOverrides();
				await sandbox.plug(good);
				await runAll(sandbox, 0);
				await expectReachable(sandbox, [
					...good.addresses,
					...otherSubnet.addresses,
				]);
			}),
	);
});

describe("an ENI that claims what is not its own", () => {
	/** Lets metadata say of eth2 what it likes, and checks that eth1, eth3 and the primary do not notice. */
	async function claim(
		ips: string[],
		details: { gateway?: string; mask?: string },
		exitCode: number,
		reason: string,
	): Promise<void> {
		await inSandbox({ enis: [sameSubnet, suspect, good] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const base = `${macs}${suspectMac}`;
			const lies = {
				[`${base}/primary-local-ipv4`]: ips[0],
				[`${base}/local-ipv4s/`]: ips.map((ip) => `${ip}/`).join("\n"),
				[`${base}/local-ipv4s/${ips[0]}/gateway`]: details.gateway,
				[`${base}/local-ipv4s/${ips[0]}/subnet-mask`]:
					details.mask ?? "255.255.255.0",
			};
			for (const [path, body] of Object.entries(lies))
				if (body !== undefined) await sandbox.metadata.override(path, { body });
			const links = await sandbox.ip("-o", "addr", "show", "eth2");
			const probe = await sandbox.probe("10.0.1.10");
			const stderr = await runAll(sandbox, exitCode);
			expect((await probe.stop()).lost).toBe(0);
			expect(linesAbout("eth2", stderr)).toEqual([
				expect.stringContaining(reason),
			]);
			expect(await sandbox.ip("-o", "addr", "show", "eth2")).toBe(links);
			expect(
				await sandbox.exists("/etc/sysconfig/network-scripts/ifcfg-eth2"),
			).toBe(false);
			await expectReachable(sandbox, [
				"10.0.1.10",
				...sameSubnet.addresses,
				...good.addresses,
			]);
		});
	}

	it("the primary's address", () =>
		claim(
			["10.0.1.10"],
			{ gateway: "10.0.1.1" },
			5,
			"10.0.1.10 stands on eth0",
		));
	it("the primary's gateway", () =>
		claim(
			["10.0.1.1"],
			{ gateway: "10.0.1.2" },
			5,
			"10.0.1.1 is the gateway of eth0, eth1",
		));
	it("the primary as its gateway", () =>
		claim(
			["10.0.1.50"],
			{ gateway: "10.0.1.10" },
			5,
			"its gateway 10.0.1.10 stands on eth0",
		));
	it("a part of the primary's subnet, with its gateway in it", () =>
		claim(
			["10.0.1.50"],
			{ gateway: "10.0.1.2", mask: "255.255.255.192" },
			5,
			"its subnet 10.0.1.0/26 would take 10.0.1.10 away from eth0",
		));
	it("an address of a configured ENI", () =>
		claim(
			["10.0.1.21"],
			{ gateway: "10.0.1.1" },
			5,
			"10.0.1.21 stands on eth1",
		));
	it("the metadata service's address", () =>
		claim(
			["169.254.0.23"],
			{ gateway: "169.254.0.1" },
			4,
			"169.254.0.23 is a link-local address",
		));
	it("everything, by a mask of /0", () =>
		claim(
			["10.0.3.20"],
			{ gateway: "10.0.3.1", mask: "0.0.0.0" },
			4,
			"has a mask of /0",
		));
});

describe("a list of addresses that is cut off at a newline", () => {
	it("takes no address away, with --from-metadata either, and says what is missing", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const before = await sandbox.snapshot();
			await sandbox.metadata.override(`${macs}${configuredMac}/local-ipv4s/`, {
				body: "10.0.2.20/\n",
			});
			for (const args of [["--all"], ["eth1"], ["eth1", "--from-metadata"]]) {
				const result = await sandbox.agent(args);
				expect(result.exitCode, result.stderr).toBe(0);
				expect(result.stderr).toContain(
					"eth1: 10.0.2.22 is no longer listed by the metadata service: kept; --prune removes it",
				);
				expect(await sandbox.snapshot(), args.join(" ")).toBe(before);
			}
			await expectReachable(sandbox, otherSubnet.addresses);
		}));
});

describe("a service that hangs", () => {
	it("on every request ends a run with --all in bounded time, and takes nothing away", () =>
		inSandbox({ enis: [otherSubnet, suspect, good] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const before = await sandbox.snapshot();
			await sandbox.metadata.hang();
			const stderr = await runAll(sandbox, 4);
			expect(stderr).toContain(
				"-: the metadata service: network/interfaces/macs/ cannot be read from",
			);
			expect(await sandbox.snapshot()).toBe(before);
			await sandbox.metadata.up();
			await runAll(sandbox, 0);
			await expectReachable(sandbox, [
				...otherSubnet.addresses,
				...suspect.addresses,
				...good.addresses,
			]);
		}));

	it("on every leaf of one ENI holds up no other", () =>
		inSandbox({ enis: [otherSubnet, suspect, good] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			for (const leaf of [
				"primary-local-ipv4",
				"local-ipv4s/",
				"local-ipv4s/10.0.3.20/gateway",
				"local-ipv4s/10.0.3.20/subnet-mask",
			])
				await sandbox.metadata.override(`${macs}${suspectMac}/${leaf}`, {
					hang: true,
				});
			const start = Date.now();
			const stderr = await runAll(sandbox, 4);
			expect(Date.now() - start).toBeLessThan(6000);
			expect(linesAbout("eth2", stderr)).toHaveLength(1);
			await expectReachable(sandbox, good.addresses);
		}));

	it("on every EIP ends `status` in bounded time, with all NICs and addresses in it", () =>
		inSandbox(
			{
				enis: [
					{
						...otherSubnet,
						addresses: Array.from(
							{ length: 40 },
							(_, at) => `10.0.2.${at + 20}`,
						),
					},
					good,
				],
			},
			async (sandbox) => {
				await run(sandbox, ["--all"]);
				for (let at = 20; at < 60; at += 1)
					await sandbox.metadata.override(
						`${macs}${configuredMac}/local-ipv4s/10.0.2.${at}/public-ipv4`,
						{ hang: true },
					);
				const start = Date.now();
				const result = await sandbox.agent(["status"]);
				expect(Date.now() - start).toBeLessThan(20_000);
				expect(result.exitCode, result.stderr).toBe(0);
				expect(result.stdout).toContain("10.0.2.59/32");
				expect(result.stdout).toContain("10.0.4.21/32");
			},
		));
});

function sameSubnetOf(name: string): EniOptions {
	return { ...sameSubnet, name };
}
