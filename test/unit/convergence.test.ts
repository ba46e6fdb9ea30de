import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { initscripts } from "../../src/backends/initscripts.js";
import { nextState } from "../../src/commit.js";
import { managedOf } from "../../src/desire/managed.js";
import { desire } from "../../src/desire.js";
import { mark } from "../../src/marker.js";
import type {
	CloudView,
	Desired,
	FileState,
	InterfaceSpec,
	KernelState,
	Link,
	Observed,
	Restart,
	Step,
} from "../../src/model.js";
import { kernelDifference } from "../../src/plan/kernel-difference.js";
import { revertKernel, revertSteps } from "../../src/plan/revert.js";
import { kernelWant, makePlan, touchedBy } from "../../src/plan.js";
import { summarize } from "../../src/report.js";
import { emptyState } from "../../src/state.js";
import { kernelFindings } from "../../src/verify.js";
import { macOf } from "./arbitraries.js";
import {
	cloudOf,
	kernelOf,
	observedOf,
	renderer,
	requestOf,
	settingsOf,
} from "./given.js";
import {
	applySteps,
	cloneGuest,
	describeGuest,
	type Guest,
} from "./kernel-model.js";

const scripts = "/etc/sysconfig/network-scripts";
const primaryMac = macOf(0);

/** One ENI as the cloud has it, and what a guest may already look like on its NIC. */
interface EniCase {
	number: number;
	/** In the primary's own subnet, or in a subnet of its own. */
	isShared: boolean;
	hosts: number[];
	/** Another tool's address and static route on the NIC. */
	hasForeign: boolean;
	isUp: boolean;
	/** Its addresses stand on the NIC already, as after the guide's commands without its files. */
	isByHand: boolean;
}

const eniCase: fc.Arbitrary<EniCase> = fc.record({
	number: fc.integer({ min: 1, max: 12 }),
	isShared: fc.boolean(),
	hosts: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), {
		minLength: 1,
		maxLength: 5,
	}),
	hasForeign: fc.boolean(),
	isUp: fc.boolean(),
	isByHand: fc.boolean(),
});
const eniCases = fc.uniqueArray(eniCase, {
	minLength: 1,
	maxLength: 3,
	selector: (one) => one.number,
});
const restart = fc.constantFrom<Restart>("auto", "interface");

function addressesOf({ number, isShared, hosts }: EniCase): {
	ips: string[];
	gateway: string;
	prefix: number;
} {
	const base = isShared ? "10.0.1" : `10.9.${number}`;
	const first = isShared ? 20 + number * 12 : 20;
	return {
		ips: hosts.map((host) => `${base}.${first + host}`),
		gateway: `${base}.1`,
		prefix: 24,
	};
}

