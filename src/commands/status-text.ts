import { ipOf } from "../ipv4.js";
import { nameFew, printable } from "../quote.js";
import type {
	Change,
	DaemonView,
	NicStatus,
	StatusView,
} from "./status-view.js";

// What a person can take in of one list, and what a console of 25 lines can show.
const maxLines = 5;
const margin = " ".repeat(10);

/** What somebody should look at, in a few words each, most serious first. */
export function toAttend(
	view: StatusView,
	{ hasJournal, isSilent }: { hasJournal: boolean; isSilent: boolean },
): string[] {
	const { daemon, interfaces, drift, withoutNic, error } = view;
	const stuck = interfaces.filter(
		({ verdict }) =>
			verdict &&
			["held", "refused", "backing-off", "pending"].includes(verdict.kind) &&
			!isSilence(verdict.reason, view),
	);
	const drifted = [...new Set(drift?.map(({ link }) => link ?? "shared"))];
	return [
		...(error === undefined ? [] : ["the kernel could not be looked at"]),
		...(hasJournal ? ["a run is under way, or was interrupted"] : []),
		...stuck.map(({ name, verdict }) => `${name} ${verdict?.kind}`),
		...(drifted.length > 0 ? [`drift: ${nameFew(drifted)}`] : []),
		...withoutNic.map(({ kind, name, mac }) =>
			kind === "unbound" ? `${name} ${kind}` : `${mac ?? "ENIs"} without a NIC`,
		),
		...(isSilent ? ["the metadata service"] : []),
		...(daemon?.running === false ? ["the daemon has stopped"] : []),
		...(daemon?.running === null ? ["the daemon's status.json"] : []),
	];
}

/** `status` for people: one fact a line, what needs attention first, then the NICs, then the daemon. */
export function describeStatus(view: StatusView, nowMs: number): string {
	const { machine, backend, attention, limits, lastChange } = view;
	const { os, cores, memoryGiB } = machine;
	// A roll back is not undone by another one.
	const undone =
		lastChange?.command === "rollback"
			? ""
			: "; `eni-configure rollback` undoes it";
	const changed = lastChange
		? [
				`changed:  ${agoOf(lastChange.at, nowMs)}: ${lastChange.command} ${nameFew(lastChange.links)}${undone}`,
			]
		: [];
	const lines = [
		`summary:  ${attention.length > 0 ? `look at ${attention.join("; ")}` : "all is well"}`,
		`machine:  ${os}, ${cores} cores, ${memoryGiB} GiB`,
		`backend:  ${backend.why}`,
		`metadata: ${view.metadata}`,
		...(limits
			? [
					`use:      ENIs ${limits.enis.used} of ${limits.enis.of}, addresses ${limits.addresses.used} of ${limits.addresses.of}`,
					...few(limits.notes).map((note) => margin + note),
				]
			: []),
		...changed,
		...view.problems.map((problem) => `not seen: ${problem}`),
		"",
		...view.interfaces.flatMap((nic) => describeNic(nic, view)),
		...view.withoutNic.map(
			({ kind, name, mac, reason }) =>
				`${name.padEnd(8)} ${mac ?? "-"}  ${kind}: ${reason}`,
		),
		...describeChanges("shared   ", null, view),
		...(view.interfaces.length > 0 ? [""] : []),
		...describeDaemon(view.daemon, nowMs),
	];
	return `${lines.map(printable).join("\n")}\n`;
}

function describeNic(nic: NicStatus, view: StatusView): string[] {
	const { name, mac, role, up, table, publicIps, gateway, source } = nic;
	const head = [
		up ? "up" : "down",
		role,
		...(table === undefined ? [] : [`table ${table}`]),
		...(source === null ? [] : [`from ${source}`]),
	].join(", ");
	const withEip = (address: string) => {
		const publicIp = publicIps[ipOf(address)];
		return publicIp ? `${address} (EIP ${publicIp})` : address;
	};
	const isSaid = (ip: string) =>
		nic.notes.some((note) => note.split(/[\s,:;()]+/).includes(ip));
	const missing = nic.missing.filter((ip) => !isSaid(ip)).map(withEip);
	const { verdict, backOff } = nic;
	const isOpen =
		verdict && ["pending", "held", "refused"].includes(verdict.kind);
	const facts = [
		...nic.addresses.map(withEip),
		...(gateway === null ? [] : [`gateway ${gateway}`]),
		...(missing.length > 0 ? [`not in the guest: ${nameFew(missing)}`] : []),
		...(verdict && !isSilence(verdict.reason, view)
			? [isOpen ? `${verdict.kind}: ${verdict.reason}` : verdict.reason]
			: []),
		...(backOff && verdict?.kind !== "backing-off"
			? [
					`was rolled back (${timesOf(backOff.attempts)}): not tried again for ${backOff.secondsLeft} s`,
				]
			: []),
		// Of the primary's further private IPs the note says which are there by the agent's doing.
		...(nic.role === "primary" && nic.note !== undefined
			? [nic.note]
			: nic.notes),
	];
	return [
		`${name.padEnd(8)} ${mac || "-"}  ${head}`,
		...facts.map((fact) => `         ${fact}`),
		...describeChanges("         ", name, view),
	];
}

