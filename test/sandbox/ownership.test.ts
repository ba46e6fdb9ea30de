import { describe, expect, it } from "vitest";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
} from "./scenario";

const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth1";

/** What the product guide makes a person write. */
const guideFile = `DEVICE='eth1'
NM_CONTROLLED='yes'
ONBOOT='yes'
IPADDR='10.0.2.20'  #Enter the actual address of the ENI
NETMASK='255.255.255.0'  #Enter the actual subnet mask
GATEWAY='10.0.2.1'  #Enter the actual gateway
`;

describe("a file made by hand", () => {
	it("is refused with the diff, exit 5, and stays; --force replaces it with a copy; remove gives it back with its mode", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(ifcfg, guideFile, 0o640);
			const before = await sandbox.snapshot();
			const refused = await run(sandbox, ["eth1"], 5);
			expect(refused.outcome).toBe("refused");
			expect(refused.interfaces[0]?.reason).toContain(
				"its GATEWAY without DEFROUTE=no takes the machine's default route",
			);
			expect(refused.interfaces[0]?.diff).toContain("-DEVICE='eth1'");
			expect(refused.interfaces[0]?.diff).toContain('+DEVICE="eth1"');
			expect(await sandbox.snapshot()).toBe(before);

			expect((await run(sandbox, ["eth1", "--force"])).outcome).toBe("applied");
			await expectReachable(sandbox, otherSubnet.addresses);
			expect(
				await sandbox.read("/var/lib/eni-configure/backup/ifcfg-eth1"),
			).toBe(guideFile);

			expect((await run(sandbox, ["remove", "eth1"])).outcome).toBe("applied");
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("of another name that claims the NIC is held too, and is given back", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(
				"/etc/sysconfig/network-scripts/ifcfg-Wired_1",
				`NAME="Wired 1"\nHWADDR=52:54:00:BE:EF:02\nBOOTPROTO=dhcp\nONBOOT=no\n`,
			);
			const before = await sandbox.snapshot();
			expect((await run(sandbox, ["eth1"], 5)).interfaces[0]?.reason).toContain(
				"ifcfg-Wired_1",
			);
			await run(sandbox, ["eth1", "--force"]);
			expect(
				await sandbox.exists("/etc/sysconfig/network-scripts/ifcfg-Wired_1"),
			).toBe(false);
			await expectReachable(sandbox, otherSubnet.addresses);
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("that runs on the guide's configuration keeps the machine reachable through --force", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(ifcfg, `${guideFile}DEFROUTE=no\nARPCHECK=no\n`);
			await sandbox.guest(["ifup", "eth1"]);
			const before = await sandbox.snapshot();
			expect((await run(sandbox, ["eth1", "--force"])).outcome).toBe("applied");
			await expectReachable(sandbox, ["10.0.1.10", ...otherSubnet.addresses]);
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("that has taken the default route makes its NIC a primary: refused, with what to do", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await sandbox.write(ifcfg, `${guideFile}ARPCHECK=no\n`);
			await sandbox.guest(["ifup", "eth1"]);
			expect(await sandbox.ip("route", "show", "default")).toContain(
				"dev eth1",
			);
			const before = await sandbox.snapshot();
			const report = await run(
				sandbox,
				[
					"eth1",
					"--force",
					"--address",
					"10.0.2.20/24",
					"--gateway",
					"10.0.2.1",
				],
				5,
			);
			expect(report.interfaces[0]?.reason).toContain(
				"carries the machine's default route",
			);
			expect(await sandbox.snapshot()).toBe(before);
		}));

	it("that we made and somebody edited counts as theirs", () =>
		inSandbox({ enis: [otherSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const ours = await sandbox.read(ifcfg);
			await sandbox.write(
				ifcfg,
				ours.replace('ONBOOT="yes"', 'ONBOOT="yes"\nMTU="1400"'),
			);
			expect((await run(sandbox, ["eth1"], 5)).outcome).toBe("refused");
			await run(sandbox, ["eth1", "--force"]);
			expect(await sandbox.read(ifcfg)).toBe(ours);
		}));
});

describe("what is not ours", () => {
	it("survives configure, an address change and remove: a VIP, rules at 500 and 1500, a table", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.guest([
				"bash",
				"-ec",
				`ip addr add 10.0.1.99/32 dev eth1 label eth1:vip
				ip rule add from 10.77.0.0/16 lookup 77 priority 500
				ip rule add from all to 10.78.0.0/16 lookup 77 priority 1500
				ip route add 10.79.0.0/16 via 10.0.1.1 dev eth1 table 77`,
			]);
			const foreign = async () => {
				const [addresses, rules, routes] = await Promise.all([
					sandbox.ip("-o", "addr"),
					sandbox.ip("rule"),
					sandbox.ip("route", "show", "table", "77"),
				]);
				return [
					addresses.includes("10.0.1.99/32 scope global eth1:vip"),
					rules.includes("500:"),
					rules.includes("1500:"),
					routes.includes("10.79.0.0/16"),
				];
			};
			expect(await foreign()).toEqual([true, true, true, true]);
			await sandbox.assign("eth1", "10.0.1.30");
			await run(sandbox, ["eth1"]);
			expect(await foreign()).toEqual([true, true, true, true]);
			await run(sandbox, [
				"eth1",
				"--address",
				"10.0.1.20/24,10.0.1.22",
				"--gateway",
				"10.0.1.1",
				"--restart",
				"interface",
			]);
			expect(await sandbox.calls("ifdown")).toHaveLength(1);
			expect(await foreign()).toEqual([true, true, true, true]);
			await expectReachable(sandbox, ["10.0.1.20", "10.0.1.22"]);
			await run(sandbox, ["remove", "eth1"]);
			expect(await foreign()).toEqual([true, true, true, true]);
			expect(
				await sandbox.ip("-o", "-4", "addr", "show", "eth1"),
			).not.toContain("10.0.1.20");
		}));

	it("sysctl.conf comes back byte for byte, with CRLF, other spellings and no final newline", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			const text =
				"# caf\u00e9\r\nnet.ipv4.conf.all.rp_filter=1\r\nnet/ipv4/conf/eth0/rp_filter = 2\n kernel.sysrq = 0";
			await sandbox.write("/etc/sysctl.conf", text, 0o600);
			await run(sandbox, ["eth1"]);
			const edited = await sandbox.read("/etc/sysctl.conf");
			expect(edited).toContain(
				"# disabled by eni-configure: net.ipv4.conf.all.rp_filter=1\r\n",
			);
			expect(edited).toContain(
				"# disabled by eni-configure: net/ipv4/conf/eth0/rp_filter = 2\n",
			);
			expect((await sandbox.stat("/etc/sysctl.conf")).mode & 0o777).toBe(0o600);
			await run(sandbox, ["remove", "eth1"]);
			expect(await sandbox.read("/etc/sysctl.conf")).toBe(text);
		}));

	it("a later line of the user's own in sysctl.conf is a finding, not a fight", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const file = await sandbox.read("/etc/sysctl.conf");
			await sandbox.write(
				"/etc/sysctl.conf",
				`${file}net.ipv4.conf.all.rp_filter = 1\n`,
			);
			const report = await run(sandbox, ["eth1"]);
			expect(report.outcome).toBe("unchanged");
			expect(report.findings).toEqual([
				{
					link: null,
					kind: "sysctl-file",
					want: "net.ipv4.conf.all.rp_filter = 0",
					got: "/etc/sysctl.conf says 1",
				},
			]);
		}));

	it("after remove, --all leaves the NIC alone until it is named again", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["--all"]);
			await run(sandbox, ["remove", "eth1"]);
			const report = await run(sandbox, ["--all"]);
			expect(
				report.interfaces.find(({ name }) => name === "eth1")?.reason,
			).toContain("was removed");
			expect(await sandbox.ip("-o", "-4", "addr", "show", "eth1")).toBe("");
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			expect((await run(sandbox, ["--all"])).outcome).toBe("unchanged");
		}));
});