function guestOf(cases: EniCase[]): Guest {
	const links = Object.fromEntries(
		cases.map(({ number }) => [
			`eth${number}`,
			{ mac: macOf(number), up: false, addresses: [] },
		]),
	);
	const kernel = kernelOf({
		links: {
			lo: { mac: "", up: true, addresses: ["inet 127.0.0.1/8 scope host lo"] },
			eth0: {
				mac: primaryMac,
				up: true,
				addresses: ["inet 10.0.1.10/24 brd 10.0.1.255 scope global eth0"],
			},
			docker0: {
				mac: "02:42:ac:11:00:01",
				devtype: "bridge",
				up: true,
				addresses: ["inet 172.17.0.1/16 scope global docker0"],
			},
			...links,
		},
		routes: [
			"default via 10.0.1.1 dev eth0",
			"10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10",
			"172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1",
		],
		rules: [
			"0:	from all lookup local",
			"1024:	from all to 10.77.0.0/16 lookup 2000",
			"32766:	from all lookup main",
			"32767:	from all lookup default",
		],
		sysctls: Object.fromEntries([
			["ip_forward", "1"],
			...["all", "default", "eth0", ...Object.keys(links)].map((name) => [
				`conf/${name}/rp_filter`,
				"1",
			]),
			...Object.keys(links).flatMap((name) => [
				[`conf/${name}/arp_ignore`, "0"],
				[`conf/${name}/promote_secondaries`, "0"],
			]),
		]),
	});
	let guest: Guest = {
		kernel,
		files: new Map([
			[
				"/etc/sysctl.conf",
				{
					content: "net.ipv4.conf.all.rp_filter = 1",
					mode: 0o600,
					uid: 0,
					gid: 0,
				},
			],
		]),
	};
	for (const one of cases) {
		const { number, hasForeign, isUp, isByHand } = one;
		const link = `eth${number}`;
		const steps: Step[] = [
			...(isUp || hasForeign || isByHand
				? [{ kind: "link" as const, link, op: "up" as const }]
				: []),
			...(hasForeign
				? [
						{
							kind: "addr" as const,
							link,
							op: "add" as const,
							words: [`203.0.113.${number}/32`],
						},
						{
							kind: "route" as const,
							link,
							op: "add" as const,
							words: [`198.51.100.${number}/32`, "dev", link],
						},
					]
				: []),
		];
		const { ips, prefix } = addressesOf(one);
		const byHand = isByHand ? ips : [];
		for (const [at, ip] of byHand.entries()) {
			const words = [`${ip}/${at === 0 ? prefix : 32}`];
			steps.push({ kind: "addr", link, op: "add", words });
		}
		guest = applySteps(guest, steps);
	}
	return guest;
}

function cloudFor(cases: EniCase[]): CloudView {
	return cloudOf({
		primaryMac,
		listed: [primaryMac, ...cases.map(({ number }) => macOf(number))],
		enis: Object.fromEntries(
			cases.map((one) => {
				const { ips, gateway, prefix } = addressesOf(one);
				const mac = macOf(one.number);
				return [
					mac,
					{
						state: "ok" as const,
						eni: {
							mac,
							addresses: ips,
							primaryAddress: ips[0] ?? "",
							prefix,
							gateway,
							publicIps: {},
						},
					},
				];
			}),
		),
	});
}

function observe(
	guest: Guest,
	cloud: CloudView,
	state = emptyState(),
): Observed {
	const { kernel, files } = cloneGuest(guest);
	const conf = files.get("/etc/sysctl.conf");
	return {
		...observedOf({ links: {} }),
		...kernel,
		files: [...files]
			.filter(([path]) => path.startsWith(scripts))
			.map(([path, file]) => ({ path, ...file })),
		sysctlConf: conf && { path: "/etc/sysctl.conf", ...conf },
		cloud,
		state,
	};
}

const settings = settingsOf();
const means = (mode: Restart = "auto") => ({
	backend: initscripts,
	renderer,
	restart: mode,
	calm: [],
});
const all = requestOf({ targets: "all" });

/** One run as the agent does it: plan, apply, then the first rung of the ladder; and its new state. */
function run(
	guest: Guest,
	cloud: CloudView,
	state = emptyState(),
	request = all,
	mode: Restart = "auto",
) {
	const observed = observe(guest, cloud, state);
	const desired = desire(observed, request, settings);
	const { steps } = makePlan(observed, desired, means(mode));
	const applied = applySteps(guest, steps);
	const want = kernelWant(observed, desired, touchedBy(steps));
	const mending = kernelDifference(want, applied.kernel);
	const after = applySteps(applied, mending);
	const committed = {
		kept: desired.interfaces,
		failed: [],
		gone: desired.gone,
		backups: [],
		extras: "kept" as const,
		nowMs: 1000,
		isKernelDone: true,
	};
	return {
		observed,
		desired,
		steps,
		applied,
		mending,
		want,
		after,
		state: nextState(observed, desired, request, settings, committed),
	};
}

/** The links of the modelled guest, without what no address says. */
const foreignOf = (guest: Guest, cases: EniCase[]) =>
	cases.flatMap(({ number }) => [
		guest.kernel.links
			.find((link: Link) => link.name === `eth${number}`)
			?.addresses.some((address) => address.ip === `203.0.113.${number}`),
		guest.kernel.routes.some(
			(route) => route.dst === `198.51.100.${number}/32`,
		),
	]);

