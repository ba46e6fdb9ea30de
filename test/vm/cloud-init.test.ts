import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { freshDisk } from "./image";
import { type Machine, withMachine } from "./machine";
import { buildPackages } from "./packages";
import { root } from "./paths";
import { addressesOf, contentsOf, eni, installed, scripts } from "./scenario";
import { withSeed } from "./seed";

const [one, two] = [eni(1), eni(2)];
const metaData = "instance-id: ins-0sandbox\nlocal-hostname: vm-guest\n";

/** Waits for cloud-init to end; what it says of itself. */
const cloudInit = (machine: Machine) =>
	machine
		.shell("cloud-init status --wait --long | tr -d .", 240_000)
		.then((text) => text.trim());

/** Content of all files in network-scripts, to be compared. */
const contents = async (machine: Machine) =>
	Object.fromEntries(await contentsOf(machine, `${scripts}/*`));

it("first boot with user data on a machine with two ENIs, and the next boot", {
	timeout: 600_000,
}, async () => {
	const rpm = await buildPackages({ target: "el7" });
	const example = await readFile(
		join(root, "docs/cloud-init/user-data.yaml"),
		"utf8",
	);
	const { stdout } = await execa("sha256sum", [rpm]);
	// Served in the VPC; else the example as it stands.
	const userData = example
		.replace(/url=\S+/, `url=http://169.254.0.24:8080/${basename(rpm)}`)
		.replace(/sum=$/m, `sum=${stdout.split(" ")[0]}`);
	expect(userData).not.toContain("example.com/eni");
	await withSeed(
		{ "meta-data": metaData, "user-data": userData },
		async (seed) => {
			await withMachine(
				{
					disk: await freshDisk(),
					drives: [seed],
					enis: [one, two],
					kernelArguments: [],
					prepare: (machine) => machine.cloud.serveFiles(dirname(rpm)),
				},
				async (machine) => {
					expect(await cloudInit(machine)).toMatch(/^status: done/);
					await machine.untilAnswer(addressesOf(one, two));
					for (const unit of ["eni-configure", "eni-configure-boot"])
						expect(await machine.shell(`systemctl is-enabled ${unit}`)).toBe(
							"enabled\n",
						);
					expect(await machine.shell("systemctl is-active eni-configure")).toBe(
						"active\n",
					);
					expect(await machine.shell(`cat ${scripts}/ifcfg-eth0`)).toMatch(
						/Created by cloud-init[\s\S]*BOOTPROTO=dhcp/,
					);
					const before = await contents(machine);
					expect(before[`${scripts}/ifcfg-eth2`]).toContain("10.0.3.21");

					await machine.reboot();
					expect(await cloudInit(machine)).toMatch(/^status: done/);
					await machine.untilAnswer(addressesOf(one, two));
					expect(await contents(machine)).toEqual(before);
					// The hook has left it to the daemon.
					expect(await machine.shell(hookOutput)).toBe("");
				},
			);
		},
	);
});

/** What the hook, or what it started, said in this boot. */
const hookOutput =
	"journalctl -b -u cloud-final --no-pager -o cat | grep -E 'eni-configure: ' || true";

it("the per-boot hook with a static eth0: configures once, and fails no boot (the el8 package)", {
	timeout: 600_000,
}, async () => {
	const networkConfig = `version: 1
config:
  - type: physical
    name: eth0
    mac_address: "52:54:00:be:ef:01"
    subnets:
      - {type: static, address: 10.0.1.10/24, gateway: 10.0.1.1}
`;
	await withSeed(
		{
			"meta-data": metaData,
			"user-data": "#cloud-config\n{}\n",
			"network-config": networkConfig,
		},
		async (seed) => {
			await withMachine(
				{
					disk: await installed("disabled", "el8"),
					drives: [seed],
					enis: [one],
					kernelArguments: [],
				},
				async (machine) => {
					expect(await cloudInit(machine)).toMatch(/^status: done/);
					await machine.untilAnswer(one.addresses);
					expect(await machine.shell(`cat ${scripts}/ifcfg-eth0`)).toMatch(
						/Created by cloud-init[\s\S]*BOOTPROTO=none/,
					);
					expect(await machine.shell("pgrep -c dhclient || true")).toBe("0\n");
					expect(await machine.shell(hookOutput)).toContain("eth1: applied");
					expect(
						await machine.shell("/usr/lib/eni-configure/node --version"),
					).toMatch(/^v24\./);
					expect(
						(await machine.run("systemctl is-active eni-configure")).stdout,
					).toBe("inactive\n");

					// Without the metadata service: the NIC has its files, the hook its limit.
					await machine.cloud.metadata.hang();
					await machine.reboot();
					expect(await cloudInit(machine)).toMatch(/^status: done/);
					expect(
						await machine.shell(
							"systemctl show -p Result,ActiveState cloud-final",
						),
					).toBe("Result=success\nActiveState=active\n");
					// The hook's limit, and what cloud-init itself takes under emulation.
					const [from = 0, to = 0] = (
						await machine.shell(
							"systemctl show --value -p ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic cloud-final",
						)
					)
						.trim()
						.split("\n")
						.map(Number);
					expect(to - from).toBeGreaterThan(50_000_000);
					expect(to - from).toBeLessThan(150_000_000);
					expect(await machine.shell(hookOutput)).toMatch(
						/not all configured \(exit code 4/,
					);
					await machine.untilAnswer(addressesOf(one));
					await machine.cloud.metadata.up();
				},
			);
		},
	);
});
