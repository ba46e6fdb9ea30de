import { isIpv4, maxAddresses } from "../ipv4.js";
import type { CloudView, EniAnswer, State, StateEntry } from "../model.js";
import { quote } from "../quote.js";
import type { HttpResult, System } from "../system.js";
import { maxRequests, requestLimits } from "./metadata-limits.js";
import {
	isMac,
	parseBody,
	parseIpListing,
	parseListing,
	parseMask,
	type Read,
	settleEni,
} from "./parse-metadata.js";

/** The metadata service by address, then by name: a customer's DNS can hang or lie. */
export const defaultMetadataUrls = [
	"http://169.254.0.23/latest/meta-data",
	"http://metadata.tencentyun.com/latest/meta-data",
];

// All reads of a run together: else a service that hangs costs its two seconds for every leaf, and
// `status` reads one leaf per address. Enough for the eight ENIs of the guide's largest size, when
// seven of them take the whole two seconds for each of their four leaves, four at once: 14 s.
const totalMs = 15_000;

/** What a run wants to know. */
export interface Question {
	/** Lower-case MACs whose details are wanted. */
	macs: string[];
	/** Also list the primary ENI's private IPs. */
	primaryAddresses: boolean;
	/** Also read the EIP of every address, one request each. */
	publicIps: boolean;
}

/** Questions that are being answered. */
export interface Conversation {
	/** What has been answered so far; the rest is an error that says so. */
	view(): CloudView;
	/** The base address that has answered; undefined while none has. */
	base(): string | undefined;
	/** The whole answer; never rejects. */
	settled: Promise<CloudView>;
}

interface Client {
	read(path: string): Promise<Read>;
	base(): string | undefined;
	count(): number;
}

/**
 * Asks the metadata service. Two requests for the machine (three the first time), one per ENI
 * whose gateway and mask the state file knows for this instance, else four. ENIs are read side
 * by side and each has its own answer. Ends within 15 s: what was not read by then is an error
 * of that leaf. Never throws.
 */
export async function fetchCloud(
	system: System,
	urls: string[],
	state: State,
	question: Question,
): Promise<CloudView> {
	return askCloud(system, urls, state, question).settled;
}

/**
 * The same for one who does not want to wait for the slowest answer. With `endsAtSilence` a base that lets a request
 * time out is the last one that is tried; one that cannot be reached is not.
 */
export function askCloud(
	system: System,
	urls: string[],
	state: State,
	question: Question,
	endsAtSilence = false,
): Conversation {
	const enis: Record<string, EniAnswer> = {};
	let early: Omit<CloudView, "enis" | "requests"> = {
		instanceId: undefined,
		primaryMac: undefined,
		listed: undefined,
		primaryAddresses: undefined,
		problem: unanswered,
	};
	const client = createClient(system, urls, endsAtSilence);
	return {
		view: () => ({ ...early, enis: { ...enis }, requests: client.count() }),
		base: () => client.base(),
		settled: ask(client, state, question, enis, (view) => {
			early = view;
		}),
	};
}

const unanswered = "has not answered yet";