describe("a run, on a modelled CentOS 7 kernel", () => {
	test("ends in the state that was wanted, and a second one has nothing to do", () => {
		fc.assert(
			fc.property(eniCases, restart, (cases, mode) => {
				const guest = guestOf(cases);
				const cloud = cloudFor(cases);
				const first = run(guest, cloud, emptyState(), all, mode);
				expect(first.desired.interfaces).toHaveLength(cases.length);
				expect(first.mending.map(summarize)).toEqual([]);
				expect(kernelFindings(first.want, first.after.kernel)).toEqual([]);
				const second = run(first.after, cloud, first.state, all, mode);
				expect(second.steps.map(summarize)).toEqual([]);
				expect(second.state).toEqual(first.state);
			}),
			{ numRuns: 150 },
		);
	});

	test("leaves the primary, its default route, other tools' rules and addresses as they were", () => {
		fc.assert(
			fc.property(eniCases, restart, (cases, mode) => {
				const guest = guestOf(cases);
				const { after } = run(guest, cloudFor(cases), emptyState(), all, mode);
				const others = (kernel: KernelState) => ({
					links: kernel.links.filter(
						(link) => !cases.some(({ number }) => link.name === `eth${number}`),
					),
					routes: kernel.routes
						.filter(
							(route) =>
								route.devs.includes("eth0") || route.devs.includes("docker0"),
						)
						.map((route) => route.words),
					rules: kernel.rules
						.filter((rule) => rule.priority < 1001 || rule.priority > 1012)
						.map((rule) => rule.words),
					forward: kernel.sysctls.ip_forward,
				});
				expect(others(after.kernel)).toEqual(others(guest.kernel));
				expect(foreignOf(after, cases)).toEqual(foreignOf(guest, cases));
				// The first route to the primary's subnet is the primary's: that is where its replies leave.
				expect(
					after.kernel.routes.find(
						(route) => route.table === 254 && route.dst === "10.0.1.0/24",
					)?.devs,
				).toEqual(["eth0"]);
				expect(
					after.kernel.routes.filter(
						(route) =>
							route.table === 254 &&
							route.dst === "10.0.1.0/24" &&
							route.metric === 0,
					),
				).toHaveLength(1);
			}),
			{ numRuns: 150 },
		);
	});

	test("makes each private IP leave by its own ENI, containers excepted", () => {
		fc.assert(
			fc.property(eniCases, (cases) => {
				const { after } = run(guestOf(cases), cloudFor(cases));
				for (const one of cases) {
					const { ips, gateway } = addressesOf(one);
					for (const ip of ips) {
						const [rule, ...more] = after.kernel.rules.filter(
							(candidate) => candidate.from === `${ip}/32`,
						);
						expect(more).toEqual([]);
						const table = after.kernel.routes.filter(
							(route) => route.table === rule?.table,
						);
						expect(
							table.find((route) => route.dst === "0.0.0.0/0"),
						).toMatchObject({ via: gateway, devs: [`eth${one.number}`] });
						expect(
							table.find((route) => route.dst === "172.17.0.0/16")?.type,
						).toBe("throw");
					}
				}
			}),
			{ numRuns: 100 },
		);
	});

	test("follows an ENI whose private IPs change, without taking the link down", () => {
		fc.assert(
			fc.property(
				eniCase,
				fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }),
				(one, hosts) => {
					const before = run(guestOf([one]), cloudFor([one]));
					const changed = {
						...one,
						hosts: [...new Set([one.hosts[0] as number, ...hosts])],
					};
					const cloud = cloudFor([changed]);
					const next = run(before.after, cloud, before.state, {
						...all,
						prune: true,
					});
					expect(next.steps.filter((step) => step.kind === "run")).toEqual([]);
					expect(next.mending).toEqual([]);
					const own =
						next.after.kernel.links
							.find((link) => link.name === `eth${one.number}`)
							?.addresses.map((address) => address.ip) ?? [];
					expect(own.filter((ip) => ip.startsWith("10.")).sort()).toEqual(
						addressesOf(changed).ips.sort(),
					);
					expect(
						run(next.after, cloud, next.state, { ...all, prune: true }).steps,
					).toEqual([]);
				},
			),
			{ numRuns: 100 },
		);
	});

	function runAndRemove(cases: EniCase[]): { before: Guest; after: Guest } {
		const before = guestOf(cases);
		const cloud = cloudFor(cases);
		const first = run(before, cloud);
		const targets = cases.map(({ number }) => `eth${number}`);
		const request = requestOf({ verb: "remove", targets });
		return {
			before,
			after: run(first.after, cloud, first.state, request).after,
		};
	}

	test("is undone by remove: files, rules, routes, addresses and sysctls are as before the agent came", () => {
		// Its own test below.
		const isDemotedInPlace = ({ isShared, hasForeign, isByHand }: EniCase) =>
			isShared && hasForeign && isByHand;
		fc.assert(
			fc.property(eniCases, (cases) => {
				fc.pre(!cases.some(isDemotedInPlace));
				const { before, after } = runAndRemove(cases);
				expect(describeGuest(after)).toEqual(describeGuest(before));
			}),
			{ numRuns: 100 },
		);
	});

	test("is undone by remove where the address was there before and the link is not bounced: its subnet route is no longer demoted", () => {
		const { before, after } = runAndRemove([
			{
				number: 1,
				isShared: true,
				hosts: [0],
				hasForeign: true,
				isUp: true,
				isByHand: true,
			},
		]);
		expect(describeGuest(after)).toEqual(describeGuest(before));
	});

	test("mends a link that somebody took down, on a kernel that takes the same rule twice", () => {
		fc.assert(
			fc.property(eniCase, (one) => {
				const cloud = cloudFor([one]);
				const first = run(guestOf([one]), cloud);
				const down = applySteps(first.after, [
					{ kind: "link", link: `eth${one.number}`, op: "down" },
				]);
				const second = run(down, cloud, first.state);
				expect(kernelFindings(second.want, second.after.kernel)).toEqual([]);
				const sources = second.after.kernel.rules
					.filter((rule) => rule.priority === 1000 + one.number)
					.map((rule) => rule.from);
				const wanted = addressesOf(one).ips.map((ip) => `${ip}/32`);
				expect(sources.sort()).toEqual(wanted.sort());
				expect(
					run(second.after, cloud, second.state).steps.map(summarize),
				).toEqual([]);
			}),
			{ numRuns: 100 },
		);
	});
});

