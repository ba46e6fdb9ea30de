import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { agentBundle } from "./paths";
import { createSandbox, type Sandbox } from "./sandbox";
import { inSandbox, otherSubnet, run, sameSubnet } from "./scenario";

/** The one line about it on stderr, after the program's name. */
async function complaint(
	sandbox: Sandbox,
	args: string[],
	exitCode: number,
	env: Record<string, string> = {},
): Promise<string> {
	const result = await sandbox.agent(args, { env });
	expect(result.exitCode, result.stdout + result.stderr).toBe(exitCode);
	const lines = result.stderr
		.trim()
		.split("\n")
		.filter((line) => line.startsWith("eni-configure: "));
	expect(lines, result.stderr).toHaveLength(1);
	return lines[0]?.slice("eni-configure: ".length) ?? "";
}

describe("bad input gets one clear line and leaves the machine as it was", () => {
	let sandbox: Sandbox;
	let before: string;
	beforeAll(async () => {
		sandbox = await createSandbox({ enis: [sameSubnet] });
		await sandbox.guest([
			"bash",
			"-ec",
			`ip link add vethab12 type veth peer name vethab13
			ip link add bond0 type bridge && ip link add port0 type veth peer name port1 && ip link set port0 master bond0
			ip link add tun7 type veth peer name tun8`,
		]);
		before = await sandbox.snapshot("/etc/eni-configure");
	});
	afterAll(() => sandbox.close());
	beforeEach(async () => {
		await sandbox.metadata.clearOverrides();
		await sandbox.metadata.up();
	});

	it.each([
		[
			"a NIC that is not there",
			["eth7"],
			2,
			"eth7: there is no such NIC: the machine has",
		],
		[
			"a name that an exclusion matches",
			["vethab12"],
			2,
			"vethab12: is excluded by the name pattern veth*",
		],
		["a port of a bond or bridge", ["port0"], 2, "port0: is a port of bond0"],
		["a bridge", ["bond0"], 2, "bond0: is a bridge, not a NIC"],
		["the loopback", ["lo"], 2, "lo: is the loopback"],
		[
			"the primary",
			["eth0"],
			5,
			"eth0: carries the machine's default route: the primary is never touched",
		],
		["no NIC at all", ["--json"], 2, "no NIC is named"],
		["--all with a name", ["--all", "eth1"], 2, "--all and eth1"],
		[
			"an unknown option",
			["eth1", "--frobnicate"],
			2,
			"Unknown argument: frobnicate",
		],
		[
			"a scalar given twice",
			["eth1", "--restart", "auto", "--restart", "none"],
			2,
			"--restart is given 2 times",
		],
		[
			"a value that is none of the known",
			["eth1", "--restart", "sometimes"],
			2,
			'--restart: "sometimes" is not one of auto, interface, service, none',
		],
		[
			"an rp_filter of 3",
			["eth1", "--rp-filter", "3"],
			2,
			'--rp-filter: "3" is not one of 0, 1, 2',
		],
		[
			"a time that is none",
			["eth1", "--wait-timeout", "soon"],
			2,
			'--wait-timeout: "soon" is not a number of seconds',
		],
		[
			"a NIC name with shell in it",
			["$(touch /tmp/x)"],
			2,
			'"$(touch /tmp/x)" is not a NIC name',
		],
		[
			"a mask that is not contiguous",
			[
				"eth1",
				"--address",
				"10.0.1.20",
				"--netmask",
				"255.0.255.0",
				"--gateway",
				"10.0.1.1",
			],
			2,
			"--netmask",
		],
		[
			"a gateway outside the subnet",
			["eth1", "--address", "10.0.1.20/24", "--gateway", "10.0.2.1"],
			2,
			"--gateway: 10.0.2.1 lies outside the subnet 10.0.1.0/24",
		],
		[
			"the network address",
			["eth1", "--address", "10.0.1.0/24", "--gateway", "10.0.1.1"],
			2,
			"--address: 10.0.1.0 is the network address of 10.0.1.0/24",
		],
		[
			"the broadcast address",
			["eth1", "--address", "10.0.1.255/24", "--gateway", "10.0.1.1"],
			2,
			"--address: 10.0.1.255 is the broadcast address",
		],
		[
			"shell in an address",
			["eth1", "--address", "$(touch /tmp/x)/24", "--gateway", "10.0.1.1"],
			2,
			"--address",
		],
		[
			"a newline in a gateway",
			["eth1", "--address", "10.0.1.20/24", "--gateway", "10.0.1.1\nDEVICE=x"],
			2,
			'--gateway: "10.0.1.1\\nDEVICE=x" is not an IPv4 address',
		],
		[
			"an address without gateway",
			["eth1", "--address", "10.0.1.20/24"],
			2,
			"--gateway: missing",
		],
		[
			"a gateway without address",
			["eth1", "--gateway", "10.0.1.1"],
			2,
			"--gateway goes with --address",
		],
		[
			"an address for two NICs",
			["eth1", "eth2", "--address", "10.0.1.20/24", "--gateway", "10.0.1.1"],
			2,
			"--address goes with exactly one NIC",
		],
		[
			"an address that stands on the primary",
			["eth1", "--address", "10.0.1.10/24", "--gateway", "10.0.1.1"],
			5,
			"eth1: 10.0.1.10 stands on eth0",
		],
		[
			"a metadata address with a user in it",
			["eth1", "--metadata-url", "http://root@10.0.0.1/"],
			2,
			"--metadata-url",
		],
		[
			"a config file that is not there",
			["eth1", "--config", "/etc/none.yaml"],
			2,
			"/etc/none.yaml: there is no such file",
		],
	])("%s", async (_, args, exitCode, expected) => {
		expect(await complaint(sandbox, args, exitCode)).toContain(expected);
		expect(await sandbox.snapshot("/etc/eni-configure")).toBe(before);
	});

	it.each([
		[
			"a VLAN or other link on top of a NIC",
			"ip link add link eth1 name eth1v type macvlan",
			"eth1v",
			"eth1v: stands on eth1",
		],
	])("%s", async (_, command, name, expected) => {
		const made = await sandbox.guest(["bash", "-c", command]);
		expect(made.exitCode, made.stderr).toBe(0);
		expect(await complaint(sandbox, [name], 2)).toContain(expected);
		await sandbox.ip("link", "del", name);
	});

	it.each([
		[
			"metadata that cannot be reached",
			{ refuse: true },
			"the metadata service: network/interfaces/macs/ cannot be read from",
		],
		[
			"a MAC that metadata does not list",
			{ path: "network/interfaces/macs/", body: "52:54:00:BE:EF:01/" },
			"does not list its MAC 52:54:00:be:ef:02",
		],
		[
			"a primary address that is not available yet",
			{ leaf: "primary-local-ipv4", body: "not available" },
			"primary-local-ipv4 is not available yet",
		],
		[
			"a mask that is not contiguous",
			{ leaf: "local-ipv4s/10.0.1.20/subnet-mask", body: "255.0.255.0" },
			'subnet-mask "255.0.255.0" is not a contiguous IPv4 mask',
		],
		[
			"a gateway outside the subnet",
			{ leaf: "local-ipv4s/10.0.1.20/gateway", body: "10.0.2.1" },
			"gateway 10.0.2.1 lies outside the subnet 10.0.1.0/24",
		],
		[
			"a list with a broadcast address",
			{ leaf: "local-ipv4s/", body: "10.0.1.20/\n10.0.1.255/" },
			"local-ipv4s/ lists 10.0.1.255, which is the broadcast address",
		],
		[
			"shell in a leaf",
			{ leaf: "local-ipv4s/10.0.1.20/gateway", body: "$(touch /tmp/x)" },
			'gateway "$(touch /tmp/x)" is not an IPv4 address',
		],
		[
			"NUL in a leaf",
			{ leaf: "local-ipv4s/10.0.1.20/gateway", body: "10.0.1.1\0" },
			"gateway holds bytes that are not printable text",
		],
		[
			"quotes and a newline in a list",
			{ leaf: "local-ipv4s/", body: '10.0.1.20/\n"\nDEVICE=x' },
			"local-ipv4s/ is not a list of IPv4 addresses",
		],
		[
			"HTML",
			{
				path: "network/interfaces/macs/",
				body: "<html><body>login</body></html>",
			},
			"network/interfaces/macs/ is not a list of MAC addresses",
		],
		[
			"a redirect",
			{ path: "network/interfaces/macs/", status: 302 },
			"was answered with HTTP status 302",
		],
		[
			"an error of the service",
			{ path: "network/interfaces/macs/", status: 500 },
			"was answered with HTTP status 500",
		],
		[
			"a body of a megabyte",
			{ leaf: "local-ipv4s/", body: "10.0.1.20/\n".repeat(100_000) },
			"is larger than 65536 bytes",
		],
	])(
		"metadata: %s",
		async (_, fault: {
			refuse?: boolean;
			path?: string;
			leaf?: string;
			body?: string;
			status?: number;
		}, expected) => {
			const path =
				fault.path ?? `network/interfaces/macs/52:54:00:BE:EF:02/${fault.leaf}`;
			if (fault.refuse) await sandbox.metadata.refuse();
			else {
				await sandbox.metadata.override(path, {
					...(fault.body === undefined ? {} : { body: fault.body }),
					...(fault.status === undefined ? {} : { status: fault.status }),
				});
			}
			expect(
				await complaint(
					sandbox,
					["eth1", "--metadata-url", sandbox.metadata.url],
					4,
				),
			).toContain(expected);
			expect(await sandbox.snapshot("/etc/eni-configure")).toBe(before);
			expect((await sandbox.guest(["ls", "/tmp/x"])).exitCode).not.toBe(0);
		},
	);

	it.each([
		["text that is no YAML", "restart: [", "line 1"],
		[
			"an unknown key",
			"restrat: auto",
			"restrat: unknown key; expected one of metadataUrl, backend, restart",
		],
		[
			"an unknown key further in",
			"interfaces:\n  eth1:\n    adresses: [10.0.1.20/24]\n    gateway: 10.0.1.1\n",
			"interfaces.eth1",
		],
		["a wrong value", "rpFilter: 7", "rpFilter: expected 0, 1 or 2"],
		[
			"a wrong type",
			"exclude: eth1",
			"exclude: expected names, macs or drivers",
		],
		["a key given twice", "restart: auto\nrestart: none\n", "line 2"],
		[
			"a gateway outside the subnet",
			"interfaces:\n  eth1:\n    addresses: [10.0.1.20/24]\n    gateway: 10.9.9.9\n",
			"interfaces.eth1.gateway: 10.9.9.9 lies outside the subnet 10.0.1.0/24",
		],
		[
			"shell in an address",
			"interfaces:\n  eth1:\n    addresses: ['$(touch /tmp/x)']\n    gateway: 10.0.1.1\n",
			"interfaces.eth1.address",
		],
		[
			"shell in a NIC's name",
			"interfaces:\n  'eth1;reboot':\n    addresses: [10.0.1.20/24]\n    gateway: 10.0.1.1\n",
			"expected a NIC name or a MAC address",
		],
	])("config: %s", async (_, text, expected) => {
		await sandbox.write("/etc/broken.yaml", text);
		const line = await complaint(
			sandbox,
			["eth1", "--config", "/etc/broken.yaml"],
			2,
		);
		expect(line).toMatch(/^\/etc\/broken\.yaml: /);
		expect(line).toContain(expected);
		expect(await sandbox.snapshot("/etc/eni-configure")).toBe(before);
	});

	it("an environment variable with a value that is none", async () => {
		const level = { ENI_CONFIGURE_LOG_LEVEL: "loud" };
		expect(await complaint(sandbox, ["eth1"], 2, level)).toContain(
			'ENI_CONFIGURE_LOG_LEVEL: "loud" is not one of error, warning, info, debug',
		);
		const restart = { ENI_CONFIGURE_RESTART: "often" };
		expect(await complaint(sandbox, ["eth1"], 2, restart)).toContain(
			'ENI_CONFIGURE_RESTART: "often" is not one of',
		);
		const config = { ENI_CONFIGURE_CONFIG: "/etc/none.yaml" };
		expect(await complaint(sandbox, ["eth1"], 2, config)).toContain(
			"/etc/none.yaml: there is no such file",
		);
	});

	it("a template that renders shell", async () => {
		await sandbox.write(
			"/etc/eni-configure/templates/ifcfg.hbs",
			'DEVICE="{{name}}"\nX="$(touch /tmp/x)"\n',
		);
		const line = await complaint(sandbox, ["eth1"], 2);
		await sandbox.remove("/etc/eni-configure");
		expect(line).toContain(
			"template /etc/eni-configure/templates/ifcfg.hbs renders something unfit: line 2",
		);
		expect(await sandbox.snapshot("/etc/eni-configure")).toBe(before);
	});

	it("a user who is not root", async () => {
		const result = await sandbox.asNobody([
			process.execPath,
			agentBundle,
			"eth1",
		]);
		expect(result.exitCode, result.stderr).toBe(5);
		expect(result.stderr).toContain("needs root");
		expect(await sandbox.snapshot("/etc/eni-configure")).toBe(before);
	});

	it("no arguments: help and exit 2", async () => {
		const result = await sandbox.agent([]);
		expect(result.exitCode).toBe(2);
		expect(result.stderr).toContain("Commands:");
	});
});

