import { expect, it } from "vitest";
import { withMachine } from "./machine";
import {
	addressesOf,
	eni,
	expectNothingFailed,
	installed,
	journal,
	scripts,
	untilDaemonIsReady,
	untilUp,
} from "./scenario";

it("NICs come up from their files alone; one that was unbound while the power was off fails no boot", async () => {
	const [one, two] = [eni(1), eni(2)];
	await withMachine(
		{ disk: await installed(), enis: [one, two] },
		async (machine) => {
			// Present at power-on, and configured by the daemon that systemd started.
			await machine.untilAnswer(addressesOf(one, two));
			await untilDaemonIsReady(machine);

			await machine.shell("systemctl disable eni-configure");
			for (const unit of ["eni-configure", "eni-configure-boot"])
				expect((await machine.run(`systemctl is-enabled ${unit}`)).stdout).toBe(
					"disabled\n",
				);
			await machine.reboot();
			await untilUp(machine);
			await expectNothingFailed(machine);
			await machine.untilAnswer(addressesOf(one, two));
			expect(await machine.shell("pgrep -c -f eni-configure || true")).toBe(
				"0\n",
			);
			expect(await machine.shell("systemctl is-active network")).toBe(
				"active\n",
			);

			await machine.shell("systemctl enable eni-configure");
			await machine.powerOff();
			await machine.unbind("eth1");
			await machine.boot();
			await untilDaemonIsReady(machine);
			// At this very boot, and without a second try.
			expect(
				await machine.shell(
					"systemctl show -p ActiveState,Result,ExecMainStatus network",
				),
			).toBe("Result=success\nExecMainStatus=0\nActiveState=active\n");
			expect(await journal(machine, "network")).not.toMatch(/eth1.*present/);
			expect(await journal(machine, "eni-configure-boot")).toMatch(/parked/);
			await machine.untilAnswer([
				...machine.primary.addresses,
				...two.addresses,
			]);
			// By the MAC in its file, though the kernel found it first; the unbound one left nothing.
			expect(await machine.shell("ip -o -4 addr show eth2")).toContain(
				` ${two.addresses[0]}/24 `,
			);
			await machine.until(
				"nothing of the unbound ENI is left",
				`! grep -rl 10.0.1.20 ${scripts} && ! ip -4 rule | grep 10.0.1.20`,
			);

			// Bound again, to a running machine.
			await machine.bind(one);
			await machine.untilAnswer(addressesOf(one, two));
		},
	);
});