describe("the kernel's difference", () => {
	test("applied to any half-done kernel leaves no difference", () => {
		fc.assert(
			fc.property(
				eniCases,
				fc.nat(),
				fc.integer({ min: 1, max: 6 }),
				(cases, from, count) => {
					const first = run(guestOf(cases), cloudFor(cases));
					// Some of what the agent put there is lost again, from anywhere.
					const broken = cloneGuest(first.after);
					const isOurs = (link: string) =>
						cases.some(({ number }) => link === `eth${number}`);
					for (let at = 0; at < count; at += 1) {
						const rules = broken.kernel.rules.filter(
							(rule) => rule.priority >= 1001 && rule.priority <= 1012,
						);
						const routes = broken.kernel.routes.filter(
							(route) => route.devs.some(isOurs) || route.type === "throw",
						);
						const lost = [...rules, ...routes][
							(from + at * 7) % (rules.length + routes.length)
						];
						broken.kernel.rules = broken.kernel.rules.filter(
							(rule) => rule !== lost,
						);
						broken.kernel.routes = broken.kernel.routes.filter(
							(route) => route !== lost || route.dst.startsWith("198.51.100."),
						);
					}
					const steps = kernelDifference(first.want, broken.kernel);
					const mended = applySteps(broken, steps);
					expect(
						kernelDifference(first.want, mended.kernel).map(summarize),
					).toEqual([]);
				},
			),
			{ numRuns: 150 },
		);
	});

	test("takes away nothing that the record does not imply", () => {
		fc.assert(
			fc.property(eniCases, (cases) => {
				const { want, after } = run(guestOf(cases), cloudFor(cases));
				const busy = applySteps(after, [
					{
						kind: "rule",
						link: undefined,
						op: "add",
						words: [
							"from",
							"10.200.0.5/32",
							"lookup",
							"1001",
							"priority",
							"1001",
						],
					},
					{
						kind: "rule",
						link: undefined,
						op: "add",
						words: [
							"from",
							`${addressesOf(cases[0] as EniCase).ips[0]}/32`,
							"lookup",
							"2000",
							"priority",
							"1536",
						],
					},
					{
						kind: "route",
						link: "eth0",
						op: "add",
						words: ["198.18.0.0/15", "via", "10.0.1.1", "dev", "eth0"],
					},
				]);
				expect(kernelDifference(want, busy.kernel)).toEqual([]);
			}),
			{ numRuns: 50 },
		);
	});
});

