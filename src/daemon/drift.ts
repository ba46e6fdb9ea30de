import type { Managed, Observed, Step } from "../model.js";
import { kernelDifference } from "../plan/kernel-difference.js";
import { stepKey } from "../plan/step-key.js";
import { kernelWant } from "../plan.js";
import type { Prepared } from "../prepared.js";
import type { Report } from "../report.js";

/** One thing that was not as the agent had left it. */
export interface Drift {
	/** Tells it from other things, for as long as the daemon runs. */
	key: string;
	link: string | undefined;
	/** What was wrong, such as `10.0.1.21/32 was missing`. */
	what: string;
}

/**
 * What had drifted: steps of a pass for links whose spec is the one on record. A new NIC, or an
 * address assigned meanwhile, is a change and no drift.
 */
export function findDrift(prepared: Prepared): Drift[] {
	const { observed, desired, plan } = prepared;
	const steady = desired.interfaces
		.filter((spec) => isSteady(spec, desired.recorded, observed))
		.map(({ name }) => name);
	const isAllSteady = steady.length === desired.interfaces.length;
	const isShared = ({ link }: Step) =>
		link === undefined || link === desired.primary?.name;
	const isPresent = ({ mac }: Managed) =>
		observed.links.some((link) => link.mac === mac);
	// With another setting, or a NIC gone that the next pass cleans up after, the values change on purpose.
	const isSame =
		observed.state.rpFilter === desired.rpFilter &&
		desired.gone.length === 0 &&
		desired.recorded.every(isPresent) &&
		steady.length > 0;
	const files = plan.steps.filter(
		(step) => step.kind === "write" || step.kind === "remove",
	);
	// With files alone nothing of the kernel is put right.
	const kernel =
		prepared.means.restart === "none"
			? []
			: kernelDifference(kernelWant(observed, desired), observed);
	const steps = plan.steps.length === 0 ? [] : [...files, ...kernel];
	// Of the primary's further private IPs only one that was there before can be missing.
	const isNew = (step: Step) =>
		step.kind === "addr" &&
		(step.op === "del" ||
			!desired.extras?.recorded.includes(step.words[0] ?? ""));
	return (
		steps
			.filter((step) => !(isShared(step) && isNew(step)))
			.filter((step) =>
				isShared(step) && step.kind !== "addr"
					? isSame && (isAllSteady || step.kind === "sysctl")
					: isShared(step) || steady.includes(step.link ?? ""),
			)
			// Nobody unsets a sysctl: the NIC went while it was looked at.
			.filter((step) => step.kind !== "sysctl" || step.before !== undefined)
			.filter((step) => !isFollowing(step, prepared))
			.map((step) => ({
				key: stepKey(step),
				link: step.link,
				what: describe(step),
			}))
	);
}

// Containers' networks come and go, and the ENIs' tables follow them: no matter how often, no drift.
function isFollowing(step: Step, { desired }: Prepared): boolean {
	if (step.kind !== "route" || step.words[0] !== "throw") return false;
	const hasIt = ({ name, throws }: Pick<Managed, "name" | "throws">) =>
		name === step.link && throws.includes(step.words[1] ?? "");
	return desired.recorded.some(hasIt) !== desired.interfaces.some(hasIt);
}

/** The drift that a pass has put right: all but that of links it rolled back, whatever it says of other NICs. */
export function repairedDrift(
	{ interfaces, error }: Report,
	drift: Drift[],
): Drift[] {
	const isApplied = interfaces.some(({ outcome }) => outcome === "applied");
	if (error !== undefined || !isApplied) return [];
	const rolledBack = interfaces
		.filter(({ outcome }) => outcome.startsWith("roll"))
		.map(({ name }) => name);
	return drift.filter(({ link }) => !rolledBack.includes(link ?? ""));
}

/** Whether a spec is what the record already says of the link. */
function isSteady(
	spec: Managed | Prepared["desired"]["interfaces"][number],
	recorded: Managed[],
	observed: Observed,
): boolean {
	const keyOf = ({ name, mac, addresses, gateway, table }: typeof spec) =>
		JSON.stringify([name, mac, addresses, gateway, table]);
	return recorded.some(
		(managed) =>
			keyOf(managed) === keyOf(spec) &&
			observed.state.interfaces[managed.mac]?.managed !== undefined,
	);
}

