import type {
	AddrStep,
	Finding,
	KernelState,
	Link,
	Plan,
	PrimaryExtras,
	Step,
} from "../model.js";
import { addedWords, addressWords, hasAddress } from "./addresses.js";

/** All that a run may have added to the primary's link, or taken from it. */
export function claimedExtras(extras: PrimaryExtras | undefined): string[] {
	return extras ? [...new Set([...extras.addresses, ...extras.recorded])] : [];
}

/** Steps that add the primary's further private IPs that are missing. Nothing else of the link is touched. */
export function missingExtras(
	extras: PrimaryExtras | undefined,
	now: KernelState,
): AddrStep[] {
	const link = extras && linkOf(extras, now);
	if (!link) return [];
	return extras.addresses
		.filter((cidr) => !hasAddress(link, cidr))
		.map((cidr) => addition(link.name, addedWords(cidr, link.name)));
}

/** Steps that take away those that an earlier run added and nothing wants any more. */
export function obsoleteExtras(
	extras: PrimaryExtras | undefined,
	now: KernelState,
): AddrStep[] {
	const link = extras && linkOf(extras, now);
	if (!link) return [];
	return extras.recorded
		.filter((cidr) => !extras.addresses.includes(cidr))
		.filter((cidr) => hasAddress(link, cidr))
		.map((cidr) => removal(link.name, cidr));
}

/** The steps back to what stood on the primary before a run, as far as the run may have changed it. */
export function extrasBack(
	extras: PrimaryExtras | undefined,
	before: KernelState,
	now: KernelState,
	isBounced: (name: string) => boolean,
): AddrStep[] {
	const was = extras && linkOf(extras, before);
	const is = extras && linkOf(extras, now);
	if (!was || !is) return [];
	const own = claimedExtras(extras);
	const added = own.filter(
		(cidr) => hasAddress(is, cidr) && !hasAddress(was, cidr),
	);
	// What a command dropped with all the others comes back with them.
	const taken = isBounced(is.name)
		? []
		: was.addresses.filter(
				({ ip, prefix }) =>
					own.includes(`${ip}/${prefix}`) && !hasAddress(is, `${ip}/${prefix}`),
			);
	return [
		...added.map((cidr) => removal(is.name, cidr)),
		...taken.map((address) => addition(is.name, addressWords(address))),
	];
}

/** Whether a step is about the primary's further private IPs, and nothing that NICs share. */
export function isExtraStep(
	step: Step,
	extras: PrimaryExtras | undefined,
): boolean {
	return (
		step.kind === "addr" &&
		step.link === extras?.name &&
		claimedExtras(extras).includes(step.words[0] ?? "")
	);
}

/** Whether a finding of verify is about them alone. */
export function isExtraFinding(
	{ link, kind, want }: Finding,
	extras: PrimaryExtras | undefined,
): boolean {
	return (
		kind === "address" &&
		link === extras?.name &&
		claimedExtras(extras).includes(want.replace(/^no /, ""))
	);
}

/** Whether a plan adds some of them or takes some away. */
export function changesExtras(
	{ steps }: Plan,
	extras: PrimaryExtras | undefined,
): boolean {
	return steps.some((step) => isExtraStep(step, extras));
}

function linkOf(
	{ name, mac }: PrimaryExtras,
	{ links }: KernelState,
): Link | undefined {
	return links.find((link) => link.name === name && link.mac === mac);
}

function addition(link: string, words: string[]): AddrStep {
	return { kind: "addr", link, op: "add", words };
}

function removal(link: string, cidr: string): AddrStep {
	return { kind: "addr", link, op: "del", words: [cidr] };
}