describe("a NIC that is not what it was", () => {
	it("another ENI under the same name gets its own addresses, and the old ones are gone", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			await sandbox.unplug("eth1");
			await sandbox.plug({ ...otherSubnet, mac: "52:54:00:be:ef:77" });
			expect((await run(sandbox, ["eth1"])).outcome).toBe("applied");
			await expectReachable(sandbox, otherSubnet.addresses);
			expect(await sandbox.ip("rule")).not.toContain("10.0.1.2");
			expect(await sandbox.read(ifcfg)).not.toContain("10.0.1.2");
		}));

	it("the same ENI under another name keeps its table and leaves no stale file", () =>
		inSandbox({ enis: [sameSubnet] }, async (sandbox) => {
			await run(sandbox, ["eth1"]);
			const mac = (await sandbox.read(ifcfg))
				.match(/HWADDR="(.*)"/)?.[1]
				?.toLowerCase() as string;
			await sandbox.unplug("eth1");
			await sandbox.plug({ ...sameSubnet, name: "eth4", mac });
			const report = await run(sandbox, ["eth4"]);
			expect(report.interfaces[0]?.table).toBe(1001);
			expect(await sandbox.exists(ifcfg)).toBe(false);
			await expectReachable(sandbox, sameSubnet.addresses);
		}));
});
