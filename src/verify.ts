import { isMainDefault } from "./desire/candidate.js";
import type {
	Desired,
	Finding,
	Health,
	InterfaceSpec,
	KernelState,
	ObservedFile,
	Plan,
	Step,
} from "./model.js";
import { type KernelWant, kernelDifference } from "./plan/kernel-difference.js";
import { blockOf } from "./sysctl-conf.js";

/** What differs from the kernel state that is wanted: each step that would still be needed is a finding. */
export function kernelFindings(want: KernelWant, now: KernelState): Finding[] {
	const gone = want.interfaces
		.filter(
			(spec) =>
				!now.links.some(
					(link) => link.name === spec.name && link.mac === spec.mac,
				),
		)
		.map(
			(spec): Finding => ({
				link: spec.name,
				kind: "link",
				want: `a NIC with the MAC ${spec.mac}`,
				got: "gone",
			}),
		);
	return [
		...gone,
		...kernelDifference(want, now).map((step) => findingOf(step, now)),
	];
}

/** Whether a link's findings are all about its neighbours, which no restart of the link cures. */
export function isNeighbourOnly(findings: Finding[]): boolean {
	return findings.every((finding) => finding.kind === "neighbour");
}

/**
 * Findings about the primary: what worked before has to work afterwards. Of addresses that are `ours`
 * (CIDRs that the run may add and take away) others judge.
 */
export function healthFindings(
	before: Health | undefined,
	after: Health | undefined,
	ours: string[] = [],
): Finding[] {
	if (!before) return [];
	const { link } = before;
	if (!after)
		return [
			{ link, kind: "primary-link", want: `${link} present`, got: "gone" },
		];
	const findings: Finding[] = before.addresses
		.filter((cidr) => !after.addresses.includes(cidr) && !ours.includes(cidr))
		.map((cidr) => ({
			link,
			kind: "primary-address",
			want: cidr,
			got: "missing",
		}));
	if (before.gatewayLink === link && after.gatewayLink !== link) {
		findings.push({
			link,
			kind: "primary-gateway-link",
			want: `${before.gateway} by ${link}`,
			got: after.gatewayLink ?? "no route",
		});
	}
	if (before.hasNeighbour && !after.hasNeighbour) {
		findings.push({
			link,
			kind: "primary-neighbour",
			want: `${before.gateway} answers ARP on ${link}`,
			got: "no answer",
		});
	}
	return findings;
}

/** Findings about gateways of secondaries that did not answer. */
export function neighbourFindings(
	interfaces: InterfaceSpec[],
	neighbours: Record<string, boolean>,
): Finding[] {
	return interfaces
		.filter((spec) => neighbours[spec.name] === false)
		.map((spec) => ({
			link: spec.name,
			kind: "neighbour",
			want: `the gateway ${spec.gateway} answers ARP on ${spec.name}`,
			got: "no answer",
		}));
}

/** Files that are not what the plan wrote: somebody else was at work meanwhile. */
export function fileFindings(plan: Plan, files: ObservedFile[]): Finding[] {
	return plan.steps.flatMap((step): Finding[] => {
		if (step.kind !== "write" && step.kind !== "remove") return [];
		const file = files.find((one) => one.path === step.path);
		if (step.kind === "remove") {
			return file
				? [
						{
							link: step.link,
							kind: "file",
							want: `no ${step.path}`,
							got: "present",
						},
					]
				: [];
		}
		if (file?.content === step.content) return [];
		// Other lines of /etc/sysctl.conf are anybody's to change.
		const block = blockOf(step.content);
		if (file && block !== undefined && blockOf(file.content) === block)
			return [];
		return [
			{
				link: step.link,
				kind: "file",
				want: `${step.path} as written`,
				got: file ? "changed since" : "missing",
			},
		];
	});
}

/** Links whose findings doom them; "all" when something they share, or the primary, is among them. */
export function failedLinks(
	findings: Finding[],
	desired: Desired,
): string[] | "all" {
	const own = [...desired.interfaces, ...desired.gone].map((one) => one.name);
	const isShared = findings.some(
		(finding) => finding.link === undefined || !own.includes(finding.link),
	);
	return isShared
		? "all"
		: [...new Set(findings.map((finding) => finding.link as string))];
}

function findingOf(step: Step, now: KernelState): Finding {
	const { link } = step;
	switch (step.kind) {
		case "sysctl":
			return {
				link,
				kind: step.key.split("/").at(-1) ?? step.key,
				want: `net.ipv4.${step.key.replaceAll("/", ".")} = ${step.value}`,
				got: now.sysctls[step.key] ?? "missing",
			};
		case "link":
			return {
				link,
				kind: "link",
				want: step.op,
				got: step.op === "up" ? "down" : "up",
			};
		case "addr":
			return presence(link, "address", step.op, step.words[0] ?? "");
		case "rule":
			return presence(link, "rule", step.op, step.words.join(" "));
		case "route": {
			const isDefault =
				step.words[0] === "default" && !step.words.includes("table");
			const op = step.op === "del" ? "del" : "add";
			const words = step.words.join(" ");
			if (!isDefault) return presence(link, "route", op, words);
			const routes = now.routes
				.filter(isMainDefault)
				.map((route) => route.words.join(" "));
			return {
				link,
				kind: "default-route",
				want: op === "del" ? `not ${words}` : words,
				got: routes.join("; ") || "none",
			};
		}
		default:
			return { link, kind: step.kind, want: "done", got: "not done" };
	}
}

function presence(
	link: string | undefined,
	kind: string,
	op: "add" | "del",
	what: string,
): Finding {
	return op === "add"
		? { link, kind, want: what, got: "missing" }
		: { link, kind, want: `no ${what}`, got: "present" };
}
