import { expect, test } from "vitest";
import { randomNumbers, simulateGuest, type Trouble } from "../../bench/fleet";
import { startDaemon } from "./daemon";
import { createFakeHost, type FakeHost } from "./fake-host";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };
const eth3 = { name: "eth3", addresses: ["10.0.4.62"] };
const latencyMs = 2;

/** Lets every request take its time and notes when it was sent; `trouble` is what becomes of it by then. */
function listen(host: FakeHost, trouble: () => Trouble | undefined): number[] {
	const { system, clock } = host;
	const { http } = system;
	const times: number[] = [];
	system.http = async (url, limits) => {
		times.push(clock.nowMs());
		const now = trouble();
		await clock.sleep(now === "silent" ? limits.timeoutMs : latencyMs);
		// Name and address are of one service.
		const numbers = url.replace("metadata.tencentyun.com", "169.254.0.23");
		return now
			? { kind: "failed", reason: now, reset: false }
			: http(numbers, limits);
	};
	return times;
}

test.each([
	["refused", 1],
	["refused", 2],
	["silent", 3],
	["silent", 4],
	["silent", 5],
] as const)(
	"a guest on paper asks when a real daemon does: service %s, numbers %i",
	async (trouble, seed) => {
		const host = await createFakeHost({ enis: [eth1, eth2] });
		const { clock } = host;
		const before = await startDaemon(host);
		await before.sleep(30);
		await before.stop();

		let isGone = false;
		const real = listen(host, () => (isGone ? trouble : undefined));
		clock.setRandom(randomNumbers(seed));
		const startMs = clock.nowMs();
		const daemon = await startDaemon(host);
		await daemon.sleep(200);
		isGone = true;
		const fromMs = clock.nowMs();
		await daemon.sleep(220);
		host.plug(eth3);
		const plugMs = clock.nowMs();
		await daemon.sleep(200);
		isGone = false;
		const toMs = clock.nowMs();
		await daemon.sleep(200);
		const endMs = clock.nowMs();
		expect(daemon.log().join()).toMatch(/eth3: configured/);

		const onPaper: number[] = [];
		simulateGuest(
			{
				...{ enis: 2, resyncSeconds: 60, startMs, endMs, latencyMs },
				outage: { trouble, fromMs, toMs },
				// It is a moment until the daemon has heard of it.
				plugsMs: [real.find((ms) => ms > plugMs) ?? 0],
				random: randomNumbers(seed),
			},
			(ms) => onPaper.push(ms),
		);
		const rounded = (times: number[]) =>
			times
				.filter((ms) => ms < endMs)
				.map(Math.round)
				.sort((a, b) => a - b);
		expect(rounded(onPaper)).toEqual(rounded(real));
	},
);
