import type {
	Desired,
	Finding,
	InterfaceSpec,
	Link,
	Note,
	Outcome,
	Step,
	Verdict,
} from "./model.js";
import { batchLine } from "./plan/ip-batch.js";

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
		...(verdict.diff === undefined ? {} : { diff: verdict.diff }),
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