describe("roll back", () => {
	// Files by the inverse of the steps, then the kernel by comparison until nothing is left, as the agent does.
	function rollBack(
		guest: Guest,
		done: Step[],
		observed: Observed,
		desired: Desired,
	): Guest {
		const scope = { links: "all" as const, touched: touchedBy(done) };
		let now = applySteps(guest, revertSteps(done, scope));
		for (let attempt = 0; attempt < 3; attempt += 1)
			now = applySteps(now, revertKernel(observed, now.kernel, desired, scope));
		return now;
	}

	test("after any number of a plan's steps gives back the state before", () => {
		fc.assert(
			fc.property(eniCases, restart, fc.nat(), (cases, mode, cut) => {
				const guest = guestOf(cases);
				const { observed, desired, steps } = run(
					guest,
					cloudFor(cases),
					emptyState(),
					all,
					mode,
				);
				const done = steps.slice(0, cut % (steps.length + 1));
				const back = rollBack(applySteps(guest, done), done, observed, desired);
				expect(describeGuest(back)).toEqual(describeGuest(guest));
			}),
			{ numRuns: 200 },
		);
	});

	test("of a change to a configured ENI gives back what was configured", () => {
		fc.assert(
			fc.property(
				eniCases,
				fc.uniqueArray(fc.integer({ min: 0, max: 9 }), {
					minLength: 1,
					maxLength: 4,
				}),
				restart,
				fc.nat(),
				(cases, hosts, mode, cut) => {
					const first = run(guestOf(cases), cloudFor(cases));
					const cloud = cloudFor(cases.map((one) => ({ ...one, hosts })));
					const { observed, desired, steps } = run(
						first.after,
						cloud,
						first.state,
						{ ...all, prune: true },
						mode,
					);
					const done = steps.slice(0, cut % (steps.length + 1));
					const back = rollBack(
						applySteps(first.after, done),
						done,
						observed,
						desired,
					);
					expect(describeGuest(back)).toEqual(describeGuest(first.after));
				},
			),
			{ numRuns: 200 },
		);
	});

	test("of a removal gives the ENI back", () => {
		fc.assert(
			fc.property(eniCases, fc.nat(), (cases, cut) => {
				const first = run(guestOf(cases), cloudFor(cases));
				const request = requestOf({
					verb: "remove",
					targets: [`eth${cases[0]?.number}`],
				});
				const { observed, desired, steps } = run(
					first.after,
					cloudFor(cases),
					first.state,
					request,
				);
				const done = steps.slice(0, cut % (steps.length + 1));
				const back = rollBack(
					applySteps(first.after, done),
					done,
					observed,
					desired,
				);
				expect(describeGuest(back)).toEqual(describeGuest(first.after));
			}),
			{ numRuns: 150 },
		);
	});

	test("leaves alone what somebody else added meanwhile", () => {
		const one: EniCase = {
			number: 1,
			isShared: false,
			hosts: [0],
			hasForeign: false,
			isUp: false,
			isByHand: false,
		};
		const guest = guestOf([one]);
		const { observed, desired, steps, after } = run(guest, cloudFor([one]));
		const busy = applySteps(after, [
			{ kind: "addr", link: "eth0", op: "add", words: ["10.0.1.99/32"] },
			{
				kind: "route",
				link: "eth0",
				op: "add",
				words: ["198.18.0.0/15", "via", "10.0.1.1", "dev", "eth0"],
			},
			{
				kind: "rule",
				link: undefined,
				op: "add",
				words: ["from", "10.0.1.99/32", "lookup", "2000", "priority", "1536"],
			},
		]);
		const back = rollBack(busy, steps, observed, desired);
		const gained = describeGuest(back).filter(
			(line) => !describeGuest(guest).includes(line),
		);
		expect(gained).toEqual([
			"addr eth0 10.0.1.99/32 global",
			"rule from 10.0.1.99 lookup 2000 priority 1536",
			"route 198.18.0.0/15 via 10.0.1.1 dev eth0",
		]);
	});

	test("of what was changed twice ends at what was there first", () => {
		const guest = guestOf([]);
		const set = (value: string, before: string): Step => ({
			kind: "sysctl",
			link: undefined,
			key: "conf/all/rp_filter",
			value,
			before,
		});
		const done = [set("2", "1"), set("0", "2")];
		const scope = { links: "all" as const, touched: [] };
		const back = applySteps(applySteps(guest, done), revertSteps(done, scope));
		expect(describeGuest(back)).toEqual(describeGuest(guest));
	});

	test("of one link keeps the others", () => {
		const cases: EniCase[] = [1, 2].map((number) => ({
			number,
			isShared: false,
			hosts: [0],
			hasForeign: false,
			isUp: false,
			isByHand: false,
		}));
		const guest = guestOf(cases);
		const { observed, desired, steps, after } = run(guest, cloudFor(cases));
		const scope = { links: ["eth1"], touched: touchedBy(steps) };
		let now = applySteps(after, revertSteps(steps, scope));
		now = applySteps(now, revertKernel(observed, now.kernel, desired, scope));
		expect(now.kernel.links.find((link) => link.name === "eth1")).toMatchObject(
			{ up: false, addresses: [] },
		);
		expect(now.kernel.rules.map((rule) => rule.priority)).not.toContain(1001);
		expect(now.kernel.rules.map((rule) => rule.priority)).toContain(1002);
		expect(now.kernel.routes.some((route) => route.table === 1002)).toBe(true);
		expect(
			[...now.files.keys()].filter((path) => path.endsWith("eth1")),
		).toEqual([]);
		expect(
			[...now.files.keys()].filter((path) => path.endsWith("eth2")),
		).toHaveLength(3);
	});
});

