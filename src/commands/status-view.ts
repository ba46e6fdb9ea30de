import { primaryReason } from "../desire/candidate.js";
import { ownFiles } from "../desire/managed.js";
import type { EniUse, Use } from "../limits.js";
import type {
	DaemonStatus,
	Desired,
	Link,
	Observed,
	Source,
	Step,
	Verdict,
} from "../model.js";
import type { Machine } from "../observe/machine.js";
import { claimedExtras } from "../plan/extras.js";
import { describeExtras, summarize, targetOf } from "../report.js";

/** What is shown of a step: what a run would do now. */
export interface Change {
	kind: Step["kind"];
	/** Null for what all NICs share. */
	link: string | null;
	target: string;
	summary: string;
}

export interface NicStatus {
	name: string;
	mac: string;
	role: "primary" | "managed" | "released" | "not configured" | "other";
	up: boolean;
	addresses: string[];
	publicIps: Record<string, string>;
	table?: number | undefined;
	note?: string | undefined;
	gateway: string | null;
	source: Source | null;
	released: boolean;
	/** Why it is not being configured. */
	verdict: { kind: Verdict["kind"]; reason: string } | null;
	backOff: { attempts: number; secondsLeft: number } | null;
	/** The ENI's private IPs as the cloud has them; null where it does not say. */
	privateIps: string[] | null;
	/** Those of them that do not stand on the link. */
	missing: string[];
	notes: string[];
}

/** An ENI that the cloud lists and the guest does not show, or one that is managed and whose NIC is gone. */
export interface Absent {
	kind: "pending" | "unbound";
	/** `-` where it has no name in the guest. */
	name: string;
	mac: string | null;
	reason: string;
}

/** The daemon by its status.json; `running` is null where that cannot be read. */
export type DaemonView =
	| { running: null; problem: string }
	| ({ running: boolean; lastSeenAt: string } & Omit<
			DaemonStatus,
			"version" | "writtenAt" | "startTicks"
	  >);

/** All that `status` knows: with `version` and `command` before it, the output of --json. */
export interface StatusView {
	machine: Machine;
	backend: { name: string | null; why: string };
	metadata: string;
	/** What somebody should look at, most serious first; empty where all is well. */
	attention: string[];
	limits: Use | null;
	lastChange: { at: string; command: string; links: string[] } | null;
	daemon: DaemonView | null;
	interfaces: NicStatus[];
	withoutNic: Absent[];
	/** What differs between kernel or files and the record; null where it cannot be known. */
	drift: Change[] | null;
	/** What a run would do besides, since cloud or config say something new. */
	planned: Change[] | null;
	/** What could not be looked at. */
	problems: string[];
	error?: string;
}

/** The NICs among the links, with what guest, record and cloud say of each. */
export function describeNics(
	observed: Observed,
	desired: Desired,
): NicStatus[] {
	const judged = desired.verdicts.map(({ link }) => link);
	return observed.links
		.filter(
			(link) =>
				link.type === 1 &&
				!link.devtype &&
				!isLeftAlone(link, observed, [
					...judged,
					...desired.interfaces.map(({ name }) => name),
				]),
		)
		.map((link) => describeNic(link, observed, desired));
}

function describeNic(
	link: Link,
	observed: Observed,
	desired: Desired,
): NicStatus {
	const { cloud, state } = observed;
	const entry = state.interfaces[link.mac];
	const spec = desired.interfaces.find(({ name }) => name === link.name);
	const verdict = desired.verdicts.find((one) => one.link === link.name);
	const notes = desired.notes
		.filter((note) => note.link === link.name)
		.map(({ text }) => text);
	const role = roleOf(link, observed, desired);
	const answer = cloud?.enis[link.mac];
	const eni = answer?.state === "ok" ? answer.eni : undefined;
	const isPrimaryEni =
		cloud?.primaryMac !== undefined && cloud.primaryMac === link.mac;
	const privateIps = isPrimaryEni ? cloud.primaryAddresses : eni?.addresses;
	const managed = role === "managed" ? entry?.managed : undefined;
	const { backOff } = entry ?? {};
	const leftMs =
		backOff && !spec && backOff.bootId === observed.bootId
			? backOff.untilMs - observed.nowMs
			: 0;
	return {
		name: link.name,
		mac: link.mac,
		role,
		up: link.up,
		addresses: link.addresses
			.filter(({ family }) => family === 4)
			.map(({ ip, prefix }) => `${ip}/${prefix}`),
		publicIps: (isPrimaryEni ? cloud.primaryPublicIps : eni?.publicIps) ?? {},
		table: managed?.table,
		note:
			role === "primary"
				? noteOfPrimary(link, desired, notes)
				: verdict?.reason,
		gateway: managed?.gateway ?? spec?.gateway ?? eni?.gateway ?? null,
		source: spec?.source ?? (entry?.flags ? "flags" : eni ? "metadata" : null),
		released: entry?.released ?? false,
		verdict:
			verdict && role !== "primary"
				? { kind: verdict.kind, reason: verdict.reason }
				: null,
		backOff:
			backOff && leftMs > 0
				? {
						attempts: backOff.attempts,
						secondsLeft: Math.ceil(leftMs / 1000),
					}
				: null,
		privateIps: privateIps ?? null,
		missing: (privateIps ?? []).filter(
			(ip) => !link.addresses.some((address) => address.ip === ip),
		),
		notes,
	};
}