// Fills in `enis` as the answers come; `onListing` gets what is known before that.
async function ask(
	client: Client,
	state: State,
	question: Question,
	enis: Record<string, EniAnswer>,
	onListing: (view: Omit<CloudView, "enis" | "requests">) => void,
): Promise<CloudView> {
	const known = state.primary;
	const [instance, listing, early] = await Promise.all([
		client.read("instance-id"),
		client.read("network/interfaces/macs/"),
		known ? undefined : client.read("mac"),
	]);
	const instanceId =
		instance.kind === "ok" && /^[\w.-]{1,64}$/.test(instance.text)
			? instance.text
			: undefined;
	const isKnown =
		known !== undefined &&
		instanceId !== undefined &&
		known.instanceId === instanceId;
	// A service that answers neither would only keep us waiting once more.
	const isSilent = instance.kind === "error" && listing.kind === "error";
	const mac =
		isKnown || isSilent ? early : (early ?? (await client.read("mac")));
	const primaryMac = isKnown
		? known.mac
		: mac?.kind === "ok" && isMac(mac.text)
			? mac.text.toLowerCase()
			: undefined;
	const names =
		listing.kind === "ok" ? parseListing(listing.text, isMac) : undefined;
	const nameOf = (wanted: string) =>
		names?.find((name) => name.toLowerCase() === wanted);

	const wanted = [...new Set(question.macs)].filter(
		(mac) => mac !== primaryMac,
	);
	const machine = {
		instanceId,
		primaryMac,
		listed: names?.map((name) => name.toLowerCase()),
		problem: names ? undefined : listingProblem(listing),
	};
	onListing({ ...machine, primaryAddresses: undefined });
	const [primaryAddresses] = await Promise.all([
		question.primaryAddresses && primaryMac
			? fetchList(client, nameOf(primaryMac))
			: undefined,
		...wanted.map(async (mac) => {
			const name = nameOf(mac);
			enis[mac] = name
				? await fetchEni(client, name, instanceId, state.interfaces[mac])
				: {
						state: "not-found",
						reason: "the metadata service does not list this MAC",
					};
		}),
	]);
	// Not before every ENI is known: they are many, nice to have, and may hang one by one.
	let primaryPublicIps: Record<string, string> | undefined;
	if (question.publicIps) {
		if (primaryMac && primaryAddresses)
			primaryPublicIps = await fetchPublicIps(
				client,
				nameOf(primaryMac) ?? primaryMac,
				primaryAddresses.slice(0, maxAddresses),
			);
		for (const [mac, answer] of Object.entries(enis))
			if (answer.state === "ok")
				answer.eni.publicIps = await fetchPublicIps(
					client,
					nameOf(mac) ?? mac,
					answer.eni.addresses,
				);
	}
	return {
		...machine,
		enis,
		primaryAddresses,
		...(primaryPublicIps ? { primaryPublicIps } : {}),
		requests: client.count(),
	};
}

function listingProblem(listing: Read): string {
	if (listing.kind === "ok")
		return "network/interfaces/macs/ is not a list of MAC addresses";
	return `network/interfaces/macs/ ${listing.reason}`;
}

async function fetchList(
	client: Client,
	name: string | undefined,
): Promise<string[] | undefined> {
	if (!name) return undefined;
	const list = await client.read(`${baseOf(name)}/local-ipv4s/`);
	return list.kind === "ok" ? parseIpListing(list.text) : undefined;
}

async function fetchEni(
	client: Client,
	name: string,
	instanceId: string | undefined,
	entry: StateEntry | undefined,
): Promise<EniAnswer> {
	const base = baseOf(name);
	const cache =
		instanceId !== undefined && entry?.cache?.instanceId === instanceId
			? entry.cache
			: undefined;
	const [listRead, primaryRead] = await Promise.all([
		client.read(`${base}/local-ipv4s/`),
		cache ? undefined : client.read(`${base}/primary-local-ipv4`),
	]);
	if (listRead.kind !== "ok") return failed("local-ipv4s/", listRead);
	const list = parseIpListing(listRead.text);
	if (!list)
		return {
			state: "unsettled",
			reason: "local-ipv4s/ is not a list of IPv4 addresses",
		};
	if (list.length > maxAddresses)
		return {
			state: "unsettled",
			reason: `local-ipv4s/ lists ${list.length} addresses, more than the ${maxAddresses} that one NIC can have`,
		};
	if (cache && list.includes(cache.primaryAddress)) {
		const { primaryAddress: primary, gateway, prefix } = cache;
		return settleEni(name, { primary, list, gateway, prefix });
	}

	const primary =
		primaryRead ?? (await client.read(`${base}/primary-local-ipv4`));
	if (primary.kind !== "ok") return failed("primary-local-ipv4", primary);
	if (!isIpv4(primary.text))
		return {
			state: "unsettled",
			reason: `primary-local-ipv4 ${quote(primary.text)} is not an IPv4 address`,
		};
	const [gateway, mask] = await Promise.all([
		client.read(`${base}/local-ipv4s/${primary.text}/gateway`),
		client.read(`${base}/local-ipv4s/${primary.text}/subnet-mask`),
	]);
	if (gateway.kind !== "ok") return failed("gateway", gateway);
	if (mask.kind !== "ok") return failed("subnet-mask", mask);
	if (!isIpv4(gateway.text))
		return {
			state: "unsettled",
			reason: `gateway ${quote(gateway.text)} is not an IPv4 address`,
		};
	const parsed = parseMask(mask.text);
	if ("reason" in parsed) return { state: "unsettled", reason: parsed.reason };
	return settleEni(name, {
		primary: primary.text,
		list,
		gateway: gateway.text,
		prefix: parsed.prefix,
	});
}

