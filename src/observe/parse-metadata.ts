import {
	compareIps,
	gatewayProblem,
	hostAddressProblem,
	isInside,
	isIpv4,
	prefixOfMask,
	subnetOf,
} from "../ipv4.js";
import type { Eni, EniAnswer } from "../model.js";
import { quote } from "../quote.js";

/** The answer to one read of the metadata service; nothing but `ok` ever carries a value. */
export type Read =
	| { kind: "ok"; text: string }
	| { kind: "not-found" | "unsettled" | "error"; reason: string };

const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/**
 * The entries of a listing without trailing slashes and repeats; undefined when one is not what
 * `isEntry` expects, or when the last one alone lacks its slash: cut off, 10.0.2.20/ reads 10.0.2.2.
 */
export function parseListing(
	text: string,
	isEntry: (entry: string) => boolean,
): string[] | undefined {
	const lines = text
		.split(/\r?\n/)
		.map((line) => line.trim())
		.filter((line) => line !== "");
	if (
		lines.some((line) => line.endsWith("/")) &&
		!lines[lines.length - 1]?.endsWith("/")
	)
		return undefined;
	const entries = lines.map((line) => line.replace(/\/$/, ""));
	const unique = [
		...new Map(entries.map((entry) => [entry.toLowerCase(), entry])).values(),
	];
	return unique.length > 0 && unique.every(isEntry) ? unique : undefined;
}

/** Whether text is a MAC address, in either case. */
export function isMac(text: string): boolean {
	return macPattern.test(text);
}

/** The private IPs in a `local-ipv4s/` listing; undefined when an entry is no IPv4 address. */
export function parseIpListing(text: string): string[] | undefined {
	return parseListing(text, isIpv4);
}

/** Reads the body of a 200: an old client met one that said `not available`. */
export function parseBody(body: Uint8Array): Read {
	// Byte by byte: a large body as arguments of one call would overflow a stack that is deep already.
	let bytes = "";
	for (const byte of body) bytes += String.fromCharCode(byte);
	const text = bytes.trim();
	if (text === "") return { kind: "unsettled", reason: "is empty" };
	if (!/^[\x20-\x7e\r\n]+$/.test(text)) {
		return {
			kind: "unsettled",
			reason: "holds bytes that are not printable text",
		};
	}
	if (/^not available$/i.test(text))
		return { kind: "unsettled", reason: "is not available yet" };
	return { kind: "ok", text };
}

/**
 * Puts the leaves of one ENI together. Settled means: the primary address is valid and in its own
 * list, gateway and mask are valid and agree; every other address lies in the same subnet.
 */
export function settleEni(
	mac: string,
	leaves: { primary: string; list: string[]; gateway: string; prefix: number },
): EniAnswer {
	const { primary, list, gateway, prefix } = leaves;
	const unsettled = (reason: string): EniAnswer => ({
		state: "unsettled",
		reason,
	});
	const problem = hostAddressProblem(primary, prefix);
	if (problem) return unsettled(`primary-local-ipv4 ${primary} ${problem}`);
	if (!list.includes(primary))
		return unsettled(
			`primary-local-ipv4 ${primary} is missing from local-ipv4s/`,
		);
	const misfit = gatewayProblem(gateway, primary, prefix);
	if (misfit) return unsettled(`gateway ${gateway} ${misfit}`);
	const subnet = subnetOf(primary, prefix);
	for (const ip of list) {
		const wrong =
			hostAddressProblem(ip, prefix) ??
			(isInside(ip, subnet) ? undefined : `lies outside the subnet ${subnet}`);
		if (wrong) return unsettled(`local-ipv4s/ lists ${ip}, which ${wrong}`);
		if (ip === gateway)
			return unsettled(`local-ipv4s/ lists the gateway ${gateway}`);
	}
	const eni: Eni = {
		mac: mac.toLowerCase(),
		// The service may reorder its list; a stable order keeps the files as they are.
		addresses: [
			primary,
			...list.filter((ip) => ip !== primary).sort(compareIps),
		],
		primaryAddress: primary,
		prefix,
		gateway,
		publicIps: {},
	};
	return { state: "ok", eni };
}

/** The prefix of a `subnet-mask` leaf, or why it is none. */
export function parseMask(
	text: string,
): { prefix: number } | { reason: string } {
	const prefix = prefixOfMask(text);
	return prefix === undefined
		? {
				reason: `subnet-mask ${quote(text)} is not a contiguous IPv4 mask`,
			}
		: { prefix };
}
