import { expect, test } from "vitest";
import { failWhere, type Operation } from "./operations";
import { scenarios } from "./scenarios";
import { sweepFailures } from "./sweep";

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
