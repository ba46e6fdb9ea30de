import { describe, expect, it } from "vitest";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

const mac = "52:54:00:be:ef:02";

describe("addresses without metadata", () => {
	it("come from flags, need no metadata at all, and are remembered until --from-metadata", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.metadata.refuse();
			await sandbox.metadata.clearRequests();
			const flags = [
				"--address",
				"10.0.2.20",
				"--address",
				"10.0.2.22",
				"--netmask",
				"255.255.255.0",
				"--gateway",
				"10.0.2.1",
			];
			const report = await run(sandbox, ["eth1", ...flags]);
			expect(report.interfaces[0]).toMatchObject({
				source: "flags",
				addresses: ["10.0.2.20/24", "10.0.2.22/32"],
			});
			await expectReachable(sandbox, ["10.0.2.20", "10.0.2.22"]);
			expect((await run(sandbox, ["eth1"])).interfaces[0]).toMatchObject({
				source: "flags",
				outcome: "unchanged",
			});
			await sandbox.metadata.up();
			expect((await run(sandbox, ["--all"])).outcome).toBe("unchanged");
			const back = await run(sandbox, ["eth1", "--from-metadata"]);
			expect(back.interfaces[0]).toMatchObject({
				source: "metadata",
				addresses: ["10.0.2.20/24", "10.0.2.21/32", "10.0.2.22/32"],
			});
			expect((await run(sandbox, ["eth1"])).interfaces[0]).toMatchObject({
				source: "metadata",
				outcome: "unchanged",
			});
		}));

	it("another subnet by flags restarts that interface with its old files, and leaves nothing of the old one", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.clearCalls();
			await sandbox.unplug("eth1");
			await sandbox.plug({
				name: "eth1",
				mac,
				subnet: "10.0.5.0/24",
				addresses: ["10.0.5.20"],
			});
			await run(sandbox, [
				"eth1",
				"--address",
				"10.0.5.20/24",
				"--gateway",
				"10.0.5.1",
			]);
			await expectReachable(sandbox, ["10.0.5.20"]);
			expect(await sandbox.ip("rule")).not.toContain("10.0.2.");
			expect(await sandbox.ip("route", "show", "table", "all")).not.toContain(
				"10.0.2.",
			);
		}));

	it("come from the config by MAC in any case, and win over metadata", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(
				"/etc/eni-configure/config.yaml",
				`interfaces:\n  ${mac.toUpperCase()}:\n    addresses: [10.0.2.21/24]\n    gateway: 10.0.2.1\n`,
			);
			const report = await run(sandbox, ["eth1"]);
			expect(report.interfaces[0]).toMatchObject({
				source: "config",
				addresses: ["10.0.2.21/24"],
			});
			await expectReachable(sandbox, ["10.0.2.21"]);
		}));

	it("come from the config by name for the MAC it had at first use, and for no other", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(
				"/etc/eni-configure/config.yaml",
				"interfaces:\n  eth1:\n    addresses: [10.0.2.20/24]\n    gateway: 10.0.2.1\n",
			);
			expect((await run(sandbox, ["eth1"])).interfaces[0]?.source).toBe(
				"config",
			);
			await sandbox.unplug("eth1");
			await sandbox.plug({
				name: "eth1",
				subnet: "10.0.6.0/24",
				addresses: ["10.0.6.9"],
			});
			const report = await run(sandbox, ["eth1"]);
			expect(report.interfaces[0]).toMatchObject({
				source: "metadata",
				addresses: ["10.0.6.9/24"],
			});
			expect(report.notes[0]?.text).toContain(
				`the config's eth1 meant the NIC ${mac}`,
			);
		}));

	it("settings: flags win over the environment, which wins over the config", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.write(
				"/etc/eni-configure/config.yaml",
				"restart: service\nrpFilter: 2\nrouting: none\n",
			);
			const plan = await run(sandbox, ["plan", "eth1"], 0, {
				ENI_CONFIGURE_RESTART: "interface",
			});
			expect(
				plan.steps
					.filter(({ kind }) => kind === "run")
					.map(({ summary }) => summary),
			).toEqual(["ifup eth1"]);
			expect(
				plan.steps.find(({ target }) => target.endsWith("all.rp_filter"))
					?.summary,
			).toContain("= 2");
			const files = await run(
				sandbox,
				["plan", "eth1", "--restart", "none"],
				0,
				{ ENI_CONFIGURE_RESTART: "interface" },
			);
			expect(files.steps.every(({ kind }) => kind === "write")).toBe(true);
			expect(files.steps.some(({ target }) => target.includes("rule-"))).toBe(
				false,
			);
		}));
});

