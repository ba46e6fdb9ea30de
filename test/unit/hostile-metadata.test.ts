import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { initscripts } from "../../src/backends/initscripts.js";
import { nextState } from "../../src/commit.js";
import { desire } from "../../src/desire.js";
import type { Observed, Request, State } from "../../src/model.js";
import { fetchCloud } from "../../src/observe/metadata.js";
import { makePlan } from "../../src/plan.js";
import { emptyState } from "../../src/state.js";
import {
	kernelOf,
	observedOf,
	renderer,
	requestOf,
	settingsOf,
} from "./given.js";
import {
	type Lies,
	liesAbout,
	liesAboutMachine,
	lyingService,
	quadOfPrefix,
	says,
	type TrueEni,
} from "./hostile-cloud.js";
import { applySteps, cloneGuest, type Guest } from "./kernel-model.js";
import { liesIn, saneProblems, stepProblems } from "./strict.js";

const scripts = "/etc/sysconfig/network-scripts";
const primary: TrueEni = {
	mac: "52:54:00:AA:00:00",
	ips: ["10.0.1.10"],
	gateway: "10.0.1.1",
	mask: "255.255.255.0",
};
/** In the primary's own subnet: the normal case, and the harder one. */
const suspect: TrueEni = {
	...primary,
	mac: "52:54:00:AA:00:01",
	ips: ["10.0.1.20", "10.0.1.21", "10.0.1.22"],
};
const good: TrueEni = {
	mac: "52:54:00:AA:00:02",
	ips: ["10.0.3.30", "10.0.3.31"],
	gateway: "10.0.3.1",
	mask: "255.255.255.128",
};
const enis = [primary, suspect, good];
const noLies: Lies = { machine: {}, enis: {} };
const all = requestOf({ targets: "all" });

const fresh: Guest = {
	kernel: kernelOf({
		links: {
			lo: { mac: "", up: true, addresses: ["inet 127.0.0.1/8 scope host lo"] },
			eth0: {
				mac: "52:54:00:aa:00:00",
				up: true,
				addresses: ["inet 10.0.1.10/24 brd 10.0.1.255 scope global eth0"],
			},
			docker0: {
				mac: "02:42:ac:11:00:01",
				devtype: "bridge",
				up: true,
				addresses: ["inet 172.17.0.1/16 scope global docker0"],
			},
			eth1: { mac: "52:54:00:aa:00:01" },
			eth2: { mac: "52:54:00:aa:00:02" },
		},
		routes: [
			"default via 10.0.1.1 dev eth0",
			"10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10",
			"172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1",
		],
		sysctls: Object.fromEntries([
			["ip_forward", "1"],
			...["all", "default", "eth0", "eth1", "eth2"].flatMap((name) => [
				[`conf/${name}/rp_filter`, "1"],
				[`conf/${name}/arp_ignore`, "0"],
				[`conf/${name}/promote_secondaries`, "0"],
			]),
		]),
	}),
	files: new Map(),
};

interface Asked {
	guest: Guest;
	state: State;
	lies: Lies;
	request?: Request;
	publicIps?: boolean;
	/** Where the service is said to be, when that matters. */
	metadataUrl?: string | undefined;
}

/** The whole way of an answer: read it, decide, plan, carry the plan out, remember. */
async function run({
	guest,
	state,
	lies,
	request = all,
	publicIps = false,
	metadataUrl,
}: Asked) {
	const settings = settingsOf({ metadataUrl });
	const service = lyingService(enis, lies);
	const { kernel, files } = cloneGuest(guest);
	const conf = files.get("/etc/sysctl.conf");
	const cloud = await fetchCloud(service.system, [service.url], state, {
		macs: kernel.links
			.filter(({ name }) => /^eth[0-9]$/.test(name))
			.map(({ mac }) => mac),
		primaryAddresses: true,
		publicIps,
	});
	const observed: Observed = {
		...observedOf({ links: {} }),
		...kernel,
		files: [...files]
			.filter(([path]) => path.startsWith(scripts))
			.map(([path, file]) => ({ path, ...file })),
		sysctlConf: conf && { path: "/etc/sysctl.conf", ...conf },
		cloud,
		state,
	};
	const desired = desire(observed, request, settings);
	const { steps } = makePlan(observed, desired, {
		backend: initscripts,
		renderer,
		restart: "auto",
		calm: [],
	});
	const after = applySteps(guest, steps);
	const next = nextState(observed, desired, request, settings, {
		kept: desired.interfaces,
		failed: [],
		gone: desired.gone,
		backups: [],
		extras: "kept",
		nowMs: 1000,
		isKernelDone: true,
	});
	return { cloud, desired, steps, after, state: next, service };
}

