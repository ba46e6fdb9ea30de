import { expect, test } from "vitest";
import { run } from "./agent";
import { createFakeHost, type FakeHost } from "./fake-host";
import { failWhere, type Operation } from "./operations";
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
						addresses: ["192.168.1.62", "192.168.1.61"],
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
						addresses: ["192.168.1.62", "192.168.1.61"],
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

const isOnDisk = ({ kind }: Operation) =>
	!["command", "ip", "sysctl"].includes(kind);
// A full disk still takes names away, a read-only one changes nothing at all.
const isTaking = ({ kind }: Operation) =>
	["open", "write", "mkdir"].includes(kind);
const isInEtc = (operation: Operation) =>
	isOnDisk(operation) && operation.target.startsWith("/etc/");
const isInState = (operation: Operation) =>
	isOnDisk(operation) && operation.target.startsWith("/var/lib/");

const troubles: [
	string,
	(operation: Operation) => boolean,
	"ENOSPC" | "EROFS",
][] = [
	[
		"the disk is full",
		(operation) => isOnDisk(operation) && isTaking(operation),
		"ENOSPC",
	],
	["the disk is read-only", isOnDisk, "EROFS"],
	["/etc is read-only", isInEtc, "EROFS"],
	["/var is read-only", isInState, "EROFS"],
];

for (const [name, scenario] of Object.entries(scenarios)) {
	for (const code of ["ENOSPC", "EROFS"] as const) {
		test(`${name}: whatever fails once with ${code}, the host ends as wanted or as before`, async () => {
			expect(await sweepFailures(scenario, code)).toEqual([]);
		}, 60_000);
	}
	test.each(troubles)(
		`${name}: while %s nothing changes, and it is said`,
		async (_, matches, code) => {
			const host = await scenario.prepare();
			const [snapshot, record] = [host.snapshot(), host.record()];
			host.operations.setFaults(failWhere(matches, code));
			const { exitCode, error } = await scenario.act(host);
			expect({
				exitCode: [1, 3].includes(exitCode) ? "1 or 3" : exitCode,
				snapshot: host.snapshot(),
				record: host.record(),
			}).toEqual({ exitCode: "1 or 3", snapshot, record });
			expect(error).toMatch(/no space left|read-only|ENOSPC|EROFS/);
			host.operations.setFaults(undefined);
			expect((await scenario.act(host)).outcome).toBe("applied");
		},
	);
}