// Which of its further private IPs are ours, and which are only reported.
function noteOfPrimary(
	link: Link,
	{ extras }: Desired,
	notes: string[],
): string | undefined {
	const parts = [
		...(extras?.name === link.name && claimedExtras(extras).length > 0
			? [describeExtras(link, extras, "unchanged")]
			: []),
		...notes,
	];
	return parts.length > 0 ? parts.join("; ") : undefined;
}

function roleOf(
	link: Link,
	observed: Observed,
	desired: Desired,
): NicStatus["role"] {
	if (primaryReason(link, observed)) return "primary";
	if (ownFiles(observed.files, link.name).length > 0) return "managed";
	if (observed.state.interfaces[link.mac]?.released) return "released";
	const verdict = desired.verdicts.find((one) => one.link === link.name);
	const isEni =
		desired.interfaces.some((spec) => spec.name === link.name) ||
		["held", "pending", "backing-off"].includes(verdict?.kind ?? "");
	return isEni ? "not configured" : "other";
}

// Links that were never candidates (veth, tap and so on) are no news in a list of NICs.
function isLeftAlone(
	link: Link,
	observed: Observed,
	judged: string[],
): boolean {
	return (
		!judged.includes(link.name) &&
		!primaryReason(link, observed) &&
		observed.cloud?.enis[link.mac] === undefined
	);
}

/** The ENIs and how many private IPs each has: by the cloud, or, where that is silent, by the guest's NICs. */
export function countEnis(observed: Observed, nics: NicStatus[]): EniUse[] {
	const listed = observed.cloud?.listed;
	const known = nics.filter(
		({ mac, role }, at) =>
			(listed ? listed.includes(mac) : role !== "other") &&
			nics.findIndex((nic) => nic.mac === mac) === at,
	);
	const without = (listed ?? []).filter(
		(mac) => !known.some((nic) => nic.mac === mac),
	);
	return [
		...known.map(({ name, privateIps, addresses }) => ({
			name,
			// A NIC without an address says nothing of its ENI.
			addresses: privateIps?.length ?? (addresses.length || undefined),
		})),
		...without.map((mac) => ({ name: mac, addresses: undefined })),
	];
}

/** ENIs without a NIC: not here yet, or not any more. */
export function describeAbsent(
	{ cloud, links }: Observed,
	{ recorded, verdicts }: Desired,
): Absent[] {
	// Where the cloud is silent, the verdict without a link says that and nothing of an ENI.
	const pending = verdicts.filter(({ link }) => link === "-" && cloud?.listed);
	const unbound = recorded.filter(
		({ mac, files }) =>
			files.length > 0 && !links.some((link) => link.mac === mac),
	);
	return [
		...pending.map(
			({ mac, reason }): Absent => ({
				kind: "pending",
				name: "-",
				mac: mac ?? null,
				reason,
			}),
		),
		...unbound.map(
			({ name, mac }): Absent => ({
				kind: "unbound",
				name,
				mac,
				reason: `no NIC has its MAC any more, and its files can make the network service fail at a boot: \`eni-configure remove ${name}\` takes them away`,
			}),
		),
	];
}

/** What is shown of steps. */
export function changesOf(steps: Step[]): Change[] {
	return steps.map((step) => ({
		kind: step.kind,
		link: step.link ?? null,
		target: targetOf(step),
		summary: summarize(step),
	}));
}
