import { describe, expect, it } from "vitest";
import { until } from "./daemon";
import { quiet, startRareDaemon } from "./endurance";
import type { EniOptions, Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	sameSubnet,
	withoutLoss,
} from "./scenario";

const journal = "/var/lib/eni-configure/journal.json";
const steady: EniOptions = {
	name: "eth4",
	subnet: "10.0.4.0/24",
	addresses: ["10.0.4.20", "10.0.4.21"],
};

async function untilIfup(sandbox: Sandbox): Promise<void> {
	await until(
		"ifup runs",
		async () => (await sandbox.calls("ifup")).length > 0,
	);
}

describe("a NIC that is unplugged while it is being configured", () => {
	it.each([
		["alone", []],
		["beside another", [steady]],
	])("leaves nothing behind, %s", (_, enis) =>
		inSandbox({ enis }, async (s) => {
			const daemon = await startRareDaemon(s);
			const before = await s.snapshot();
			await s.clearCalls();
			await s.fault("ifup-slow.once", "2");
			await s.plug(sameSubnet);
			await untilIfup(s);
			await withoutLoss(s, async () => {
				await s.unplug("eth1");
				await quiet(s, daemon);
			});
			const said = daemon.log().join("\n");
			expect(await s.exists(journal), said).toBe(false);
			expect(await s.snapshot(), said).toBe(before);
			expect(said).not.toContain("NOT rolled back");
		}),
	);

	it(
		"and comes back at once is configured, its own MAC or another",
		() =>
			inSandbox({ enis: [steady] }, async (s) => {
				const daemon = await startRareDaemon(s);
				for (const mac of [
					"52:54:00:ca:00:01",
					"52:54:00:ca:00:01",
					"52:54:00:ca:00:02",
				]) {
					await s.clearCalls();
					await s.fault("ifup-slow.once", "2");
					await s.plug({ ...sameSubnet, mac: "52:54:00:ca:00:01" });
					await untilIfup(s);
					await s.unplug("eth1");
					await s.plug({ ...sameSubnet, mac });
					for (const address of sameSubnet.addresses)
						expect(
							await s.reach(address, { timeoutMs: 30_000 }),
							daemon.log().join("\n"),
						).toBe(true);
					await s.unplug("eth1");
					await quiet(s, daemon);
				}
				expect(daemon.log().join("\n")).not.toContain("NOT rolled back");
				await expectReachable(s, steady.addresses);
			}),
		120_000,
	);
});