// Drift in full as far as it is short; what is new in the cloud is the business of `plan`.
function describeChanges(
	indent: string,
	name: string | null,
	{ drift, planned }: StatusView,
): string[] {
	const isIts = ({ link }: Change) => link === name;
	const due = planned?.filter(isIts).length ?? 0;
	const plan =
		name === null ? "eni-configure plan --all" : `eni-configure plan ${name}`;
	return [
		...few(drift?.filter(isIts).map(({ summary }) => summary) ?? []).map(
			(summary) => `${indent}drift: ${summary}`,
		),
		...(due > 0 ? [`${indent}to do: ${stepsOf(due)}, see \`${plan}\``] : []),
	];
}

function describeDaemon(daemon: DaemonView | null, nowMs: number): string[] {
	if (daemon === null) return ["daemon:   never ran since the boot"];
	if (daemon.running === null)
		return [`daemon:   not known: ${daemon.problem}`];
	const { lastPass, lastChange, metadata, waiting, releases, drift } = daemon;
	const ago = (at: string) => agoOf(at, nowMs);
	const left = (at: string) => leftOf(at, nowMs);
	const pass = `${lastPass.trigger}, ${lastPass.outcome}, ${Math.round(lastPass.ms)} ms`;
	const history = [
		`last pass ${ago(lastPass.at)}: ${pass}`,
		...(lastPass.error === undefined ? [] : [`error: ${lastPass.error}`]),
		lastChange
			? `last change ${ago(lastChange.at)}: ${withLink(lastChange.link, lastChange.text)}`
			: "no change yet",
	];
	const block = (first: string, more: string[]) => [
		`daemon:   ${first}`,
		...more.map((line) => margin + line),
	];
	if (!daemon.running)
		return block(`not running (last seen ${ago(daemon.lastSeenAt)})`, history);
	return block(
		`running, pid ${daemon.pid}, since ${daemon.startedAt} (${ago(daemon.startedAt)})`,
		[
			...history,
			`next resync ${left(daemon.nextResyncAt)}`,
			...few(
				waiting
					.filter(({ retryAt }) => retryAt !== undefined)
					.map(
						({ link, mac, kind, retryAt }) =>
							`${link === "-" ? (mac ?? "-") : link}: ${kind}, tried again ${left(retryAt ?? "")}`,
					),
			),
			...few(
				releases.map(
					({ link, addresses, dueAt }) =>
						`${link}: release of ${nameFew(addresses)} ${left(dueAt)}, if metadata still says so`,
				),
			),
			// The latest last, and those are the ones of interest.
			...few(
				[...drift]
					.reverse()
					.map(
						({ link, what, times, lastAt, leftUntil }) =>
							`drifted: ${withLink(link, what)}, ${timesOf(times)}, last ${ago(lastAt)}${leftUntil === undefined ? "" : `; somebody else keeps changing it: left alone, tried again ${left(leftUntil)}`}`,
					),
			),
			...(metadata.problem === undefined
				? []
				: [
						`metadata: ${metadata.problem} (${metadata.answeredAt === undefined ? "has not answered yet" : `answered last ${ago(metadata.answeredAt)}`})`,
					]),
		],
	);
}

// What the service's silence makes of every NIC is said once, in the metadata line.
function isSilence(reason: string, { metadata }: StatusView): boolean {
	return reason === `the metadata service: ${metadata}`;
}

function withLink(link: string | undefined, text: string): string {
	return link === undefined || text.startsWith(`${link}:`)
		? text
		: `${link}: ${text}`;
}

function few(lines: string[]): string[] {
	const more = lines.length - maxLines;
	return more > 0 ? [...lines.slice(0, maxLines), `and ${more} more`] : lines;
}

function timesOf(count: number): string {
	return count === 1 ? "once" : `${count} times`;
}

function stepsOf(count: number): string {
	return count === 1 ? "1 step" : `${count} steps`;
}

// The wall clock may have been set since: then the time itself says more than a difference.
function agoOf(at: string, nowMs: number): string {
	const ms = nowMs - Date.parse(at);
	return ms < -5000 ? `at ${at}` : `${durationOf(Math.max(ms, 0))} ago`;
}

function leftOf(at: string, nowMs: number): string {
	const ms = Date.parse(at) - nowMs;
	return ms <= 0 ? "now" : `in ${durationOf(ms)}`;
}

/** A time span in its largest fitting unit: 89 s, 12 min, 35 h, 4 days. */
export function durationOf(ms: number): string {
	const seconds = Math.round(ms / 1000);
	if (seconds < 90) return `${seconds} s`;
	if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
	if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
	return `${Math.round(seconds / 86_400)} days`;
}
