import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isIpv4 } from "../../src/ipv4.js";
import type { CloudView, EniAnswer, State } from "../../src/model.js";
import { fetchCloud, type Question } from "../../src/observe/metadata.js";
import {
	isMac,
	parseBody,
	parseIpListing,
	parseListing,
} from "../../src/observe/parse-metadata.js";
import { emptyState } from "../../src/state.js";
import type { HttpResult, System } from "../../src/system.js";
import { casesIn, readFixture } from "./given.js";
import { hostileAround } from "./hostile.js";

type Leaf =
	| string
	| {
			status?: number;
			body?: string;
			failed?: string;
			tooLarge?: true;
			resets?: number;
	  };

interface Case {
	question: Partial<Question>;
	state?: Partial<State>;
	bases?: string[];
	tree: Record<string, Leaf>;
	expected: Record<string, unknown>;
}

const base = "http://metadata.test/latest/meta-data";

interface Service {
	system: System;
	urls: string[];
	mostAtOnce(): number;
}

/** A metadata service from a tree of leaves; what is not in it is a 404, another host is dead. */
function serve(tree: Record<string, Leaf>): Service {
	const urls: string[] = [];
	const resets = new Map<string, number>();
	let active = 0;
	let most = 0;
	const answer = (url: string): HttpResult => {
		if (!url.startsWith(`${base}/`))
			return { kind: "failed", reason: "connect ECONNREFUSED", reset: false };
		const path = url.slice(base.length + 1);
		const leaf = Object.hasOwn(tree, path)
			? (tree[path] as Leaf)
			: { status: 404 };
		if (typeof leaf === "string")
			return {
				kind: "response",
				status: 200,
				body: new TextEncoder().encode(leaf),
			};
		if (leaf.failed !== undefined)
			return { kind: "failed", reason: leaf.failed, reset: false };
		if (leaf.tooLarge) return { kind: "too-large" };
		const count = (resets.get(path) ?? 0) + 1;
		resets.set(path, count);
		if (count <= (leaf.resets ?? 0))
			return {
				kind: "failed",
				reason: "the connection was reset",
				reset: true,
			};
		return {
			kind: "response",
			status: leaf.status ?? 200,
			body: new TextEncoder().encode(leaf.body ?? ""),
		};
	};
	const http = async (url: string): Promise<HttpResult> => {
		urls.push(url);
		active += 1;
		most = Math.max(most, active);
		await new Promise((resolve) => setTimeout(resolve, 0));
		active -= 1;
		return answer(url);
	};
	return {
		system: {
			http,
			clock: { nowMs: () => performance.now() },
		} as unknown as System,
		urls,
		mostAtOnce: () => most,
	};
}

function ask(
	{ system }: Service,
	{ question, state, bases }: Pick<Case, "question" | "state" | "bases">,
): Promise<CloudView> {
	return fetchCloud(
		system,
		bases ?? [base],
		{ ...emptyState(), ...state },
		{ macs: [], primaryAddresses: false, publicIps: false, ...question },
	);
}

// JSON has no undefined and no patterns: null and "/.../" stand for them.
function matching(expected: unknown): unknown {
	if (expected === null) return undefined;
	if (typeof expected === "string" && /^\/.+\/$/.test(expected))
		return expect.stringMatching(new RegExp(expected.slice(1, -1)));
	if (Array.isArray(expected) || typeof expected !== "object") return expected;
	return Object.fromEntries(
		Object.entries(expected).map(([key, value]) => [key, matching(value)]),
	);
}

describe("what the metadata service says", () => {
	test.each(casesIn("metadata"))("%s", async (name) => {
		const given = JSON.parse(readFixture("metadata", name)) as Case;
		// Fixtures are read as latin1; JSON's own escapes carry what is not ASCII.
		const cloud = await ask(serve(given.tree), given);
		const { enis, ...rest } = given.expected as {
			enis: Record<string, unknown>;
		};
		expect(cloud).toMatchObject(matching(rest) as object);
		expect(cloud.enis).toEqual(matching(enis));
	});
});

const mac = "52:54:00:bf:b3:51";
const macs = "network/interfaces/macs/";
const leaves = [
	"primary-local-ipv4",
	"local-ipv4s/",
	"local-ipv4s/192.168.1.62/gateway",
	"local-ipv4s/192.168.1.62/subnet-mask",
];
const values = [
	"192.168.1.62",
	"192.168.1.62/",
	"192.168.1.1",
	"255.255.255.192",
];
const settled = {
	"instance-id": "ins-1",
	mac: "52:54:00:00:00:00",
	[macs]: `52:54:00:00:00:00/\n${mac.toUpperCase()}/`,
	...Object.fromEntries(
		leaves.map((leaf, at) => [
			`${macs}${mac.toUpperCase()}/${leaf}`,
			values[at] ?? "",
		]),
	),
};

