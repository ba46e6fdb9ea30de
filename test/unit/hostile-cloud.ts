import fc from "fast-check";
import type { HttpResult, System } from "../../src/system.js";
import { hostileAround } from "./hostile.js";

/** An ENI as the cloud has it. */
export interface TrueEni {
	/** As the service prints it: upper case. */
	mac: string;
	/** The primary one first. */
	ips: string[];
	gateway: string;
	mask: string;
}

/** The leaves of one ENI that can be answered wrongly; gateway and mask are those of whatever address. */
export const eniLeaves = [
	"primary-local-ipv4",
	"local-ipv4s/",
	"gateway",
	"subnet-mask",
	"public-ipv4",
] as const;
export type EniLeaf = (typeof eniLeaves)[number];
export const machineLeaves = [
	"instance-id",
	"mac",
	"network/interfaces/macs/",
] as const;
export type MachineLeaf = (typeof machineLeaves)[number];

/** Answers instead of the true ones: for the machine, and by MAC. */
export interface Lies {
	machine: Partial<Record<MachineLeaf, HttpResult>>;
	enis: Record<string, Partial<Record<EniLeaf, HttpResult>>>;
}

const base = "http://metadata.test/latest/meta-data/";
const utf8 = new TextEncoder();

/** A 200 with this text. */
export function says(text: string): HttpResult {
	return { kind: "response", status: 200, body: utf8.encode(text) };
}

function status(code: number, body: string): HttpResult {
	return { kind: "response", status: code, body: utf8.encode(body) };
}

/** The true texts of the service: what it says where nothing is in `lies`. */
export function truth(enis: TrueEni[]) {
	return {
		machine: {
			"instance-id": "ins-1",
			mac: enis[0]?.mac ?? "",
			"network/interfaces/macs/": enis.map(({ mac }) => `${mac}/`).join("\n"),
		} satisfies Record<MachineLeaf, string>,
		eni: ({ ips, gateway, mask }: TrueEni): Record<EniLeaf, string> => ({
			"primary-local-ipv4": ips[0] ?? "",
			"local-ipv4s/": ips.map((ip) => `${ip}/`).join("\n"),
			gateway,
			"subnet-mask": mask,
			"public-ipv4": "203.0.113.7",
		}),
	};
}

