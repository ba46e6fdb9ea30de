import { nextState } from "../commit.js";
import { desire } from "../desire.js";
import type { Eni, Link, Request, Settings } from "../model.js";
import { touchableKernel } from "../plan/revert.js";
import { kernelWant, makePlan, touchedBy } from "../plan.js";
import type { Prepared } from "../prepared.js";
import { reportTransaction } from "../report.js";
import { parseState, serializeState } from "../state.js";
import { kernelFindings } from "../verify.js";
import { describeChanges } from "./changes.js";
import { findDrift, repairedDrift } from "./drift.js";

// Addresses for documentation (RFC 5737) and a MAC that is nobody's: none of it leaves this module.
const mac = "02:00:5e:00:53:01";
const addresses = Array.from({ length: 30 }, (_, at) => `192.0.2.${at + 10}`);

/**
 * Plans for a NIC that is not there, and forgets the plan. Functions that have never run are compiled when
 * they first do: 30 ms that the first NIC of a daemon would wait for, measured with 1 address on Node 20.
 */
export function rehearse(
	{ observed, means }: Prepared,
	request: Request,
	settings: Settings,
): void {
	const { cloud } = observed;
	if (!cloud?.listed) return;
	const numbers = observed.links.map(
		({ name }) => Number(/^eth(\d{1,3})$/.exec(name)?.[1] ?? 0) + 1,
	);
	const link: Link = {
		name: `eth${Math.max(1, ...numbers)}`,
		mac,
		ifindex: 0,
		up: false,
		operstate: "down",
		mtu: 1500,
		type: 1,
		driver: "virtio_net",
		devtype: undefined,
		master: undefined,
		lowers: [],
		dhcp: false,
		addresses: [],
	};
	const eni: Eni = {
		mac,
		addresses,
		primaryAddress: addresses[0] ?? "",
		prefix: 24,
		gateway: "192.0.2.1",
		publicIps: {},
	};
	const answer = { state: "ok", eni } as const;
	const imagined = {
		...observed,
		links: [...observed.links, link],
		cloud: {
			...cloud,
			listed: [...cloud.listed, mac],
			enis: { ...cloud.enis, [mac]: answer },
		},
	};
	const daemon = request.daemon && {
		...request.daemon,
		present: [...request.daemon.present, mac],
	};
	const desired = desire(
		imagined,
		{ ...request, ...(daemon ? { daemon } : {}) },
		settings,
	);
	const plan = makePlan(imagined, desired, means);
	kernelFindings(kernelWant(imagined, desired), imagined);
	touchableKernel(imagined, desired, touchedBy(plan.steps));
	const state = nextState(imagined, desired, request, settings, {
		kept: desired.interfaces,
		failed: [],
		gone: [],
		extras: "untouched",
		backups: [],
		nowMs: observed.nowMs,
		isKernelDone: true,
	});
	parseState(serializeState(state));
	const planned: Prepared = { observed: imagined, desired, plan, means };
	const report = reportTransaction(
		planned,
		{
			rolledBack: [],
			isExtrasBack: false,
			isRollbackFailed: false,
			findings: [],
			error: undefined,
		},
		plan.steps.map((step) => ({ step, ms: 0 })),
	);
	const drifted = repairedDrift(report, findDrift(planned));
	describeChanges(report, planned, drifted, 0, () => 0);
}
