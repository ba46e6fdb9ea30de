import { expect, test } from "vitest";
import { run } from "./agent";
import { addressesOn, outcomes } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["10.0.2.62"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };
const all = (host: FakeHost) => run(host, "configure", "", { all: true });

/** A host whose eth1 has just been rolled back, for its gateway is silent. */
async function failedOnce(): Promise<FakeHost> {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	host.silent.add("eth1");
	const first = await all(host);
	expect(outcomes(first)).toMatchObject({
		eth1: "rolled-back",
		eth2: "applied",
	});
	return host;
}

/** Waits on the host's clock, then runs --all; says whether eth1 was tried. */
async function isTriedAfter(host: FakeHost, seconds: number): Promise<boolean> {
	await host.clock.sleep(seconds * 1000);
	return outcomes(await all(host)).eth1 === "rolled-back";
}

test("a spec that rolled back is not tried again at once; the reason says when and how", async () => {
	const host = await failedOnce();
	const before = host.snapshot();
	const again = await all(host);
	expect({
		exitCode: again.exitCode,
		outcomes: outcomes(again),
		snapshot: host.snapshot(),
	}).toMatchObject({
		exitCode: 3,
		outcomes: { eth1: "pending", eth2: "unchanged" },
		snapshot: before,
	});
	expect(again.interfaces.find(({ name }) => name === "eth1")?.reason).toMatch(
		/rolled back once.*tried again in \d+ s.*`eni-configure eth1`/,
	);
});

test("it is tried again after 1, 2, 5 and then every 10 minutes", async () => {
	const host = await failedOnce();
	const tried: boolean[] = [];
	for (const seconds of [55, 10, 110, 15, 290, 15, 590, 15, 590, 15])
		tried.push(await isTriedAfter(host, seconds));
	expect(tried).toEqual([
		...[false, true],
		...[false, true],
		...[false, true],
		...[false, true],
		...[false, true],
	]);
});

test("it is kept when the agent is started anew, and a boot ends it", async () => {
	const host = await failedOnce();
	host.endProcess();
	expect(await isTriedAfter(host, 1)).toBe(false);
	await host.reboot();
	expect(await isTriedAfter(host, 1)).toBe(true);
});

test("a spec that has changed is tried at once", async () => {
	const host = await failedOnce();
	host.assign("eth1", "10.0.2.63");
	expect(await isTriedAfter(host, 1)).toBe(true);
});

test("who names the NIC has it tried at once; success ends the back-off", async () => {
	const host = await failedOnce();
	expect((await run(host, "configure", "eth1")).exitCode).toBe(3);
	host.silent.clear();
	expect((await run(host, "configure", "eth1")).outcome).toBe("applied");
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24"]);
	expect(outcomes(await all(host))).toMatchObject({ eth1: "unchanged" });
	expect(host.read("/var/lib/eni-configure/state.json")?.content).not.toContain(
		"backOff",
	);
});

test("a NIC that is unbound takes its back-off along", async () => {
	const host = await failedOnce();
	host.unplug("eth1");
	await all(host);
	expect(host.read("/var/lib/eni-configure/state.json")?.content).not.toContain(
		"backOff",
	);
});