/** A service that answers for these ENIs, but for the lies, and counts. Bodies over the limit are cut off as by the real client. */
export function lyingService(
	enis: TrueEni[],
	lies: Lies,
): { system: System; url: string; requests: () => number } {
	let requests = 0;
	const answer = (path: string): HttpResult => {
		const { machine, eni } = truth(enis);
		if (Object.hasOwn(machine, path)) {
			const leaf = path as MachineLeaf;
			return lies.machine[leaf] ?? says(machine[leaf]);
		}
		const [, mac = "", rest = ""] =
			/^network\/interfaces\/macs\/([^/]+)\/(.*)$/.exec(path) ?? [];
		const one = enis.find((each) => each.mac === mac);
		const leaf = rest.replace(/^local-ipv4s\/[^/]+\//, "") as EniLeaf;
		if (!one || !eniLeaves.includes(leaf)) return status(404, "not found");
		return lies.enis[mac]?.[leaf] ?? says(eni(one)[leaf]);
	};
	const http: System["http"] = async (url, { maxBytes }) => {
		requests += 1;
		const result = answer(url.slice(base.length));
		return result.kind === "response" && result.body.length > maxBytes
			? { kind: "too-large" }
			: result;
	};
	const system = { http, clock: { nowMs: () => 0 } } as unknown as System;
	return { system, url: base.slice(0, -1), requests: () => requests };
}

/** Addresses that no NIC of a VPC may have, or that are somebody else's in the guest of the tests. */
export const badIps = [
	"0.0.0.0",
	"0.1.2.3",
	"127.0.0.1",
	"127.255.1.1",
	"169.254.0.23",
	"169.254.9.9",
	"224.0.0.1",
	"239.1.2.3",
	"240.0.0.1",
	"255.255.255.255",
	"10.0.1.0",
	"10.0.1.255",
	"10.0.1.1",
	"10.0.1.10",
	"172.17.0.1",
	"172.17.0.9",
];
const plausibleIps = ["10.0.1.9", "10.0.1.77", "10.0.1.200", "192.168.7.7"];
const masks = Array.from({ length: 33 }, (_, prefix) => quadOfPrefix(prefix));

/** Any IPv4 mask, dotted: 255.255.0.0 for 16. */
export function quadOfPrefix(prefix: number): string {
	const bits = "1".repeat(prefix).padEnd(32, "0");
	return [0, 8, 16, 24]
		.map((at) => Number.parseInt(bits.slice(at, at + 8), 2))
		.join(".");
}

const page =
	"<!doctype html><html><head><title>Please log in</title></head></html>";
const manyIps = Array.from(
	{ length: 10_000 },
	(_, at) => `10.0.${at >> 8}.${at & 255}/`,
);
const manyMacs = Array.from(
	{ length: 1000 },
	(_, at) =>
		`52:54:00:0F:${(at >> 8).toString(16).padStart(2, "0").toUpperCase()}:${(at & 255).toString(16).padStart(2, "0").toUpperCase()}/`,
);

/** Lists that are too long: whole, and as much of them as fits the limit of a body. */
const floods = [
	manyIps.join("\n"),
	manyIps.slice(0, 4000).join("\n"),
	manyIps.slice(0, 600).join("\n"),
	manyMacs.join("\n"),
].map(says);

const failures: HttpResult[] = [
	status(301, ""),
	status(302, page),
	status(404, "404 not found"),
	status(500, "oops"),
	status(503, page),
	status(204, ""),
	says(""),
	says("\n\n"),
	says("not available"),
	says(page),
	{ kind: "too-large" },
	{
		kind: "failed",
		reason: "no complete answer within 2000 ms",
		reset: false,
	},
	{ kind: "failed", reason: "the body was cut off", reset: false },
	{ kind: "failed", reason: "read ECONNRESET", reset: true },
];

/** Anything that can come instead of a text: failures, any bytes, the text poisoned or cut off, other well-formed texts. */
function answerInsteadOf(
	text: string,
	lies: fc.Arbitrary<string>,
): fc.Arbitrary<HttpResult> {
	return fc.oneof(
		{ weight: 4, arbitrary: fc.constantFrom(...failures) },
		{
			weight: 5,
			arbitrary: hostileAround(fc.constant(text)).map(says),
		},
		{
			weight: 3,
			arbitrary: fc
				.uint8Array({ maxLength: 60 })
				.map((body) => ({ kind: "response", status: 200, body }) as const),
		},
		{
			weight: 3,
			arbitrary: fc
				.nat({ max: text.length })
				.map((length) => says(text.slice(0, length))),
		},
		{ weight: 8, arbitrary: lies.map(says) },
	);
}

function listOf(ips: fc.Arbitrary<string>): fc.Arbitrary<string> {
	return fc
		.tuple(
			fc.array(ips, { minLength: 1, maxLength: 6 }),
			fc.constantFrom("/\n", "\n", "/\r\n"),
			fc.boolean(),
		)
		.map(([list, end, isClosed]) => {
			const text = list.join(end);
			return isClosed ? text + end : text;
		});
}

/**
 * Lies about one ENI: each leaf is true, or anything at all; or all of them hang together, so that
 * they get past the first check. `others` are addresses of other ENIs to be claimed.
 */
export function liesAbout(
	eni: TrueEni,
	others: string[] = [],
): fc.Arbitrary<Partial<Record<EniLeaf, HttpResult>>> {
	const text = truth([]).eni(eni);
	const ip = fc.constantFrom(
		...eni.ips,
		...badIps,
		...plausibleIps,
		...others,
		eni.gateway,
	);
	const mask = fc.constantFrom(...masks, "255.0.255.0", "24", eni.mask);
	const single = fc.record(
		{
			"primary-local-ipv4": answerInsteadOf(text["primary-local-ipv4"], ip),
			"local-ipv4s/": fc.oneof(
				{
					weight: 60,
					arbitrary: answerInsteadOf(text["local-ipv4s/"], listOf(ip)),
				},
				{ weight: 1, arbitrary: fc.constantFrom(...floods) },
			),
			gateway: answerInsteadOf(text.gateway, ip),
			"subnet-mask": answerInsteadOf(text["subnet-mask"], mask),
			"public-ipv4": answerInsteadOf(text["public-ipv4"], ip),
		},
		{ requiredKeys: [] },
	);
	const coherent = fc
		.record({
			primary: ip,
			further: fc.array(ip, { maxLength: 3 }),
			gateway: fc.oneof(fc.constant(eni.gateway), ip),
			mask: fc.oneof(fc.constant(eni.mask), mask),
		})
		.map(({ primary, further, gateway, mask }) => ({
			"primary-local-ipv4": says(primary),
			"local-ipv4s/": says([primary, ...further].join("/\n").concat("/")),
			gateway: says(gateway),
			"subnet-mask": says(mask),
		}));
	return fc.oneof(single, coherent);
}

/** Lies about the machine: its id, its primary, its list of MACs. */
export function liesAboutMachine(
	enis: TrueEni[],
	leaves: readonly MachineLeaf[] = machineLeaves,
): fc.Arbitrary<Lies["machine"]> {
	const { machine } = truth(enis);
	const mac = fc.constantFrom(
		...enis.flatMap((eni) => [eni.mac, eni.mac.toLowerCase()]),
		"52:54:00:99:99:99",
		"00:00:00:00:00:00",
		"ff:ff:ff:ff:ff:ff",
	);
	const all = {
		"instance-id": answerInsteadOf(
			machine["instance-id"],
			fc.constantFrom("ins-2", "INS_1.x", "__proto__", "x".repeat(65)),
		),
		mac: answerInsteadOf(machine.mac, mac),
		"network/interfaces/macs/": fc.oneof(
			{
				weight: 60,
				arbitrary: answerInsteadOf(
					machine["network/interfaces/macs/"],
					listOf(mac),
				),
			},
			{ weight: 1, arbitrary: fc.constantFrom(...floods) },
		),
	};
	const chosen = Object.fromEntries(
		leaves.map((leaf) => [leaf, all[leaf]]),
	) as { [Leaf in MachineLeaf]: fc.Arbitrary<HttpResult> };
	return fc.record(chosen, { requiredKeys: [] });
}
