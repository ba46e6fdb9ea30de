import { ipOf } from "../ipv4.js";
import type { InterfaceSpec, Managed } from "../model.js";
import type { Prepared } from "../prepared.js";
import type { Report } from "../report.js";
import { type Drift, listDrift } from "./drift.js";

/** One line about one NIC: what was changed and why, or that it could not be. */
export interface Change {
	level: "info" | "warning" | "error";
	link: string | undefined;
	text: string;
}

const maxThings = 6;

/**
 * The lines of a pass, one per NIC that it changed. `sinceMs` is how long ago a link was first heard
 * of, for one that is new; the pass itself took `passMs`.
 */
export function describeChanges(
	report: Report,
	{ desired, plan }: Prepared,
	drift: Drift[],
	passMs: number,
	sinceMs: (link: string) => number | undefined,
): Change[] {
	const hasSteps = (name: string) =>
		plan.steps.some(({ link }) => link === name);
	const took = (name: string) => {
		const ms = sinceMs(name);
		return ms === undefined
			? `${Math.round(passMs)} ms`
			: `${Math.round(ms)} ms from link event to verified`;
	};
	const changes = report.interfaces.flatMap((one): Change[] => {
		const { name, outcome } = one;
		if (outcome === "rolled-back" || outcome === "rollback-failed") {
			const isGone = report.findings.some(
				({ link, kind, got }) =>
					link === name && kind === "link" && got === "gone",
			);
			const text =
				isGone && outcome === "rolled-back"
					? "not configured: unplugged meanwhile"
					: failure(report, name, outcome);
			return [{ level: isGone ? "info" : "error", link: name, text }];
		}
		if (outcome !== "applied" || !hasSteps(name)) return [];
		const spec = desired.interfaces.find((other) => other.name === name);
		// Of the primary's further private IPs the report itself says what was done.
		if (one.primary) {
			const text = `${one.reason ?? "changed"} (${took(name)})`;
			return [{ level: "info", link: name, text }];
		}
		const what = spec
			? describeSpec(spec, desired.recorded, drift)
			: `removed ${one.addresses.map(ipOf).slice(0, maxThings).join(", ")}${more(one.addresses)}: unplugged`;
		return [{ level: "info", link: name, text: `${what} (${took(name)})` }];
	});
	const own = changes.map(({ link }) => link);
	const elsewhere = drift.filter(
		({ link }) => link === undefined || !own.includes(link),
	);
	return elsewhere.length === 0
		? changes
		: [
				...changes,
				{
					level: "info",
					link: undefined,
					text: `put right: ${listDrift(elsewhere)} (${Math.round(passMs)} ms)`,
				},
			];
}

function describeSpec(
	spec: InterfaceSpec,
	recorded: Managed[],
	drift: Drift[],
): string {
	const old = recorded.find(
		({ mac, isLeftover }) => mac === spec.mac && !isLeftover,
	);
	const table = spec.table === undefined ? "" : `, table ${spec.table}`;
	const whole = `${spec.addresses[0]}${further(spec)} via ${spec.gateway}${table}`;
	if (!old) return `configured ${whole}: plugged in`;
	if (old.name !== spec.name) return `configured ${whole}: was ${old.name}`;
	if (old.gateway !== spec.gateway || old.addresses[0] !== spec.addresses[0])
		return `changed to ${whole}: so says ${origin(spec)}`;
	const added = spec.addresses.filter((cidr) => !old.addresses.includes(cidr));
	const removed = old.addresses.filter(
		(cidr) => !spec.addresses.includes(cidr),
	);
	const parts = [
		...list("added", added, spec.source === "metadata" ? "assigned" : "given"),
		...list("removed", removed, "released"),
		...(own(drift, spec.name).length > 0
			? [`put right: ${listDrift(own(drift, spec.name))}`]
			: []),
	];
	return parts.length > 0
		? parts.join("; ")
		: "brought in line with the settings and the other NICs";
}

function origin({ source }: InterfaceSpec): string {
	return source === "metadata" ? "the metadata service" : `the ${source}`;
}

function further({ addresses }: InterfaceSpec): string {
	return addresses.length > 1 ? ` and ${addresses.length - 1} more` : "";
}

function list(verb: string, cidrs: string[], why: string): string[] {
	return cidrs.length === 0
		? []
		: [
				`${verb} ${cidrs.map(ipOf).slice(0, maxThings).join(", ")}${more(cidrs)}: ${why}`,
			];
}

function more(items: unknown[]): string {
	return items.length > maxThings
		? ` and ${items.length - maxThings} more`
		: "";
}

function own(drift: Drift[], name: string): Drift[] {
	return drift.filter(({ link }) => link === name);
}

function failure(
	{ findings, error }: Report,
	name: string,
	outcome: "rolled-back" | "rollback-failed",
): string {
	const finding =
		findings.find(({ link, mended }) => link === name && !mended) ??
		findings.find(({ mended }) => !mended);
	const why = finding
		? `${finding.kind}: expected ${finding.want}, found ${finding.got}`
		: (error ?? "an error");
	return outcome === "rolled-back"
		? `rolled back: ${why}`
		: `NOT rolled back, look at the machine: ${why}`;
}
