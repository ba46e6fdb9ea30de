import { ipOf } from "../ipv4.js";
import type { Finding, InterfaceSpec } from "../model.js";
import { observeHealth, resolvesNeighbour } from "../observe/health.js";
import { observeKernel, observeKernelAndWay } from "../observe/kernel.js";
import { observeFile } from "../observe/link-files.js";
import { claimedExtras } from "../plan/extras.js";
import type { KernelWant } from "../plan/kernel-difference.js";
import { kernelWant, touchedBy } from "../plan.js";
import type { Run } from "../run.js";
import {
	fileFindings,
	healthFindings,
	kernelFindings,
	neighbourFindings,
} from "../verify.js";

// FAILED or INCOMPLETE for 3 s, three times, is a gateway that is gone.
const primaryNeighbourMs = 9000;
const secondaryNeighbourMs = 10_000;

/** Verify: observes again and compares. With `restart: none` files only, for nothing else was touched. */
export async function lookAgain(run: Run): Promise<Finding[]> {
	const { system, desired, plan, means, health } = run;
	const paths = plan.steps.flatMap((step) =>
		step.kind === "write" || step.kind === "remove" ? [step.path] : [],
	);
	const files = paths.flatMap((path) => observeFile(system.fs, path));
	const changed = fileFindings(plan, files);
	if (means.restart === "none") return changed;

	const gateway = health?.gateway;
	const { kernel, way } =
		gateway === undefined
			? { kernel: await observeKernel(system), way: undefined }
			: await observeKernelAndWay(system, gateway);
	const known = gateway === undefined ? undefined : { to: gateway, link: way };
	const findings = [...changed, ...kernelFindings(wantOf(run), kernel)];
	// A NIC that lacks its addresses has nothing to ask its gateway with.
	// Without policy routing a datagram for a shared gateway leaves by the primary and asks nothing.
	const askedNics = changedInterfaces(run).filter(
		(spec) =>
			!findings.some((finding) => finding.link === spec.name) &&
			(spec.table !== undefined || spec.demoteMetric === undefined),
	);
	const [after, ...answers] = await Promise.all([
		observeHealth(
			system,
			kernel,
			desired.primary,
			health,
			primaryNeighbourMs,
			known,
		),
		...askedNics.map((spec) =>
			resolvesNeighbour(
				system,
				{
					link: spec.name,
					from: ipOf(spec.addresses[0] ?? ""),
					to: spec.gateway,
				},
				secondaryNeighbourMs,
			),
		),
	]);
	const neighbours = Object.fromEntries(
		askedNics.map((spec, at) => [spec.name, answers[at] ?? false]),
	);
	return [
		...findings,
		...neighbourFindings(desired.interfaces, neighbours),
		...healthFindings(health, after, claimedExtras(desired.extras)),
	];
}

/** What the kernel should hold at this point of a run. */
export function wantOf({ observed, desired, execution }: Run): KernelWant {
	const touched = touchedBy(execution.done.map(({ step }) => step));
	return kernelWant(observed, desired, touched);
}

function changedInterfaces({ desired, plan }: Run): InterfaceSpec[] {
	return desired.interfaces.filter((spec) =>
		plan.steps.some((step) => step.link === spec.name),
	);
}
