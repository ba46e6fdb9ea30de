import { describeLastChange, hasJournal } from "../apply/journal.js";
import { detectBackend } from "../backends/detect.js";
import { maxStatusBytes, parseDaemonStatus } from "../daemon/status-file.js";
import { desire } from "../desire.js";
import { isAgentError, messageOf } from "../errors.js";
import { readFile } from "../files.js";
import { ipOf } from "../ipv4.js";
import { limitsOf, useOf } from "../limits.js";
import { chooseMeans } from "../means.js";
import type { Desired, Observed, Settings, Step } from "../model.js";
import { observeFacts } from "../observe/facts.js";
import { describeMachine } from "../observe/machine.js";
import { observe } from "../observe/observe.js";
import { isSameProcess } from "../observe/process-start.js";
import { paths } from "../paths.js";
import { makePlan } from "../plan.js";
import { linksOf } from "../prepared.js";
import { parseState } from "../state.js";
import type { FileSystem, System } from "../system.js";
import type { Options } from "./options.js";
import { describeStatus, toAttend } from "./status-text.js";
import {
	changesOf,
	countEnis,
	type DaemonView,
	describeAbsent,
	describeNics,
	type StatusView,
} from "./status-view.js";

// As much as state.json may have.
const maxRecordBytes = 4 * 1024 * 1024;

/**
 * `status`: the machine, its NICs, what the cloud says of them, what differs, and what the daemon
 * does. A live look but for the daemon's part, so that it works while that is stopped. Needs neither
 * root nor the lock. What cannot be read is a line of the output. Returns 0, or the exit code of an
 * error that kept it from looking at the kernel at all.
 */
export async function status(
	system: System,
	options: Options,
	write: (text: string) => void,
	machineOf = describeMachine,
): Promise<number> {
	const { hidden, problems, sight } = withoutUnreadable(system);
	const [machine, seen] = await Promise.all([
		machineOf(system.fs),
		look(sight, options),
	]);
	const { facts = observeFacts(sight.fs), cloud } = seen.observed ?? {};
	const backend = detectBackend(facts, options.settings.backend);
	const view: StatusView = {
		machine: {
			...machine,
			memoryGiB: Math.round(machine.memoryGiB * 10) / 10,
		},
		backend: { name: backend.backend?.name ?? null, why: backend.why },
		metadata: seen.observed
			? (cloud?.problem ?? `${cloud?.listed?.length ?? 0} ENIs`)
			: "was not asked",
		attention: [],
		limits: null,
		lastChange: lastChangeOf(system.fs),
		daemon: daemonOf(system.fs),
		interfaces: [],
		withoutNic: [],
		drift: null,
		planned: null,
		problems,
	};
	if (seen.observed) {
		const { observed, desired } = seen;
		view.interfaces = describeNics(observed, desired);
		view.withoutNic = describeAbsent(observed, desired);
		view.limits = useOf(
			limitsOf(machine.cores, machine.memoryGiB),
			countEnis(observed, view.interfaces),
		);
		if (hidden.includes(paths.state))
			problems.push("what differs is not known without the record");
		else
			Object.assign(
				view,
				await compare(sight, options, seen, hidden, problems),
			);
	} else view.error = messageOf(seen.error);
	view.attention = toAttend(view, {
		hasJournal: hasJournal(system.fs),
		isSilent: cloud !== undefined && cloud.listed === undefined,
	});
	const body = { version: 1, command: "status", ...view };
	write(
		options.json
			? `${JSON.stringify(body, undefined, 2)}\n`
			: describeStatus(view, system.clock.wallMs()),
	);
	if (seen.observed) return 0;
	system.log("error", messageOf(seen.error));
	return isAgentError(seen.error) ? seen.error.exitCode : 1;
}

type Seen =
	| { observed: Observed; desired: Desired }
	| { observed?: undefined; error: unknown };

async function look(
	system: System,
	{ request, settings }: Options,
): Promise<Seen> {
	try {
		const observed = await observe(system, request, settings, {
			publicIps: true,
		});
		return { observed, desired: desire(observed, request, settings) };
	} catch (error) {
		return { error };
	}
}