describe("table numbers", () => {
	const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), {
		minLength: 1,
		maxLength: 8,
	});
	const taken = fc.uniqueArray(fc.integer({ min: 1001, max: 1031 }), {
		maxLength: 6,
	});

	function guestWith(
		list: number[],
		foreign: number[],
	): { observed: Observed; cloud: CloudView } {
		const cases = list.map(
			(number): EniCase => ({
				number,
				isShared: false,
				hosts: [0],
				hasForeign: false,
				isUp: false,
				isByHand: false,
			}),
		);
		const guest = guestOf(cases);
		const cloud = cloudFor(cases);
		const steps = foreign.map(
			(table): Step => ({
				kind: "rule",
				link: undefined,
				op: "add",
				words: [
					"from",
					"10.222.0.0/16",
					"lookup",
					String(table),
					"priority",
					String(table),
				],
			}),
		);
		return { observed: observe(applySteps(guest, steps), cloud), cloud };
	}
	const tablesOf = (interfaces: InterfaceSpec[]) =>
		Object.fromEntries(interfaces.map((spec) => [spec.mac, spec.table]));

	test("never collide with each other or with somebody else's, and are the link's own where that is free", () => {
		fc.assert(
			fc.property(numbers, taken, (list, foreign) => {
				const { observed } = guestWith(list, foreign);
				const { interfaces } = desire(observed, all, settings);
				const tables = interfaces.map((spec) => spec.table as number);
				expect(new Set(tables).size).toBe(list.length);
				expect(tables.filter((table) => foreign.includes(table))).toEqual([]);
				expect(tables.every((table) => table > 1000 && table < 2000)).toBe(
					true,
				);
				const [first] = list;
				// 1024 is the priority of the other tool's rule that every modelled guest has.
				expect(tables).not.toContain(1024);
				if (first !== undefined && ![...foreign, 1024].includes(1000 + first))
					expect(tablesOf(interfaces)[macOf(first)]).toBe(1000 + first);
			}),
			{ numRuns: 200 },
		);
	});

	test("stay with their MAC when NICs come, go, are renamed or the foreign rules change", () => {
		fc.assert(
			fc.property(
				numbers,
				numbers,
				taken,
				taken,
				(before, more, foreign, later) => {
					const { observed } = guestWith(before, foreign);
					const { interfaces } = desire(observed, all, settings);
					const old = tablesOf(interfaces);
					const state = {
						...emptyState(),
						interfaces: Object.fromEntries(
							interfaces.map((spec) => [
								spec.mac,
								{
									name: spec.name,
									table: spec.table,
									managed: managedOf(spec, []),
								},
							]),
						),
					};
					const list = [...new Set([...more, ...before])];
					const next = guestWith(list, later);
					const renamed = next.observed.links.map((link) =>
						/^eth[1-9]/.test(link.name)
							? { ...link, name: `eth${100 - Number(link.name.slice(3))}` }
							: link,
					);
					const found = desire(
						{ ...next.observed, links: renamed, state },
						all,
						settings,
					).interfaces;
					for (const [mac, table] of Object.entries(old))
						expect(tablesOf(found)[mac]).toBe(table);
					expect(new Set(found.map((spec) => spec.table)).size).toBe(
						found.length,
					);
				},
			),
			{ numRuns: 200 },
		);
	});

	test("of an ENI that is gone are not given to another one", () => {
		const state = {
			...emptyState(),
			interfaces: { [macOf(1)]: { name: "eth1", table: 1001 } },
		};
		const { observed } = guestWith([2], []);
		const links = observed.links.map((link) =>
			link.name === "eth2" ? { ...link, name: "eth1" } : link,
		);
		const [spec] = desire(
			{ ...observed, links, state },
			requestOf({ targets: ["eth1"] }),
			settings,
		).interfaces;
		expect(spec?.table).toBe(1002);
	});
});

test("a file that only looks like ours is never the reason to delete a rule", () => {
	const file = (content: string): FileState => ({
		content,
		mode: 0o644,
		uid: 0,
		gid: 0,
	});
	const body = renderer.ifcfg({
		...run(
			guestOf([
				{
					number: 1,
					isShared: false,
					hosts: [0],
					hasForeign: false,
					isUp: false,
					isByHand: false,
				},
			]),
			cloudFor([
				{
					number: 1,
					isShared: false,
					hosts: [0],
					hasForeign: false,
					isUp: false,
					isByHand: false,
				},
			]),
		).desired.interfaces[0],
	} as InterfaceSpec);
	const guest = guestOf([
		{
			number: 1,
			isShared: false,
			hosts: [0],
			hasForeign: false,
			isUp: true,
			isByHand: false,
		},
	]);
	guest.files.set(
		`${scripts}/ifcfg-eth1`,
		file(mark(body).replace("eth1", "eth1 ")),
	);
	const removed = run(
		guest,
		cloudFor([]),
		emptyState(),
		requestOf({ verb: "remove" }),
	);
	expect(removed.steps).toEqual([]);
});
