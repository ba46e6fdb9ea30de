import { cpus, loadavg } from "node:os";
import { describe, expect, it } from "vitest";
import { type Daemon, sleep, until } from "./daemon";
import type { Answer } from "./programs/protocol";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	fileTimes,
	inSandbox,
	otherSubnet,
	sameSubnet,
	shell,
	withoutLoss,
} from "./scenario";
import {
	eni,
	hangUp,
	linesSince,
	macOf,
	macs,
	startWatching,
	statusOf,
	untilAddress,
	untilReachable,
	watched,
} from "./watched";

const eth1 = `${macs}${macOf(2)}`;
const page = "<html><head><title>Log in</title></head><body></body></html>";

interface Trouble {
	begin(sandbox: Sandbox): Promise<void>;
	end(sandbox: Sandbox): Promise<void>;
}

const back = (s: Sandbox) => s.metadata.up();
/** The answers of these paths are others for a while. */
function lying(answers: Record<string, Answer>): Trouble {
	return {
		begin: async (s) => {
			for (const [path, answer] of Object.entries(answers))
				await s.metadata.override(path, answer);
		},
		end: (s) => s.metadata.clearOverrides(),
	};
}
const everything = (answer: Answer) =>
	lying(
		Object.fromEntries(
			[
				"mac",
				"instance-id",
				macs,
				`${eth1}/local-ipv4s/`,
				`${eth1}/primary-local-ipv4`,
				`${eth1}/local-ipv4s/10.0.1.20/gateway`,
				`${eth1}/local-ipv4s/10.0.1.20/subnet-mask`,
			].map((path) => [path, answer]),
		),
	);

const troubles: [string, Trouble][] = [
	["refuses", { begin: (s) => s.metadata.refuse(), end: back }],
	["hangs", { begin: (s) => s.metadata.hang(), end: back }],
	["never answers what it has accepted", everything({ hang: true })],
	["answers 500", everything({ status: 500, body: "10.0.1.20/" })],
	["answers `not available`", everything({ body: "not available" })],
	["answers HTML", everything({ body: page })],
	["answers garbage", everything({ body: "\u0001\u0002\u00ff;;; 10.0.1.20" })],
	["answers nothing", everything({ body: "" })],
	["answers 404", everything({ status: 404, body: "404 not found" })],
	["resets", everything({ reset: true })],
	[
		"redirects",
		everything({
			status: 302,
			headers: { Location: "http://169.254.0.23/latest/meta-data/trap" },
		}),
	],
	["lists the primary alone", lying({ [macs]: { body: `${macOf(1)}/` } })],
	["lists no address", lying({ [`${eth1}/local-ipv4s/`]: { body: "" } })],
	[
		"cuts the list of addresses off",
		lying({
			[`${eth1}/local-ipv4s/`]: {
				body: "10.0.1.20/\n10.0.1.21/\n10.0.1.22/",
				truncateAt: 12,
			},
		}),
	],
];

describe("metadata in trouble", () => {
	it.concurrent.each(troubles)(
		"that %s takes nothing away, and what drifts meanwhile is put right",
		async (_, trouble) =>
			watched(
				{ enis: [sameSubnet, otherSubnetAs("eth2")] },
				async (s, daemon) => {
					const all = [...sameSubnet.addresses, ...otherSubnet.addresses];
					await untilReachable(s, all);
					await hangUp(s, daemon);
					await withoutLoss(s, async () => {
						const probe = await s.probe("10.0.1.20");
						const files = await fileTimes(s);
						const before = await s.snapshot();
						await trouble.begin(s);
						await hangUp(s, daemon);
						await hangUp(s, daemon);
						expect(await s.snapshot()).toBe(before);
						expect(await fileTimes(s)).toBe(files);
						const from = daemon.log().length;
						await shell(s, "ip addr del 10.0.1.21/32 dev eth1");
						await untilReachable(s, ["10.0.1.21"], 5000);
						await daemon.line(
							/eth1: put right: 10\.0\.1\.21\/32 was missing/,
							5000,
							from,
						);
						// Late answers have come by now, and changed nothing.
						await sleep(2500);
						await hangUp(s, daemon);
						expect(await s.snapshot()).toBe(before);
						await trouble.end(s);
						await hangUp(s, daemon);
						expect(await s.snapshot()).toBe(before);
						expect((await probe.stop()).lost).toBe(0);
					});
					await expectReachable(s, all);
					expect((await statusOf(s))?.metadata.problem).toBeUndefined();
					expect(
						(await s.metadata.requests()).filter(({ path }) =>
							/trap/.test(path),
						),
					).toEqual([]);
				},
			),
		120_000,
	);

	it("that tells the addresses in another order, or an old list once, changes nothing and writes nothing", () =>
		watched({ enis: [sameSubnet] }, async (s, daemon) => {
			await untilReachable(s, sameSubnet.addresses);
			await hangUp(s, daemon);
			const before = await s.snapshot();
			const files = await fileTimes(s);
			const from = daemon.log().length;
			const list = `${eth1}/local-ipv4s/`;
			for (const body of [
				"10.0.1.22/\n10.0.1.20/\n10.0.1.21/",
				"10.0.1.21/\n10.0.1.22/\n10.0.1.20",
			]) {
				await s.metadata.override(list, { body });
				await hangUp(s, daemon);
			}
			expect(linesSince(daemon, from)).toEqual([]);
			await s.metadata.clearOverrides();
			await s.metadata.override(list, {
				body: "10.0.1.20/\n10.0.1.21/",
				times: 1,
			});
			const status = await hangUp(s, daemon);
			expect(status.releases).toEqual([
				expect.objectContaining({ link: "eth1", addresses: ["10.0.1.22/32"] }),
			]);
			expect((await hangUp(s, daemon)).releases).toEqual([]);
			expect(linesSince(daemon, from)).toEqual([
				"eth1: 10.0.1.22 is no longer listed by the metadata service: kept until that has stayed the answer",
			]);
			expect(await s.snapshot()).toBe(before);
			expect(await fileTimes(s)).toBe(files);
		}));
});