async function fetchPublicIps(
	client: Client,
	name: string,
	list: string[],
): Promise<Record<string, string>> {
	const base = baseOf(name);
	const pairs = await Promise.all(
		list.map(async (ip) => {
			const read = await client.read(`${base}/local-ipv4s/${ip}/public-ipv4`);
			return read.kind === "ok" && isIpv4(read.text) ? [[ip, read.text]] : [];
		}),
	);
	return Object.fromEntries(pairs.flat());
}

function baseOf(name: string): string {
	return `network/interfaces/macs/${name}`;
}

// A leaf that is not there yet (404) is as unsettled as one that makes no sense yet.
function failed(leaf: string, read: Exclude<Read, { kind: "ok" }>): EniAnswer {
	return {
		state: read.kind === "error" ? "error" : "unsettled",
		reason: `${leaf} ${read.reason}`,
	};
}

function createClient(
	system: System,
	urls: string[],
	endsAtSilence: boolean,
): Client {
	let requests = 0;
	let active = 0;
	const waiting: (() => void)[] = [];
	const deadline = system.clock.nowMs() + totalMs;
	// Once a base has answered, the others are not tried again in this run.
	let bases = urls;
	let answered: string | undefined;

	async function get(url: string): Promise<HttpResult> {
		const leftMs = Math.ceil(deadline - system.clock.nowMs());
		if (leftMs <= 0)
			return {
				kind: "failed",
				reason: `the ${totalMs / 1000} s that all reads together may take are used up`,
				reset: false,
			};
		requests += 1;
		return system.http(url, {
			...requestLimits,
			timeoutMs: Math.min(requestLimits.timeoutMs, leftMs),
		});
	}

	async function request(path: string): Promise<Read> {
		let last: Read = {
			kind: "error",
			reason: "has no address to ask: metadataUrl is empty",
		};
		for (const base of bases) {
			const url = `${base}/${path}`;
			const startMs = system.clock.nowMs();
			let result = await get(url);
			if (result.kind === "failed" && result.reset) result = await get(url);
			if (result.kind === "failed") {
				last = {
					kind: "error",
					reason: `cannot be read from ${base}: ${result.reason}`,
				};
				// A resolver that hangs is given up earlier.
				const tookMs = system.clock.nowMs() - startMs;
				if (endsAtSilence && tookMs > requestLimits.timeoutMs / 4) break;
				continue;
			}
			bases = [base];
			answered = base;
			if (result.kind === "too-large")
				return {
					kind: "unsettled",
					reason: `is larger than ${requestLimits.maxBytes} bytes`,
				};
			if (result.status === 404)
				return { kind: "not-found", reason: "is not there (404)" };
			if (result.status !== 200)
				return {
					kind: "error",
					reason: `was answered with HTTP status ${result.status}`,
				};
			return parseBody(result.body);
		}
		return last;
	}

	// The time limit of a request starts when it is sent, so the queue is ours and not the socket pool's.
	async function read(path: string): Promise<Read> {
		if (active >= maxRequests)
			await new Promise<void>((resolve) => waiting.push(resolve));
		else active += 1;
		try {
			return await request(path);
		} finally {
			const next = waiting.shift();
			if (next) next();
			else active -= 1;
		}
	}
	return { read, base: () => answered, count: () => requests };
}
