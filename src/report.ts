import { exitCodes, worstExitCode } from "./errors.js";
import { ipOf } from "./ipv4.js";
import type {
	Desired,
	Finding,
	InterfaceSpec,
	Link,
	Note,
	Observed,
	Outcome,
	PrimaryExtras,
	Step,
	Verdict,
} from "./model.js";
import { hasAddress } from "./plan/addresses.js";
import { changesExtras, claimedExtras, isExtraStep } from "./plan/extras.js";
import { batchLine } from "./plan/ip-batch.js";
import { sysctlSettings } from "./plan/sysctls.js";
import { linksOf, type Prepared, type Transaction } from "./prepared.js";
import { nameFew } from "./quote.js";
import { contradictions } from "./sysctl-conf.js";

/** One NIC's part of a report. */
export interface InterfaceReport {
	name: string;
	mac: string | undefined;
	primary: boolean;
	addresses: string[];
	gateway: string | undefined;
	table: number | undefined;
	outcome: Outcome;
	source: string | undefined;
	/** Why it was not configured. */
	reason?: string;
	diff?: string;
	exitCode: number;
}

/** What a run did, for people and for --json; version 1 is a promise. */
export interface Report {
	outcome: Outcome;
	exitCode: number;
	recovered: boolean;
	interfaces: InterfaceReport[];
	steps: { step: Step; ms: number }[];
	findings: Finding[];
	notes: Note[];
	timings: Record<string, number>;
	/** Where a whole run was given up: one line that says why. */
	error: string | undefined;
}

const outcomeOfVerdict: Record<Verdict["kind"], Outcome> = {
	pending: "pending",
	"backing-off": "pending",
	held: "refused",
	refused: "refused",
	released: "unchanged",
	primary: "refused",
	unlisted: "pending",
	"wrong-kind": "refused",
	missing: "refused",
	unmanaged: "unchanged",
};

/** The report of a NIC that was configured, or would be. */
export function reportSpec(
	spec: InterfaceSpec,
	outcome: Outcome,
	exitCode: number,
): InterfaceReport {
	const { name, mac, addresses, gateway, table, source } = spec;
	return {
		name,
		mac,
		primary: false,
		addresses,
		gateway,
		table,
		outcome,
		source,
		exitCode,
	};
}

/** The report of a NIC that was left alone. */
export function reportVerdict(
	verdict: Verdict,
	links: Link[],
): InterfaceReport {
	const link = links.find((one) => one.name === verdict.link);
	return {
		name: verdict.link,
		mac: verdict.mac,
		primary: verdict.kind === "primary",
		addresses: (link?.addresses ?? [])
			.filter(({ family }) => family === 4)
			.map(({ ip, prefix }) => `${ip}/${prefix}`),
		gateway: undefined,
		table: undefined,
		outcome:
			verdict.exitCode === 0 ? "unchanged" : outcomeOfVerdict[verdict.kind],
		source: undefined,
		reason: verdict.reason,
		exitCode: verdict.exitCode,
	};
}

const seriousness: Outcome[] = [
	"rollback-failed",
	"rolled-back",
	"refused",
	"pending",
	"applied",
	"planned",
	"unchanged",
];

/** One outcome for several NICs: the most serious. */
export function worstOutcome(outcomes: Outcome[]): Outcome {
	return (
		seriousness.find((outcome) => outcomes.includes(outcome)) ?? "unchanged"
	);
}

/** One line that says what a step does, in words a person would type where there are such. */
export function summarize(step: Step): string {
	switch (step.kind) {
		case "write":
			return step.before ? `rewrite ${step.path}` : `write ${step.path}`;
		case "remove":
			return `remove ${step.path}`;
		case "sysctl":
			return `net.ipv4.${step.key.replaceAll("/", ".")} = ${step.value} (was ${step.before ?? "unset"})`;
		case "run":
			return step.until === undefined
				? step.argv.join(" ")
				: `wait until ${step.argv.join(" ")} shows ${step.until}`;
		default:
			return `ip ${batchLine(step)}`;
	}
}

