import { expect, test } from "vitest";
import { run } from "./agent";
import { createFakeHost, type FakeHost } from "./fake-host";
import { type Scenario, sweepFailures } from "./sweep";

const eth1 = {
	name: "eth1",
	addresses: ["10.0.1.62", "10.0.1.63", "10.0.1.30"],
};
const handMade =
	"DEVICE=eth1\nBOOTPROTO=static\nONBOOT=yes\nIPADDR=192.168.1.62\nNETMASK=255.255.255.192\n";
const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth1";

async function configured(): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1] });
	const first = await run(host, "configure", "eth1");
	expect(first.outcome).toBe("applied");
	return host;
}

const scenarios: Record<string, Scenario> = {
	"a new NIC with three addresses in the primary's subnet": {
		prepare: () => createFakeHost({ enis: [eth1] }),
		act: (host) => run(host, "configure", "eth1"),
	},
	"another list of addresses": {
		prepare: async () => {
			const host = await configured();
			host.assign("eth1", "10.0.1.40");
			host.release("eth1", "10.0.1.63");
			return host;
		},
		act: (host) => run(host, "configure", "eth1", { prune: true }),
	},
	"another subnet": {
		prepare: configured,
		act: (host) =>
			run(host, "configure", "eth1", {
				address: "192.168.1.62/26",
				gateway: "192.168.1.1",
			}),
	},
	remove: {
		prepare: configured,
		act: (host) => run(host, "remove", "eth1"),
	},
	"a forced takeover of a NIC set up by hand": {
		prepare: async () => {
			const host = await createFakeHost({
				enis: [
					{
						name: "eth1",
						addresses: ["192.168.1.62", "192.168.1.63"],
						subnet: "192.168.1.0/26",
					},
				],
			});
			host.write(ifcfg, handMade, { mode: 0o640, uid: 12, gid: 34 });
			await host.type("ifup eth1");
			return host;
		},
		act: (host) => run(host, "configure", "eth1", { force: true }),
	},
	"a takeover given back": {
		prepare: async () => {
			const host = await createFakeHost({
				enis: [
					{
						name: "eth1",
						addresses: ["192.168.1.62", "192.168.1.63"],
						subnet: "192.168.1.0/26",
					},
				],
			});
			host.write(ifcfg, handMade, { mode: 0o640, uid: 12, gid: 34 });
			await host.type("ifup eth1");
			expect(
				(await run(host, "configure", "eth1", { force: true })).outcome,
			).toBe("applied");
			return host;
		},
		act: (host) => run(host, "remove", "eth1"),
	},
};

for (const [name, scenario] of Object.entries(scenarios)) {
	for (const code of ["ENOSPC", "EROFS"] as const) {
		test(`${name}: whatever fails with ${code}, the host ends as wanted or as before`, async () => {
			expect(await sweepFailures(scenario, code)).toEqual([]);
		});
	}
}