describe("the metadata service", () => {
	it("is asked two or three times for the machine and four times for a new ENI, later once", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.metadata.clearRequests();
			await run(sandbox, ["eth1"]);
			expect(
				(await sandbox.metadata.requests())
					.map(({ path }) => path.replace("/latest/meta-data/", ""))
					.sort(),
			).toEqual(
				[
					"instance-id",
					"mac",
					"network/interfaces/macs/",
					"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/",
					"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/10.0.2.20/gateway",
					"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/10.0.2.20/subnet-mask",
					"network/interfaces/macs/52:54:00:BE:EF:02/primary-local-ipv4",
				].sort(),
			);
			await sandbox.metadata.clearRequests();
			await run(sandbox, ["eth1"]);
			expect(await sandbox.metadata.requests()).toHaveLength(3);
		}));

	it("--wait: the NIC before its metadata, and metadata before the NIC", () =>
		inSandbox({}, async (sandbox) => {
			await sandbox.plug({ ...otherSubnet, listed: false });
			const early = run(sandbox, ["--all", "--wait", "--wait-timeout", "20"]);
			const named = run(sandbox, ["eth1", "--wait", "--wait-timeout", "20"]);
			await new Promise((resolve) => setTimeout(resolve, 800));
			await sandbox.metadata.list("eth1", true);
			expect((await named).interfaces[0]?.name).toBe("eth1");
			// An unlisted NIC is nobody's business for --all, so it may have ended before.
			await early;
			await expectReachable(sandbox, otherSubnet.addresses);

			const waiting = run(sandbox, ["eth2", "--wait", "--wait-timeout", "20"]);
			await new Promise((resolve) => setTimeout(resolve, 400));
			await sandbox.plug({
				name: "eth2",
				subnet: "10.0.3.0/24",
				addresses: ["10.0.3.9"],
			});
			expect((await waiting).outcome).toBe("applied");
			await expectReachable(sandbox, ["10.0.3.9"]);
		}));

	it("--wait gives up at its time limit with exit 4 and says what it waited for", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			const leaf =
				"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/10.0.2.20/gateway";
			await sandbox.metadata.override(leaf, { status: 404 });
			const start = Date.now();
			const report = await run(
				sandbox,
				["eth1", "--wait", "--wait-timeout", "1.5"],
				4,
			);
			expect(report.interfaces[0]).toMatchObject({
				outcome: "pending",
				reason: "gateway is not there (404)",
			});
			expect(Date.now() - start).toBeGreaterThan(1400);
		}));

	it("one ENI that hangs or makes no sense holds up no other", () =>
		inSandbox(
			{
				enis: [
					otherSubnet,
					{ name: "eth2", subnet: "10.0.3.0/24", addresses: ["10.0.3.9"] },
					{ name: "eth3", subnet: "10.0.4.0/24", addresses: ["10.0.4.9"] },
				],
			},
			async (sandbox) => {
				await sandbox.metadata.override(
					"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/",
					{ hang: true },
				);
				await sandbox.metadata.override(
					"network/interfaces/macs/52:54:00:BE:EF:03/primary-local-ipv4",
					{ body: "not available" },
				);
				const report = await run(sandbox, ["--all"], 4);
				const outcomes = Object.fromEntries(
					report.interfaces.map(({ name, outcome }) => [name, outcome]),
				);
				expect(outcomes).toMatchObject({
					eth1: "pending",
					eth2: "pending",
					eth3: "applied",
				});
				await expectReachable(sandbox, ["10.0.4.9"]);
			},
		));

	it("nothing is taken away by an error, an empty list, a cut-off body or a stale answer", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const good = await sandbox.snapshot();
			const list = "network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/";
			const answers = [
				{ status: 404 },
				{ status: 500 },
				{ body: "" },
				{ body: "10.0.2.20/\n10.0.2.21/\n10.0.2.22/", truncateAt: 22 },
				{ body: "10.0.2.20/" },
				{ body: "not available" },
				{ body: "10.0.2.20/\n10.0.2.2" },
			];
			for (const answer of answers) {
				await sandbox.metadata.override(list, answer);
				await sandbox.agent(["eth1"]);
				expect(await sandbox.snapshot(), JSON.stringify(answer)).toBe(good);
			}
			for (const path of ["network/interfaces/macs/", "instance-id", "mac"]) {
				await sandbox.metadata.clearOverrides();
				await sandbox.metadata.override(path, { status: 500 });
				await sandbox.agent(["eth1"]);
				expect(await sandbox.snapshot(), path).toBe(good);
			}
		}));

	it("a connection that was reset is tried once more; duplicates and missing slashes in lists do no harm", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.metadata.override(
				"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/",
				{ body: "10.0.2.20\n10.0.2.20\n10.0.2.21\n" },
			);
			const report = await run(sandbox, ["eth1"]);
			expect(report.interfaces[0]?.addresses).toEqual([
				"10.0.2.20/24",
				"10.0.2.21/32",
			]);
		}));

	it("two ENIs with one address are both left alone", () =>
		inSandbox(
			{
				enis: [
					otherSubnet,
					{ name: "eth2", subnet: "10.0.2.0/24", addresses: ["10.0.2.30"] },
				],
			},
			async (sandbox) => {
				const before = await sandbox.snapshot();
				await sandbox.metadata.override(
					"network/interfaces/macs/52:54:00:BE:EF:03/local-ipv4s/",
					{ body: "10.0.2.30/\n10.0.2.22/" },
				);
				const report = await run(sandbox, ["--all"], 4);
				expect(
					report.interfaces
						.filter(({ outcome }) => outcome === "pending")
						.map(({ name }) => name),
				).toEqual(["eth1", "eth2"]);
				expect(await sandbox.snapshot()).toBe(before);
			},
		));

	it("an ENI that claims the primary's address is refused", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await sandbox.metadata.override(
				"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/",
				{ body: "10.0.1.10/" },
			);
			await sandbox.metadata.override(
				"network/interfaces/macs/52:54:00:BE:EF:02/primary-local-ipv4",
				{ body: "10.0.1.10" },
			);
			await sandbox.metadata.override(
				"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/10.0.1.10/gateway",
				{ body: "10.0.1.1" },
			);
			await sandbox.metadata.override(
				"network/interfaces/macs/52:54:00:BE:EF:02/local-ipv4s/10.0.1.10/subnet-mask",
				{ body: "255.255.255.0" },
			);
			const before = await sandbox.snapshot();
			expect((await run(sandbox, ["eth1"], 5)).interfaces[0]?.reason).toContain(
				"10.0.1.10 stands on eth0",
			);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("reports further private IPs of the primary and configures none", () =>
		inSandbox(
			{
				enis: [otherSubnet],
				primary: { addresses: ["10.0.1.10", "10.0.1.11"] },
			},
			async (sandbox) => {
				const report = await run(sandbox, ["--all"]);
				expect(report.notes.map(({ text }) => text).join()).toContain(
					"10.0.1.11",
				);
				expect(await sandbox.ip("-o", "addr", "show", "eth0")).not.toContain(
					"10.0.1.11",
				);
			},
		));
});