describe("what containers own is held", () => {
	it.each([
		[
			"routed to a pod",
			"ip link add pod0 type veth peer name pod1 && ip link set pod0 up && ip route add 10.0.2.20/32 dev pod0",
			"is routed to pod0",
		],
		[
			"named by a foreign rule",
			"ip rule add from 10.0.2.20 lookup 2005 priority 1536",
			"is named by the rule with priority 1536",
		],
	])(
		"an ENI whose primary address is %s is refused and left alone",
		(_, command, expected) =>
			inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
				const made = await sandbox.guest(["bash", "-ec", command]);
				expect(made.exitCode, made.stderr).toBe(0);
				const before = await sandbox.snapshot();
				expect(await complaint(sandbox, ["eth1"], 5)).toContain(expected);
				expect(await sandbox.snapshot()).toBe(before);
				const given = [
					"eth1",
					"--address",
					"10.0.2.30/24,10.0.2.20",
					"--gateway",
					"10.0.2.1",
				];
				expect(await complaint(sandbox, given, 5)).toContain(expected);
				expect(await sandbox.snapshot()).toBe(before);
			}),
	);

	it("one further address of a pod is held, and the others are configured", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.guest([
				"bash",
				"-ec",
				"ip link add pod0 type veth peer name pod1; ip link set pod0 up; ip route add 10.0.2.21/32 dev pod0",
			]);
			const report = await run(sandbox, ["eth1"]);
			expect(report.interfaces[0]?.addresses).toEqual([
				"10.0.2.20/24",
				"10.0.2.22/32",
			]);
			expect(report.notes[0]?.text).toContain("10.0.2.21 is routed to pod0");
			expect(await sandbox.ip("route", "get", "10.0.2.21")).toContain(
				"dev pod0",
			);
		}));

	it("with the container service's own network plugin, --all leaves ENIs alone that the config does not name", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(
				"/etc/cni/net.d/00-tke.conflist",
				'{"plugins":[{"type":"tke-route-eni"}]}',
			);
			const before = await sandbox.snapshot();
			expect(await complaint(sandbox, ["--all"], 5)).toContain(
				"tke-route-eni owns ENIs here",
			);
			expect(await sandbox.snapshot()).toBe(before);
			await sandbox.write(
				"/etc/eni-configure/config.yaml",
				"interfaces:\n  eth1:\n    addresses: [10.0.2.20/24]\n    gateway: 10.0.2.1\n",
			);
			expect((await run(sandbox, ["--all"])).outcome).toBe("applied");
		}));
});

describe("a host that is not supported", () => {
	it("without network-scripts is refused, and the facts are named", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.remove("/etc/sysconfig/network-scripts/ifup-eth");
			const line = await complaint(sandbox, ["eth1"], 5);
			expect(line).toContain("no supported network configuration was found");
			expect(line).toContain("CentOS Linux 7");
			expect(await sandbox.metadata.requests()).toEqual([]);
		}));
});
