import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { version } from "../../package.json";
import { freshDisk } from "./image";
import { type Machine, withMachine } from "./machine";
import { buildPackages } from "./packages";
import { eni, untilDaemonIsReady, untilUp } from "./scenario";

const shown = (machine: Machine, unit: string, property: string) =>
	machine
		.shell(`systemctl show -p ${property} --value ${unit}`)
		.then((text) => text.trim());

it("the package: installed, verified, upgraded without touching the network, and removed", {
	timeout: 600_000,
}, async () => {
	const el7 = await buildPackages({ target: "el7" });
	const newer = await buildPackages({ target: "el7", release: 2 });
	const folder = await mkdtemp(join(tmpdir(), "eni-configure-packages-"));
	const drive = join(folder, "packages.tar");
	await execa("tar", [
		...["-cf", drive],
		...[el7, newer].flatMap((rpm) => [...["-C", dirname(rpm), basename(rpm)]]),
	]);
	const one = eni(1);
	const addresses = [...one.addresses, "10.0.1.10"];
	try {
		await withMachine(
			{ disk: await freshDisk(), drives: [drive] },
			async (machine) => {
				await untilUp(machine);
				await machine.shell("tar -xf /dev/vdb -C /root");

				// Installed: nothing runs until somebody enables it, as CentOS's presets have it.
				await machine.shell(`rpm -i /root/${basename(el7)}`);
				expect(await machine.shell("rpm -V eni-configure")).toBe("");
				for (const unit of ["eni-configure", "eni-configure-boot"]) {
					const { stdout } = await machine.run(
						`systemctl is-enabled ${unit}; systemctl is-active ${unit}`,
					);
					expect(stdout).toBe("disabled\ninactive\n");
				}
				expect(await machine.shell("eni-configure --version")).toBe(
					`${version}\n`,
				);

				await machine.shell(
					"systemctl enable eni-configure && systemctl start eni-configure",
				);
				await machine.bind(one);
				await machine.untilAnswer(one.addresses);
				await untilDaemonIsReady(machine);

				// Upgraded.
				await machine.shell(
					"echo 'resyncSeconds: 40' >>/etc/eni-configure/config.yaml",
				);
				const before = {
					pid: await shown(machine, "eni-configure", "MainPID"),
					network: await shown(machine, "network", "InvocationID"),
					boot: await shown(machine, "eni-configure-boot", "ActiveState"),
					state: await machine.shell("cat /var/lib/eni-configure/state.json"),
					calls: await machine.shell("cat /run/sandbox/calls.log"),
				};
				const watch = machine.watch(addresses, 100);
				await machine.shell(`rpm -U /root/${basename(newer)}`);
				await machine.until(
					"another daemon has looked",
					`pid=$(systemctl show -p MainPID --value eni-configure)
						[ "$pid" != ${before.pid} ] && grep -q "\\"pid\\": *$pid" /run/eni-configure/status.json && grep -q lastPass /run/eni-configure/status.json`,
				);
				const counts = await watch.stop();
				for (const address of addresses) {
					expect(counts.get(address)?.sent).toBeGreaterThan(20);
					expect(counts.get(address)?.lost, address).toBe(0);
				}
				expect(await machine.shell("rpm -q eni-configure")).toContain("-2.el7");
				expect(
					await machine.shell("tail -n 1 /etc/eni-configure/config.yaml"),
				).toBe("resyncSeconds: 40\n");
				// Nothing but that line is another than the package's.
				expect(
					(await machine.run("rpm -V eni-configure")).stdout.trim(),
				).toMatch(/^S\.5\.{4}T\.\s+c \/etc\/eni-configure\/config\.yaml$/);
				expect(await shown(machine, "network", "InvocationID")).toBe(
					before.network,
				);
				expect(await shown(machine, "eni-configure-boot", "ActiveState")).toBe(
					before.boot,
				);
				expect(
					await machine.shell("cat /var/lib/eni-configure/state.json"),
				).toBe(before.state);
				expect(await machine.shell("cat /run/sandbox/calls.log")).toBe(
					before.calls,
				);

				// Removed: it says what stays and how to have it undone.
				const said = await machine.shell("rpm -e eni-configure");
				expect(said).toMatch(/stay configured.*eth1/);
				expect(said).toContain("eni-configure remove eth1");
				expect(await shown(machine, "eni-configure", "ActiveState")).toBe(
					"inactive",
				);
				await machine.untilAnswer(addresses);
				await machine.reboot();
				await untilUp(machine);
				await machine.untilAnswer(addresses);
				expect(await machine.shell("pgrep -c node || true")).toBe("0\n");
			},
		);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
});