// Whatever an answer holds may end in a file that root's shell reads.
function expectPlain(answer: EniAnswer | undefined): void {
	if (answer?.state !== "ok") return;
	for (const ip of [
		...answer.eni.addresses,
		answer.eni.primaryAddress,
		answer.eni.gateway,
		...Object.values(answer.eni.publicIps),
	]) {
		expect(isIpv4(ip), JSON.stringify(ip)).toBe(true);
	}
	expect(answer.eni.prefix).toBeGreaterThanOrEqual(8);
	expect(answer.eni.prefix).toBeLessThanOrEqual(32);
	expect(answer.eni.mac).toBe(mac);
}

describe("a service that lies", () => {
	test("in any leaf never gets anything but plain addresses through, and its reason is one short line", async () => {
		const place = fc.constantFrom(...Object.keys(settled));
		await fc.assert(
			fc.asyncProperty(
				place,
				hostileAround(fc.constantFrom(...values)),
				async (path, text) => {
					const cloud = await ask(serve({ ...settled, [path]: text }), {
						question: { macs: [mac], publicIps: true },
					});
					const answer = cloud.enis[mac];
					expectPlain(answer);
					if (answer && answer.state !== "ok")
						expect(answer.reason).toMatch(/^[^\p{Cc}]{1,300}$/u);
					for (const one of cloud.listed ?? [])
						expect(one).toMatch(/^[0-9a-f:]{17}$/);
					if (cloud.instanceId !== undefined)
						expect(cloud.instanceId).toMatch(/^[\w.-]{1,64}$/);
				},
			),
			{ numRuns: 200 },
		);
	});

	test("is asked for nothing outside its own tree, whatever its listings name", async () => {
		for (const text of [
			"../../../etc/passwd",
			"52:54:00:BF:B3:51/../../..",
			"192.168.1.62?x=",
			"192.168.1.62#",
		]) {
			const service = serve({
				...settled,
				[macs]: `${text}\n${mac.toUpperCase()}/`,
				[`${macs}${mac.toUpperCase()}/primary-local-ipv4`]: text,
			});
			await ask(service, { question: { macs: [mac] } });
			expect(
				service.urls.filter(
					(url) =>
						!/^http:\/\/metadata\.test\/latest\/meta-data\/[A-Za-z0-9:./-]+$/.test(
							url,
						) || url.includes(".."),
				),
			).toEqual([]);
		}
	});
});

describe("the service is not bothered", () => {
	const many = Array.from({ length: 8 }, (_, at) => `52:54:00:00:01:0${at}`);
	const tree = {
		"instance-id": "ins-1",
		mac: "52:54:00:00:00:00",
		[macs]: ["52:54:00:00:00:00", ...many].map((one) => `${one}/`).join("\n"),
		...Object.fromEntries(
			many.flatMap((one, at) => [
				[`${macs}${one}/primary-local-ipv4`, `10.0.${at}.5`],
				[`${macs}${one}/local-ipv4s/`, `10.0.${at}.5/`],
				[`${macs}${one}/local-ipv4s/10.0.${at}.5/gateway`, `10.0.${at}.1`],
				[`${macs}${one}/local-ipv4s/10.0.${at}.5/subnet-mask`, "255.255.255.0"],
			]),
		),
	};

	test("by more than four requests at once, and eight ENIs are all answered", async () => {
		const service = serve(tree);
		const cloud = await ask(service, { question: { macs: many } });
		expect(Object.values(cloud.enis).map((answer) => answer.state)).toEqual(
			many.map(() => "ok"),
		);
		expect(service.mostAtOnce()).toBeLessThanOrEqual(4);
		expect(service.mostAtOnce()).toBeGreaterThan(1);
		expect(cloud.requests).toBe(service.urls.length);
	});

	test("by the same question twice, or about MACs that are not asked for", async () => {
		const service = serve(tree);
		await ask(service, {
			question: { macs: [many[0] as string, many[0] as string] },
		});
		expect(new Set(service.urls).size).toBe(service.urls.length);
		expect(
			service.urls.filter((url) => url.includes(many[1] as string)),
		).toEqual([]);
	});
});

describe("one body", () => {
	test("is text, or says why it is none, for any bytes", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
				const read = parseBody(bytes);
				if (read.kind === "ok") expect(read.text).toMatch(/^[\x20-\x7e\r\n]+$/);
				else expect(read.reason).toMatch(/^[\x20-\x7e]+$/);
			}),
		);
	});

	test("a listing is all entries or none: one bad entry takes nothing away", () => {
		expect(parseIpListing("192.168.1.62/\n192.168.1.40/")).toEqual([
			"192.168.1.62",
			"192.168.1.40",
		]);
		expect(parseIpListing("192.168.1.62/\nnot available")).toBeUndefined();
		expect(parseIpListing("")).toBeUndefined();
		expect(
			parseListing("52:54:00:BF:B3:51\n52:54:00:bf:b3:51/", isMac),
		).toHaveLength(1);
	});

	test("no text makes a listing throw", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				for (const ip of parseIpListing(text) ?? [])
					expect(isIpv4(ip)).toBe(true);
			}),
		);
	});
});