/** What a step acts on: a path, a sysctl, or the words of a command. */
export function targetOf(step: Step): string {
	switch (step.kind) {
		case "write":
		case "remove":
			return step.path;
		case "sysctl":
			return `net.ipv4.${step.key.replaceAll("/", ".")}`;
		case "run":
			return step.argv.join(" ");
		case "link":
			return step.link ?? "";
		default:
			return step.words.join(" ");
	}
}

/** NICs that a run leaves as they are, with the reason: what `plan` says stays untouched. */
export function untouched(
	links: Link[],
	desired: Desired,
): { name: string; reason: string }[] {
	const spoken = [...desired.interfaces, ...desired.gone].map(
		(one) => one.name,
	);
	return links
		.filter((link) => !spoken.includes(link.name))
		.map((link) => {
			const verdict = desired.verdicts.find((one) => one.link === link.name);
			const isPrimary = desired.primary?.name === link.name;
			const managed = desired.others.some((one) => one.name === link.name);
			const reason =
				verdict?.reason ??
				(isPrimary
					? "the primary: only its rp_filter is set"
					: managed
						? "managed, not named here"
						: "not named here");
			return { name: link.name, reason };
		});
}

const exitCodeOf: Record<Outcome, number> = {
	unchanged: exitCodes.converged,
	applied: exitCodes.converged,
	planned: exitCodes.converged,
	pending: exitCodes.metadata,
	refused: exitCodes.refused,
	"rolled-back": exitCodes.rolledBack,
	"rollback-failed": exitCodes.rollbackFailed,
};

/** The report of a run that found nothing to do, or may not do it now. */
export function reportUnchanged(prepared: Prepared): Report {
	return reportOf(prepared, () => "unchanged", {});
}

/** The report of a run that only shows its plan. */
export function reportPlan(prepared: Prepared): Report {
	const { plan, desired } = prepared;
	const isExtrasChanged = changesExtras(plan, desired.extras);
	const isAbout = linksOf(prepared).length > 0 || isExtrasChanged;
	return reportOf(
		prepared,
		(name) => (isChanged(prepared, name) ? "planned" : "unchanged"),
		{
			steps: isAbout ? plan.steps.map((step) => ({ step, ms: 0 })) : [],
			extras: isExtrasChanged ? "planned" : "unchanged",
		},
	);
}

/** The report of a run that changed something, or tried to. */
export function reportTransaction(
	prepared: Prepared,
	{ rolledBack, isExtrasBack, isRollbackFailed, findings, error }: Transaction,
	steps: Report["steps"],
): Report {
	const { plan, desired } = prepared;
	const back = isRollbackFailed ? "rollback-failed" : "rolled-back";
	const outcomeOf = (name: string): Outcome => {
		if (rolledBack.includes(name)) return back;
		return isChanged(prepared, name) ? "applied" : "unchanged";
	};
	const changed = isExtrasBack ? back : "applied";
	const extras = changesExtras(plan, desired.extras) ? changed : "unchanged";
	return reportOf(prepared, outcomeOf, { steps, findings, error, extras });
}

// A step is a NIC's own, or shared: sysctl.conf, `all.rp_filter`, the primary's rp_filter.
function isChanged(prepared: Prepared, name: string): boolean {
	const own = linksOf(prepared);
	const { plan, desired } = prepared;
	return plan.steps.some(
		(step) =>
			step.link === name ||
			step.link === undefined ||
			!(own.includes(step.link) || isExtraStep(step, desired.extras)),
	);
}