function describe(step: Step): string {
	switch (step.kind) {
		case "write":
			return `${step.path} was ${step.before ? "different" : "missing"}`;
		case "remove":
			return `${step.path} was there`;
		case "sysctl":
			return `net.ipv4.${step.key.replaceAll("/", ".")} was ${step.before}`;
		case "link":
			return `the link was ${step.op === "up" ? "down" : "up"}`;
		case "addr":
			return `${step.words[0]} was ${step.op === "add" ? "missing" : "there"}`;
		case "rule":
		case "route":
			return `the ${step.kind} ${step.words.join(" ")} was ${step.op === "del" ? "there" : "missing"}`;
		default:
			return step.argv.join(" ");
	}
}

/** How often one thing has drifted, and until when it is left alone. */
export interface DriftRecord extends Drift {
	/** When it was put right, in ms since the boot, as far as it counts. */
	atMs: number[];
	times: number;
	/** How often it was left alone, which decides for how long the next time. */
	rounds: number;
	leftUntilMs: number;
}

// Three times within ten minutes is somebody's will, not an accident.
const fightTimes = 3;
const windowMs = 10 * 60_000;
const leaveMs = [60_000, 120_000, 300_000, 600_000];
// What has been quiet for so long has found its peace.
const peaceMs = 30 * 60_000;
// Eight ENIs with 30 addresses and their rules are 500.
const maxRecords = 2000;

/**
 * The records after a pass put things right. `fights` are those that are left alone from now on:
 * for 1, 2, 5, then 10 minutes, then put right once more to see whether it holds.
 */
export function nextDriftRecords(
	records: DriftRecord[],
	drift: Drift[],
	nowMs: number,
): { records: DriftRecord[]; fights: DriftRecord[] } {
	const fights: DriftRecord[] = [];
	const remembered = records.filter(
		({ atMs, leftUntilMs }) =>
			nowMs - Math.max(atMs.at(-1) ?? 0, leftUntilMs) < peaceMs,
	);
	const kept = remembered.filter(
		({ key }) => !drift.some((one) => one.key === key),
	);
	const renewed = drift.map((one): DriftRecord => {
		const old = remembered.find(({ key }) => key === one.key);
		const atMs = [
			...(old?.atMs ?? []).filter((at) => nowMs - at < windowMs),
			nowMs,
		].slice(-fightTimes);
		const rounds = old?.rounds ?? 0;
		// Left alone before, put right once more, and undone again: no second chance in a row.
		const isFight = atMs.length >= fightTimes || rounds > 0;
		const record: DriftRecord = {
			...one,
			atMs,
			times: (old?.times ?? 0) + 1,
			rounds: isFight ? rounds + 1 : 0,
			leftUntilMs: isFight
				? nowMs + (leaveMs[Math.min(rounds, leaveMs.length - 1)] ?? 0)
				: 0,
		};
		if (isFight) fights.push(record);
		return record;
	});
	return { records: [...kept, ...renewed].slice(-maxRecords), fights };
}

/**
 * The lines that name fights and say for how long things are left alone: one for each link. A link
 * that something keeps taking down explains all that is missing on it.
 */
export function describeFights(fights: DriftRecord[], nowMs: number): string[] {
	const links = [...new Set(fights.map(({ link }) => link))];
	return links.map((link) => {
		const all = fights.filter((fight) => fight.link === link);
		const itself = all.filter(({ key }) => key.startsWith("link "));
		const named = itself.length > 0 ? itself : all;
		const times = Math.max(...named.map((fight) => fight.times));
		const untilMs = Math.max(...named.map((fight) => fight.leftUntilMs));
		const minutes = Math.round((untilMs - nowMs) / 60_000);
		return `${link ? `${link}: ` : ""}${listDrift(named)}, ${times} times by now: something else keeps changing it (another agent, a script?); left as it is for ${minutes} min`;
	});
}

const maxNamed = 6;

/** What had drifted, the first few by name. */
export function listDrift(drift: Drift[]): string {
	const more = drift.length - maxNamed;
	const named = drift.slice(0, maxNamed).map(({ what }) => what);
	return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