const outageMs = 15_500;
const outages = troubles.filter(([name]) =>
	/refuses|hangs|never|500|primary alone/.test(name),
);

let last: Promise<unknown> = Promise.resolve();
/** One at a time, while other tests wait for their outage to have lasted. */
function alone(body: () => Promise<void>): Promise<void> {
	const own = last.then(body);
	last = own.catch(() => {});
	return own;
}

/** Ends an outage at some time between two questions; what was plugged meanwhile has to answer within 2 s. */
async function expectPrompt(
	s: Sandbox,
	daemon: Daemon,
	trouble: Trouble,
	addresses: string[],
): Promise<void> {
	await sleep(outageMs);
	expect(await s.ip("-o", "-4", "addr", "show", "eth3")).toBe("");
	await alone(async () => {
		const start = Date.now();
		await trouble.end(s);
		await daemon.line(/eth3: configured/);
		const tookMs = Date.now() - start;
		// Where the machine has no time for it, at least the question is to come in time.
		const asked = (await s.metadata.requests()).find(
			({ path, timeMs }) => timeMs >= start && path.endsWith("/macs/"),
		);
		expect((asked?.timeMs ?? 0) - start).toBeLessThan(1750);
		if ((loadavg()[0] as number) < 2 * cpus().length)
			expect(tookMs, "ms from metadata's return").toBeLessThan(2000);
	});
	await expectReachable(s, addresses);
}

describe("a NIC that is plugged in during an outage", () => {
	it.concurrent.each(outages)(
		"(metadata %s) answers within 2 s of its end",
		async (_, trouble) =>
			watched({ enis: [sameSubnet] }, async (s, daemon) => {
				await untilReachable(s, sameSubnet.addresses);
				await trouble.begin(s);
				await s.plug(eni(3));
				await expectPrompt(s, daemon, trouble, eni(3).addresses);
				await expectReachable(s, sameSubnet.addresses);
			}),
		120_000,
	);

	it.concurrent.each(outages)(
		"(metadata %s, from before the daemon's start) answers within 2 s of its end",
		async (_, trouble) =>
			inSandbox({ enis: [eni(3)] }, async (s) => {
				await trouble.begin(s);
				const daemon = await startWatching(s);
				await expectPrompt(s, daemon, trouble, eni(3).addresses);
			}),
		120_000,
	);

	it.concurrent("is named in the status with the time of the next question, and said once", async () =>
		watched({}, async (s, daemon) => {
			await s.metadata.refuse();
			const from = daemon.log().length;
			await s.plug(sameSubnet);
			await until(
				"eth1 waits",
				async () =>
					(await statusOf(s))?.waiting.some(({ link }) => link === "eth1") ??
					false,
			);
			await sleep(4000);
			const status = await hangUp(s, daemon);
			const [own] = status.waiting.filter(({ link }) => link === "eth1");
			expect(own).toMatchObject({ kind: "pending" });
			expect(Date.parse(own?.retryAt ?? "") - Date.now()).toBeLessThan(2000);
			expect(status.metadata.problem).toMatch(/cannot be read/);
			expect(
				linesSince(daemon, from).filter((line) => /^eth1/.test(line)),
			).toHaveLength(1);
			await s.metadata.up();
			await untilAddress(s, "eth1", "10.0.1.22");
		}));
});

function otherSubnetAs(name: string) {
	return { ...otherSubnet, name };
}