type Run = Awaited<ReturnType<typeof run>>;

/** What a NIC has in the kernel: its addresses, the rules and routes of its table, and its routes. */
function holdingsOf({ kernel }: Guest, name: string, table: number): string[] {
	const link = kernel.links.find((one) => one.name === name);
	return [
		...(link?.addresses.map(({ ip, prefix }) => `${ip}/${prefix}`) ?? []),
		...kernel.rules
			.filter((rule) => rule.table === table)
			.map((rule) => rule.words.join(" ")),
		...kernel.routes
			.filter((route) => route.table === table || route.devs.includes(name))
			.map((route) => route.words.join(" ")),
	];
}

/** The link that the guest's main table sends a packet to. */
function linkTo(guest: Guest, ip: string): string | undefined {
	const fitting = guest.kernel.routes.filter(
		({ table, dst, type }) =>
			table === 254 && type === "unicast" && liesIn(ip, dst),
	);
	const longest = Math.max(
		...fitting.map(({ dst }) => Number(dst.split("/")[1])),
	);
	return fitting.find(({ dst }) => dst.endsWith(`/${longest}`))?.devs[0];
}

function expectSafe(before: Guest, done: Run): void {
	const { cloud, desired, steps, after, state } = done;
	const theirs = ["10.0.1.10", "10.0.1.1", "172.17.0.1"];
	expect([
		...steps.flatMap(stepProblems),
		...[...after.files].flatMap(([path, { content }]) =>
			path.includes("/ifcfg-") ? saneProblems(content, theirs) : [],
		),
	]).toEqual([]);
	// state.json is a file as well, and so are its keys.
	expect(JSON.stringify(state)).toMatch(/^[A-Za-z0-9 :.,/_{}[\]"-]*$/);
	// What is said about it is short, and steers no terminal.
	const said = [
		...desired.verdicts.map(({ reason }) => reason),
		...desired.notes.map((note) => note.text),
		cloud.problem ?? "-",
	];
	expect(said.filter((text) => !/^[\x20-\x7e]{1,400}$/.test(text))).toEqual([]);
	expect(said.length).toBeLessThanOrEqual(20);
	// The primary keeps what it had, and the guest still finds its gateway behind it.
	const eth0 = ({ kernel }: Guest) =>
		JSON.stringify(kernel.links.find(({ name }) => name === "eth0"));
	expect(eth0(after)).toBe(eth0(before));
	expect(
		["10.0.1.1", "10.0.1.10", "198.51.100.1", "172.17.0.9"].map((ip) =>
			linkTo(after, ip),
		),
	).toEqual(["eth0", "eth0", "eth0", "docker0"]);
	// A leaf is asked for once, but for one retry: a run ends, whatever the answers.
	expect(cloud.requests).toBeLessThanOrEqual(2 * (3 + 1 + 3 * (4 + 512)));
}

/** Everything an ENI had before is still there. */
function expectNothingLost(before: Guest, after: Guest, name: string): void {
	const table = 1000 + Number(name.slice(3));
	const had = holdingsOf(before, name, table);
	const has = holdingsOf(after, name, table);
	expect(had.length > 5 && had.filter((line) => !has.includes(line))).toEqual(
		[],
	);
	const inFile = ({ files }: Guest) =>
		(files.get(`${scripts}/ifcfg-${name}`)?.content ?? "")
			.split("\n")
			.flatMap((line) => /^IPADDR[0-9]*=(.*)$/.exec(line)?.[1] ?? []);
	const stillInFile = inFile(after);
	expect(inFile(before).filter((ip) => !stillInFile.includes(ip))).toEqual([]);
}

function expectConfigured({ desired, after }: Run): void {
	expect(desired.interfaces.map(({ name }) => name)).toContain("eth2");
	expect(
		after.kernel.links
			.find(({ name }) => name === "eth2")
			?.addresses.map((address) => `${address.ip}/${address.prefix}`),
	).toEqual(["10.0.3.30/25", "10.0.3.31/32"]);
}

/** How the guest and its record may look before the answer comes. */
const starts = ["new", "configured", "no cache", "no record"] as const;
type Start = (typeof starts)[number];

async function startOf(start: Start): Promise<{ guest: Guest; state: State }> {
	if (start === "new") return { guest: fresh, state: emptyState() };
	const { after: guest, state } = await run({
		guest: fresh,
		state: emptyState(),
		lies: noLies,
		request: requestOf({ targets: ["eth1"] }),
	});
	if (start === "no record") return { guest, state: emptyState() };
	if (start === "configured") return { guest, state };
	const interfaces = Object.fromEntries(
		Object.entries(state.interfaces).map(([mac, { cache: _, ...entry }]) => [
			mac,
			entry,
		]),
	);
	return { guest, state: { ...state, interfaces } };
}

const start = fc.constantFrom(...starts);
const request = fc.constantFrom(
	all,
	requestOf({ targets: ["eth1", "eth2"] }),
	requestOf({ targets: ["eth1", "eth2"], fromMetadata: true }),
	requestOf({ targets: "all", force: true }),
);

describe("a metadata service that lies", { timeout: 120_000 }, () => {
	const prepared = Promise.all(
		starts.map(async (one) => [one, await startOf(one)] as const),
	).then((pairs) => new Map(pairs));

	test("about one ENI takes nothing from it, and the ENI beside it is configured all the same", async () => {
		const places = await prepared;
		await fc.assert(
			fc.asyncProperty(
				start,
				request,
				liesAbout(suspect),
				liesAboutMachine(enis, ["instance-id"]),
				fc.boolean(),
				async (from, asked, about, machine, publicIps) => {
					const { guest, state } = places.get(from) ?? (await startOf(from));
					const done = await run({
						guest,
						state,
						lies: { machine, enis: { [suspect.mac]: about } },
						request: asked,
						publicIps,
					});
					expectSafe(guest, done);
					if (from !== "new") expectNothingLost(guest, done.after, "eth1");
					expectConfigured(done);
				},
			),
			{ numRuns: 5500 },
		);
	});

	test("about everything at once takes nothing away and gets nothing unfit into a file or a command", async () => {
		const places = await prepared;
		await fc.assert(
			fc.asyncProperty(
				start,
				request,
				liesAbout(suspect, good.ips),
				liesAbout(good, [...suspect.ips, "10.0.1.10"]),
				liesAbout(primary, [...suspect.ips, ...good.ips]),
				liesAboutMachine(enis),
				async (from, asked, first, second, third, machine) => {
					const { guest, state } = places.get(from) ?? (await startOf(from));
					const lies = {
						machine,
						enis: {
							[suspect.mac]: first,
							[good.mac]: second,
							[primary.mac]: third,
						},
					};
					const done = await run({ guest, state, lies, request: asked });
					expectSafe(guest, done);
					if (from !== "new") expectNothingLost(guest, done.after, "eth1");
					// And the next answer, a true one, is believed again.
					if (done.desired.interfaces.length === 0) {
						const { after, state: later } = done;
						const next = await run({
							guest: after,
							state: later,
							lies: noLies,
						});
						expectConfigured(next);
					}
				},
			),
			{ numRuns: 4500 },
		);
	});
});

/** What a coherent lie about the suspect comes to: the reason, and whether it counts as metadata's fault or as a claim. */
async function verdictOn(
	ips: string[],
	gateway = suspect.gateway,
	mask = suspect.mask,
	metadataUrl?: string,
) {
	const lies = {
		machine: {},
		enis: {
			[suspect.mac]: {
				"primary-local-ipv4": says(ips[0] ?? ""),
				"local-ipv4s/": says(ips.map((ip) => `${ip}/`).join("\n")),
				gateway: says(gateway),
				"subnet-mask": says(mask),
			},
		},
	};
	const done = await run({
		guest: fresh,
		state: emptyState(),
		lies,
		metadataUrl,
	});
	expectSafe(fresh, done);
	expectConfigured(done);
	const verdict = done.desired.verdicts.find(({ link }) => link === "eth1");
	return {
		verdict: verdict && `${verdict.exitCode}: ${verdict.reason}`,
		notes: done.desired.notes.map(({ text }) => text),
		addresses: done.desired.interfaces.find(({ name }) => name === "eth1")
			?.addresses,
	};
}

describe("an ENI is not configured, and the reason is named, when its address", () => {
	test.each([
		[
			"the loopback",
			"127.0.0.1",
			"4: primary-local-ipv4 127.0.0.1 is a loopback address",
		],
		["multicast", "224.0.0.5", "is a multicast address"],
		["0.0.0.0", "0.0.0.0", "lies in 0.0.0.0/8"],
		["in 0.0.0.0/8", "0.1.2.3", "lies in 0.0.0.0/8"],
		[
			"link-local, as the metadata service's",
			"169.254.0.23",
			"is a link-local address",
		],
		[
			"the limited broadcast",
			"255.255.255.255",
			"is the broadcast address of all networks",
		],
		["reserved", "240.0.0.1", "lies in the reserved 240.0.0.0/4"],
		[
			"its subnet's network address",
			"10.0.1.0",
			"is the network address of 10.0.1.0/24",
		],
		[
			"its subnet's broadcast address",
			"10.0.1.255",
			"is the broadcast address of 10.0.1.255/24",
		],
		[
			"its own gateway",
			"10.0.1.1",
			"gateway 10.0.1.1 is the NIC's own address",
		],
		["the primary's", "10.0.1.10", "5: 10.0.1.10 stands on eth0: held"],
	])("is %s", async (_, ip, reason) => {
		expect((await verdictOn([ip])).verdict).toContain(reason);
	});

	test.each(
		Array.from(
			{ length: 8 },
			(_, prefix) => [prefix, quadOfPrefix(prefix)] as const,
		),
	)("has a mask of /%s", async (prefix, mask) => {
		expect((await verdictOn(["10.0.1.20"], "10.0.1.1", mask)).verdict).toBe(
			`4: primary-local-ipv4 10.0.1.20 has a mask of /${prefix}: expected /8 to /32`,
		);
	});

	test("has the primary's address as gateway", async () => {
		expect((await verdictOn(["10.0.1.20"], "10.0.1.10")).verdict).toBe(
			"5: its gateway 10.0.1.10 stands on eth0: held, not configured",
		);
	});

	test("is the primary's gateway", async () => {
		expect((await verdictOn(["10.0.1.1"], "10.0.1.2")).verdict).toBe(
			"5: 10.0.1.1 is the gateway of eth0: held, not configured",
		);
	});

	test("has a narrower mask than the primary's, over the primary's gateway", async () => {
		expect(
			(await verdictOn(["10.0.1.20"], "10.0.1.2", "255.255.255.224")).verdict,
		).toBe(
			"5: its subnet 10.0.1.0/27 would take 10.0.1.10 away from eth0 (10.0.1.10/24): held, not configured",
		);
	});

	test("is the metadata service's, wherever that is", async () => {
		expect(
			(
				await verdictOn(
					["10.0.1.20"],
					"10.0.1.1",
					suspect.mask,
					"http://10.0.1.20:8080/md",
				)
			).verdict,
		).toBe("5: 10.0.1.20 is the metadata service's own: held, not configured");
	});
});

test("a further address that is the primary's or its gateway is held, and the others are configured", async () => {
	const { addresses, notes } = await verdictOn(
		["10.0.1.20", "10.0.1.10", "10.0.1.1", "10.0.1.22"],
		"10.0.1.2",
	);
	expect(addresses).toEqual(["10.0.1.20/24", "10.0.1.22/32"]);
	expect(notes).toEqual([
		"10.0.1.1 is the gateway of eth0: held, not configured",
		"10.0.1.10 stands on eth0: held, not configured",
	]);
});

test("two ENIs of which one claims the other's gateway are both left alone", async () => {
	const lies = {
		machine: {},
		enis: {
			[suspect.mac]: {
				"primary-local-ipv4": says("10.0.3.1"),
				"local-ipv4s/": says("10.0.3.1/"),
				gateway: says("10.0.3.2"),
			},
		},
	};
	const { desired } = await run({ guest: fresh, state: emptyState(), lies });
	expect(desired.interfaces).toEqual([]);
	expect(
		desired.verdicts.slice(1).map(({ link, reason }) => `${link}: ${reason}`),
	).toEqual([
		"eth1: 10.0.3.1 is the gateway of eth2 as well: neither is configured",
		"eth2: its gateway 10.0.3.1 is given to eth1 as well: neither is configured",
	]);
});

describe("an answer of any length", () => {
	const list = (count: number) =>
		Array.from(
			{ length: count },
			(_, at) => `10.0.${4 + (at >> 8)}.${at & 255}`,
		).filter((ip) => !/\.(0|1|255)$/.test(ip));

	test("with 512 addresses is configured, and the files hold them all", async () => {
		const ips = list(600).slice(0, 512);
		const { addresses, verdict } = await verdictOn(
			ips,
			"10.0.4.1",
			"255.255.0.0",
		);
		expect(verdict).toBeUndefined();
		expect(addresses).toHaveLength(512);
	});

	test("with one more is refused by its number", async () => {
		const ips = list(600).slice(0, 513);
		expect((await verdictOn(ips, "10.0.4.1", "255.255.0.0")).verdict).toBe(
			"4: local-ipv4s/ lists 513 addresses, more than the 512 that one NIC can have",
		);
	});

	test("with ten thousand addresses is refused by its size", async () => {
		expect(
			(await verdictOn(list(10_000), "10.0.4.1", "255.255.0.0")).verdict,
		).toBe("4: local-ipv4s/ is larger than 65536 bytes");
	});

	test("cannot make a configured ENI grow for ever: what was kept counts as well", async () => {
		let { guest, state } = await startOf("new");
		const outcomes: string[] = [];
		for (let at = 0; at < 4; at += 1) {
			const ips = ["10.0.1.20", ...list(900).slice(at * 200, at * 200 + 200)];
			const lies = {
				machine: {},
				enis: {
					[suspect.mac]: {
						"local-ipv4s/": says(ips.join("\n")),
						"subnet-mask": says("255.255.0.0"),
						gateway: says("10.0.9.9"),
					},
				},
			};
			const done = await run({ guest, state, lies });
			outcomes.push(
				done.desired.verdicts.find(({ link }) => link === "eth1")?.reason ??
					"configured",
			);
			guest = done.after;
			state = done.state;
		}
		expect(outcomes).toEqual([
			"configured",
			"configured",
			"601 addresses, with those kept from before, are more than the 512 that one NIC can have",
			"601 addresses, with those kept from before, are more than the 512 that one NIC can have",
		]);
	});

	test("with a thousand MACs is one line, and the NICs that are there are configured", async () => {
		const macs = Array.from(
			{ length: 1000 },
			(_, at) =>
				`52:54:00:0F:${[at >> 8, at & 255].map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(":")}`,
		);
		const listing = [...enis.map(({ mac }) => mac), ...macs]
			.map((mac) => `${mac}/`)
			.join("\n");
		const lies = {
			machine: { "network/interfaces/macs/": says(listing) },
			enis: {},
		};
		const done = await run({ guest: fresh, state: emptyState(), lies });
		expectSafe(fresh, done);
		expectConfigured(done);
		const absent = done.desired.verdicts.filter(({ link }) => link === "-");
		expect(absent).toHaveLength(1);
		expect(absent[0]?.reason).toMatch(
			/^the metadata service lists 1000 ENIs without a NIC here: (52:54:00:0f:00:0[0-7], ){7}52:54:00:0f:00:07 and 992 more$/,
		);
		expect(done.service.requests()).toBeLessThan(20);
	});

	test("about the primary is one short note", async () => {
		const lies = {
			machine: {},
			enis: { [primary.mac]: { "local-ipv4s/": says(list(4000).join("\n")) } },
		};
		const done = await run({ guest: fresh, state: emptyState(), lies });
		expectConfigured(done);
		expect(done.desired.notes.map(({ text }) => text)).toEqual([
			expect.stringMatching(
				/^the primary ENI has (10\.0\.4\.\d+, ){7}10\.0\.4\.9 and 39\d\d more in the cloud/,
			),
		]);
	});
});

test("one wrong word about which ENI is the primary is forgotten with the next answer", async () => {
	const lies = { machine: { mac: says(suspect.mac) }, enis: {} };
	const misled = await run({ guest: fresh, state: emptyState(), lies });
	expectSafe(fresh, misled);
	expectConfigured(misled);
	expect(misled.desired.interfaces.map(({ name }) => name)).toEqual(["eth2"]);
	const { desired } = await run({
		guest: misled.after,
		state: misled.state,
		lies: noLies,
	});
	expect(desired.interfaces.map(({ name }) => name)).toEqual(["eth1", "eth2"]);
});

test("--from-metadata gives up the addresses of flags, and keeps what metadata itself listed before", async () => {
	const { guest, state } = await startOf("new");
	const flags = {
		addresses: ["10.0.1.30/24", "10.0.1.21/32"],
		gateway: "10.0.1.1",
	};
	const named = (more: Partial<Request>) =>
		requestOf({ targets: ["eth1"], ...more });
	const byFlags = await run({
		guest,
		state,
		lies: noLies,
		request: named({ flags }),
	});
	const fromMetadata = named({ fromMetadata: true });
	const back = await run({
		guest: byFlags.after,
		state: byFlags.state,
		lies: noLies,
		request: fromMetadata,
	});
	expect(back.desired.interfaces[0]?.addresses).toEqual([
		"10.0.1.20/24",
		"10.0.1.21/32",
		"10.0.1.22/32",
	]);
	const cut = { "local-ipv4s/": says("10.0.1.20/\n") };
	const later = await run({
		guest: back.after,
		state: back.state,
		lies: { machine: {}, enis: { [suspect.mac]: cut } },
		request: fromMetadata,
	});
	expect(later.steps).toEqual([]);
	expect(later.desired.notes.map(({ text }) => text)).toEqual([
		"10.0.1.21 is no longer listed by the metadata service: kept; --prune removes it",
		"10.0.1.22 is no longer listed by the metadata service: kept; --prune removes it",
	]);
});