function reportOf(
	{ observed, desired }: Prepared,
	outcomeOf: (name: string) => Outcome,
	result: {
		steps?: Report["steps"];
		findings?: Finding[];
		error?: string | undefined;
		/** What became of the primary's further private IPs. */
		extras?: Outcome;
	},
): Report {
	const specs = desired.interfaces.map((spec) => {
		const outcome = outcomeOf(spec.name);
		return reportSpec(spec, outcome, exitCodeOf[outcome]);
	});
	const removed = desired.gone
		.filter(
			({ name, mac }) =>
				!specs.some((spec) => spec.name === name || spec.mac === mac),
		)
		.map((managed) => {
			const outcome = outcomeOf(managed.name);
			return {
				...reportSpec(
					{ ...managed, nmControlled: true, source: "metadata" },
					outcome,
					exitCodeOf[outcome],
				),
				source: undefined,
			};
		});
	const primary = reportExtras(
		observed.links,
		desired.extras,
		result.extras ?? "unchanged",
	);
	const verdicts = desired.verdicts
		.filter(
			(verdict) =>
				![...specs, ...removed, ...primary].some(
					(one) => one.name === verdict.link,
				),
		)
		.map((verdict) => ({
			...reportVerdict(verdict, observed.links),
			primary: verdict.link === desired.primary?.name,
		}));
	const interfaces = [...specs, ...unique(removed), ...primary, ...verdicts];
	return {
		outcome: worstOutcome(interfaces.map((one) => one.outcome)),
		exitCode: worstExitCode(interfaces.map((one) => one.exitCode)),
		recovered: false,
		interfaces,
		steps: result.steps ?? [],
		findings: [
			...(result.findings ?? []),
			...persistentContradictions(observed, desired),
		],
		notes: desired.notes,
		timings: {},
		error: result.error,
	};
}

// The primary has a line of its own where it has further private IPs of ours, or loses the last of them.
function reportExtras(
	links: Link[],
	extras: PrimaryExtras | undefined,
	outcome: Outcome,
): InterfaceReport[] {
	const link = links.find(({ name }) => name === extras?.name);
	if (!extras || !link || claimedExtras(extras).length === 0) return [];
	const isBack = outcome === "rolled-back" || outcome === "rollback-failed";
	const isOurs = (cidr: string) => claimedExtras(extras).includes(cidr);
	const standing = link.addresses
		.filter(({ family }) => family === 4)
		.map(({ ip, prefix }) => `${ip}/${prefix}`);
	return [
		{
			name: link.name,
			mac: link.mac,
			primary: true,
			addresses: isBack
				? standing
				: [...standing.filter((cidr) => !isOurs(cidr)), ...extras.addresses],
			gateway: undefined,
			table: undefined,
			outcome,
			source: "metadata",
			reason: describeExtras(link, extras, outcome),
			exitCode: exitCodeOf[outcome],
		},
	];
}

/** What a run does, or did, with the primary's further private IPs, in one line. */
export function describeExtras(
	link: Link,
	extras: PrimaryExtras,
	outcome: Outcome,
): string {
	const { addresses, recorded } = extras;
	const added = addresses.filter((cidr) => !hasAddress(link, cidr));
	const removed = recorded.filter(
		(cidr) => hasAddress(link, cidr) && !addresses.includes(cidr),
	);
	const kept = addresses.filter((cidr) => hasAddress(link, cidr));
	const say = (cidrs: string[], what: string) =>
		cidrs.length > 0 ? [`${nameFew(cidrs.map(ipOf))} ${what}`] : [];
	const isDone = outcome === "applied";
	const parts = [
		...say(added, isDone ? "added live" : "to be added live"),
		...say(removed, isDone ? "taken away again" : "to be taken away again"),
		...say(added.length + removed.length > 0 ? [] : kept, "added live"),
	];
	const prefix = {
		"rolled-back": "rolled back, as it was: ",
		"rollback-failed": "roll back failed, look at the machine: ",
	};
	const before = prefix[outcome as keyof typeof prefix] ?? "";
	return `${before}${parts.join(", ") || "no further private IPs"}`;
}

// A later line or file that says otherwise is the user's: named, not fought.
function persistentContradictions(
	observed: Observed,
	desired: Desired,
): Finding[] {
	if (desired.interfaces.length + desired.others.length === 0) return [];
	return contradictions(
		observed.sysctlConf?.content,
		observed.laterSysctlFiles,
		sysctlSettings(desired),
	).map(({ path, key, want, got }) => ({
		link: undefined,
		kind: "sysctl-file",
		want: `${key} = ${want}`,
		got: `${path} says ${got}`,
	}));
}

function unique<T extends { name: string }>(items: T[]): T[] {
	return items.filter(
		(item, at) => items.findIndex((one) => one.name === item.name) === at,
	);
}