// A file that this user may not read, that is garbage or has a FIFO in its place, is a line of the
// status and not its end: to the rest it is as if there were none.
function withoutUnreadable(system: System): {
	hidden: string[];
	problems: string[];
	sight: System;
} {
	const hidden: string[] = [];
	const problems: string[] = [];
	const hide = (path: string, problem: string) => {
		hidden.push(path);
		problems.push(problem);
	};
	for (const path of [paths.state, paths.sysctlConf]) {
		try {
			const file = readFile(system.fs, path, maxRecordBytes);
			const record = path === paths.state && file && parseState(file.content);
			if (typeof record === "string")
				hide(path, `${path} cannot be understood: ${record}`);
		} catch (error) {
			hide(path, messageOf(error));
		}
	}
	const { openSync } = system.fs;
	const fs: FileSystem = {
		...system.fs,
		openSync: (path, ...rest) => {
			if (hidden.includes(String(path)))
				throw Object.assign(new Error("hidden"), { code: "ENOENT" });
			return openSync(path, ...rest);
		},
	};
	return { hidden, problems, sight: { ...system, fs } };
}

// Two dry plans: of the record alone, whatever the cloud says now, and of all that is known.
async function compare(
	system: System,
	{ request, settings }: Options,
	{ observed, desired }: { observed: Observed; desired: Desired },
	hidden: string[],
	problems: string[],
): Promise<Partial<StatusView>> {
	try {
		const means = await chooseMeans(system, request, settings);
		const stepsOf = (seen: Observed, wanted: Desired): Step[] =>
			linksOf({ desired: wanted }).length > 0 || wanted.extras
				? makePlan(seen, wanted, means).steps.filter(
						(step) => !("path" in step && hidden.includes(step.path)),
					)
				: [];
		// No ENI is known to this look but by the record, so that the cloud's news are no drift.
		const { cloud } = observed;
		const listed = desired.recorded.map(({ mac }) => mac);
		const { primary } = desired;
		const primaryAddresses = cloud?.primaryAddresses && [
			...(primary?.addresses.map(({ ip }) => ip) ?? []),
			...(observed.state.extras?.addresses.map(ipOf) ?? []),
		];
		const recorded: Observed = {
			...observed,
			cloud: cloud && { ...cloud, listed, primaryAddresses, enis: {} },
		};
		const drift = changesOf(
			stepsOf(recorded, desire(recorded, request, byRecord(settings, desired))),
		);
		const known = drift.map((change) => JSON.stringify(change));
		const planned = changesOf(stepsOf(observed, desired)).filter(
			(change) => !known.includes(JSON.stringify(change)),
		);
		return { drift, planned };
	} catch (error) {
		problems.push(`what differs is not known: ${messageOf(error)}`);
		return {};
	}
}

function byRecord(settings: Settings, { recorded }: Desired): Settings {
	const sources = recorded
		.filter(({ isLeftover }) => !isLeftover)
		.map(({ mac, addresses, gateway }) => [mac, { addresses, gateway }]);
	return { ...settings, interfaces: Object.fromEntries(sources) };
}

function daemonOf(fs: FileSystem): DaemonView | null {
	let content: string | undefined;
	try {
		content = readFile(fs, paths.status, maxStatusBytes)?.content;
	} catch (error) {
		return { running: null, problem: messageOf(error) };
	}
	if (content === undefined) return null;
	const found = parseDaemonStatus(content);
	if (typeof found === "string")
		return {
			running: null,
			problem: `${paths.status} cannot be understood: ${found}`,
		};
	const { version: _, startTicks, writtenAt, ...rest } = found;
	const running = isSameProcess(fs, found.pid, startTicks);
	return { running, lastSeenAt: writtenAt, ...rest };
}

function lastChangeOf(fs: FileSystem): StatusView["lastChange"] {
	const last = describeLastChange(fs);
	if (!last) return null;
	const { atMs, command, links } = last;
	return { at: new Date(atMs).toISOString(), command, links };
}
