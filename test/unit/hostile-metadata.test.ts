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
const settings = settingsOf();

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
}

/** The whole way of an answer: read it, decide, plan, carry the plan out, remember. */
async function run({
	guest,
	state,
	lies,
	request = all,
	publicIps = false,
}: Asked) {
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
	});
	const after = applySteps(guest, steps);
	const next = nextState(observed, desired, request, settings, {
		kept: desired.interfaces,
		failed: [],
		gone: desired.gone,
		backups: [],
		bootId: "boot",
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
