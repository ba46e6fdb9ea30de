import { ensureDirectory, writeAtomically } from "./apply/atomic.js";
import { acquireDaemonLock } from "./apply/lock.js";
import { describeChanges } from "./daemon/changes.js";
import { openCloud } from "./daemon/conversation.js";
import {
	type DriftRecord,
	findDrift,
	nextDriftRecords,
} from "./daemon/drift.js";
import { parseHint } from "./daemon/hints.js";
import { endOrphans, startMonitor, startTicks } from "./daemon/monitor.js";
import { nextReleases, type Releases, settleMs } from "./daemon/releases.js";
import { askAgainMs, passAgainMs } from "./daemon/retry.js";
import { notCandidate } from "./desire/candidate.js";
import { managedBy } from "./desire/managed.js";
import { AgentError, isAgentError, messageOf } from "./errors.js";
import type {
	CloudView,
	DaemonStatus,
	Link,
	Request,
	Settings,
	Verdict,
} from "./model.js";
import { observeLinkFiles } from "./observe/link-files.js";
import { observeLinks } from "./observe/links.js";
import { whatToAsk } from "./observe/observe.js";
import { paths } from "./paths.js";
import type { Prepared } from "./prepared.js";
import { reconcile } from "./reconcile.js";
import type { Report } from "./report.js";
import { readRecord, readState } from "./state.js";
import type { LogLevel, System } from "./system.js";

// A NIC that appears says so in several lines: the pass waits until they have come.
const calmMs = 10;
const maxCalmMs = 50;

/** What the daemon goes by; read again at each SIGHUP. */
export interface DaemonOptions {
	request: Request;
	settings: Settings;
	lockTimeoutMs: number;
}

/**
 * Keeps the guest equal to what the cloud says until a signal ends it; returns the exit code. Events
 * and timers are hints that there may be something to do; what there is to do, each pass finds out
 * anew with reconcile(). One pass at a time, and one waiting. Throws an AgentError of kind `locked`
 * where another daemon runs.
 */
export async function runDaemon(
	system: System,
	load: () => DaemonOptions,
): Promise<number> {
	const lock = await acquireDaemonLock(system).catch((error) => {
		if (!isAgentError(error) || error.kind !== "locked") throw error;
		throw new AgentError("locked", `a daemon runs already: ${error.message}`);
	});
	try {
		endOrphans(system);
		return await watch(system, load);
	} finally {
		lock.release();
	}
}

async function watch(
	system: System,
	load: () => DaemonOptions,
): Promise<number> {
	const { clock, fs, log } = system;
	let options = load();
	const random = () => clock.random();

	// Why the next pass is to be made; empty means there is none to make.
	const triggers = new Set<string>();
	let lastHintMs = 0;
	let wake = new AbortController();
	function trigger(why: string): void {
		triggers.add(why);
		wake.abort();
	}

	// When a link that is not configured was first heard of.
	const seenMs = new Map<string, number>();
	// NIC names by MAC at the last look, to know what came and went.
	let known: Link[] = [];
	let hasNews = true;
	function onLine(line: string): void {
		const hint = parseHint(line, options.settings.exclude.names, (ifindex) =>
			known.some((link) => link.ifindex === ifindex),
		);
		if (!hint) return;
		const now = clock.nowMs();
		const nic = known.find(
			({ name, ifindex }) => ifindex === hint.ifindex || name === hint.link,
		);
		const link = nic?.name ?? hint.link;
		if (hint.kind === "link") {
			if (!nic && !candidates().some(({ name }) => name === link)) return;
			if (!seenMs.has(link)) seenMs.set(link, now);
		}
		lastHintMs = now;
		trigger(link || "lost events");
	}
	const candidates = () =>
		observeLinks(fs).filter(
			(link) => notCandidate(link, options.settings.exclude) === undefined,
		);

	let isAnnounced = false;
	const monitor = startMonitor(system, onLine, (reason) => {
		if (!isAnnounced) log("warning", `ip monitor: ${reason}`);
		isAnnounced = true;
		hasNews = true;
		lastHintMs = clock.nowMs();
		trigger("lost events");
	});

	let releases: Releases = {};
	const settled = new Set<string>();
	let drift: DriftRecord[] = [];
	let waiting: Verdict[] = [];
	let answeredAt: string | undefined;
	let answerProblem: string | undefined;
	const cloud = openCloud(
		system,
		() => options.settings.metadataUrls,
		(view, isLate) => {
			const isListed = view.listed !== undefined;
			if (isListed) answeredAt = timeText();
			answerProblem = problemOf(view);
			const recorded = managedBy(observeLinkFiles(fs), readState(system));
			const next = nextReleases(
				releases,
				view,
				recorded.filter(({ isLeftover }) => !isLeftover),
				clock.nowMs(),
			);
			releases = next.releases;
			for (const mac of next.settled) settled.add(mac);
			const isReady = waiting.some(
				({ mac }) => mac !== undefined && view.enis[mac]?.state === "ok",
			);
			if (isLate || isReady || next.settled.length > 0) trigger("metadata");
		},
	);
	system.onHangup(() => {
		try {
			options = load();
			log("info", "SIGHUP: settings read again");
		} catch (error) {
			log(
				"error",
				`SIGHUP: ${messageOf(error)}; going on with the old settings`,
			);
		}
		hasNews = true;
		trigger("SIGHUP");
	});

	// Timers, as times: whatever is due is found by looking.
	const startedAt = timeText();
	let nextResyncMs = clock.nowMs();
	let nextAskMs = Number.POSITIVE_INFINITY;
	let waitingSinceMs = 0;
	let asks = 0;
	let nextPassMs = Number.POSITIVE_INFINITY;
	let failures = 0;
	let record = readRecord(system)?.content;
	let lastChange: DaemonStatus["lastChange"];
	let exitCode = 0;

	function timeText(afterMs = 0): string {
		return new Date(clock.wallMs() + afterMs).toISOString();
	}

	function resyncMs(): number {
		return options.settings.resyncSeconds * 1000 * (0.9 + random() * 0.2);
	}

	function nextReleaseMs(): number {
		return Math.min(
			...Object.values(releases).map(({ sinceMs }) => sinceMs + settleMs),
		);
	}

	function nextTruceMs(): number {
		const now = clock.nowMs();
		return Math.min(
			...drift
				.filter(({ leftUntilMs }) => leftUntilMs > now)
				.map(({ leftUntilMs }) => leftUntilMs),
		);
	}
	let truceMs = Number.POSITIVE_INFINITY;
	let releaseMs = Number.POSITIVE_INFINITY;

	// Turns what is due into triggers.
	function checkTimers(): void {
		const now = clock.nowMs();
		monitor.check();
		if (now >= nextResyncMs) {
			hasNews = true;
			triggers.add(
				triggers.size === 0 && isAnnouncedStart ? "resync" : "start",
			);
			// The first one at any time, so that machines that were started together do not stay in step.
			const first = 0.2 + random() * 0.8;
			nextResyncMs = now + resyncMs() * (isAnnouncedStart ? 1 : first);
			isAnnouncedStart = true;
		}
		if (now >= releaseMs) {
			hasNews = true;
			triggers.add("release");
			releaseMs = Number.POSITIVE_INFINITY;
		}
		if (now >= truceMs) {
			triggers.add("drift");
			truceMs = Number.POSITIVE_INFINITY;
		}
		if (now >= nextPassMs) {
			triggers.add("retry");
			nextPassMs = Number.POSITIVE_INFINITY;
		}
		if (now >= nextAskMs) {
			nextAskMs = now + askAgainMs(asks, now - waitingSinceMs, random());
			asks += 1;
			const macs = waiting.flatMap(({ mac }) => mac ?? []);
			void cloud.ask({ macs, primaryAddresses: false, publicIps: false }, true);
		}
	}
	let isAnnouncedStart = false;

	function msUntilNext(): number {
		const now = clock.nowMs();
		const next = Math.min(
			nextResyncMs,
			nextAskMs,
			nextPassMs,
			releaseMs,
			truceMs,
			now + (monitor.waitMs() ?? Number.POSITIVE_INFINITY),
		);
		return Math.max(next - now, 0);
	}

	async function calm(): Promise<void> {
		const limit = clock.nowMs() + maxCalmMs;
		for (;;) {
			const leftMs = Math.min(lastHintMs + calmMs, limit) - clock.nowMs();
			if (leftMs <= 0 || system.stopSignal()) return;
			await clock.sleep(leftMs);
		}
	}

	async function askIfNeeded(): Promise<void> {
		const links = candidates();
		const keyOf = (all: Link[]) =>
			all.map(({ name, mac }) => `${name} ${mac}`).join("\n");
		const isChanged = keyOf(links) !== keyOf(known);
		if (isChanged) cloud.keep(links.map(({ mac }) => mac));
		known = links;
		// A command on the side may have been told something newer.
		const content = readRecord(system)?.content;
		if (!isChanged && !hasNews && content === record) return;
		hasNews = false;
		const question = whatToAsk(
			links,
			readState(system),
			options.request,
			options.settings,
		);
		if (question) await cloud.ask({ ...question, publicIps: false }, false);
	}

	const said = new Map<string, string>();
	// One line when something begins, none while it lasts.
	function sayOnce(entries: { key: string; level: LogLevel; text: string }[]) {
		for (const key of said.keys())
			if (!entries.some((entry) => entry.key === key)) said.delete(key);
		for (const { key, level, text } of entries) {
			log(said.has(key) ? "debug" : level, text);
			said.set(key, text);
		}
	}

	async function pass(): Promise<void> {
		const why = [...triggers].join(", ");
		triggers.clear();
		const startMs = clock.nowMs();
		const left = drift
			.filter(({ leftUntilMs }) => leftUntilMs > startMs)
			.map(({ key }) => key);
		const believed = [...settled];
		log("debug", `looking: ${why}`);
		try {
			const report = await reconcile(
				system,
				{
					...options.request,
					daemon: { cloud: cloud.view(), settled: believed, left },
				},
				options.settings,
				options.lockTimeoutMs,
			);
			const ms = clock.nowMs() - startMs;
			for (const mac of believed) settled.delete(mac);
			tell(report, report.prepared, ms);
			writeStatus(why, report, ms);
		} catch (error) {
			const known = isAgentError(error)
				? error
				: new AgentError("internal", messageOf(error), error);
			if (!isAgentError(error)) log("debug", String((error as Error).stack));
			if (system.stopSignal() !== undefined) {
				if (known.kind === "rollbackFailed") exitCode = known.exitCode;
				return;
			}
			failures += 1;
			nextPassMs = clock.nowMs() + passAgainMs(failures, random());
			sayOnce([{ key: known.message, level: "error", text: known.message }]);
			writeStatus(why, known, clock.nowMs() - startMs);
		}
		record = readRecord(system)?.content;
	}

	function tell(report: Report, prepared: Prepared, ms: number): void {
		const now = clock.nowMs();
		const { desired } = prepared;
		const isDone =
			report.outcome !== "rolled-back" && report.error === undefined;
		const drifted = isDone ? findDrift(prepared) : [];
		const changes = describeChanges(report, prepared, drifted, ms, (link) => {
			const since = seenMs.get(link);
			return since === undefined ? undefined : now - since;
		});
		for (const { level, link, text } of changes) {
			log(level, link ? `${link}: ${text}` : text);
			lastChange = { at: timeText(), link, text };
		}
		if (report.recovered && changes.length === 0)
			lastChange = { at: timeText(), link: undefined, text: "recovered" };
		const next = nextDriftRecords(drift, drifted, now);
		drift = next.records;
		for (const { link, what, times, leftUntilMs } of next.fights)
			log(
				"warning",
				`${link ? `${link}: ` : ""}${what}, ${times} times by now: something else keeps changing it; left as it is for ${Math.round((leftUntilMs - now) / 60_000)} min (look for another agent, a script or a cron job)`,
			);
		truceMs = nextTruceMs();
		releaseMs = nextReleaseMs();

		const isWaiting = ({ link, kind }: Verdict) =>
			link !== "-" && (kind === "pending" || kind === "unlisted");
		const before = waiting.map(({ mac }) => mac).join();
		waiting = desired.verdicts.filter(isWaiting);
		if (waiting.map(({ mac }) => mac).join() !== before) {
			asks = 0;
			waitingSinceMs = now;
			nextAskMs = now;
		}
		if (waiting.length === 0) nextAskMs = Number.POSITIVE_INFINITY;
		else if (nextAskMs <= now) {
			nextAskMs = now + askAgainMs(asks, now - waitingSinceMs, random());
			asks += 1;
		}
		for (const name of seenMs.keys())
			if (!waiting.some(({ link }) => link === name)) seenMs.delete(name);

		const retries = desired.verdicts.flatMap(({ retryMs }) => retryMs ?? []);
		const rolledBack = report.interfaces.some(({ outcome }) =>
			outcome.startsWith("roll"),
		);
		failures = report.error === undefined && !rolledBack ? 0 : failures + 1;
		nextPassMs =
			failures > 0
				? now + passAgainMs(failures, random())
				: now + Math.min(...retries) + 100;
		sayOnce([
			...(report.error === undefined
				? []
				: [
						{
							key: report.error,
							level: "warning" as const,
							text: report.error,
						},
					]),
			...desired.verdicts
				.filter(({ kind, link }) => kind !== "primary" && link !== "-")
				.map(({ link, kind, reason }) => ({
					key: `${link} ${kind}`,
					level:
						kind === "unlisted" || kind === "released"
							? ("info" as const)
							: ("warning" as const),
					text: `${link}: ${reason}`,
				})),
			...report.notes.map(({ link, text }) => ({
				key: `${link} ${text}`,
				level: "warning" as const,
				text: `${link ? `${link}: ` : ""}${text}`,
			})),
			...report.findings
				.filter(({ kind }) => kind === "sysctl-file")
				.map(({ want, got }) => ({
					key: `${want} ${got}`,
					level: "warning" as const,
					text: `${want} is wanted, and ${got}`,
				})),
		]);
	}

	function writeStatus(
		why: string,
		result: Report | AgentError,
		ms: number,
	): void {
		const now = clock.nowMs();
		const isReport = !isAgentError(result);
		const at = (dueMs: number) => timeText(dueMs - now);
		const error = isReport ? result.error : result.message;
		const all = isReport
			? (result as Report & { prepared?: Prepared }).prepared?.desired.verdicts
			: undefined;
		const status: DaemonStatus = {
			version: 1,
			pid: Number(fs.readlinkSync("/proc/self")),
			startTicks: startTicks(fs, "self") ?? 0,
			startedAt,
			writtenAt: timeText(),
			nextResyncAt: at(nextResyncMs),
			metadata: { problem: answerProblem, answeredAt },
			lastPass: {
				at: timeText(-ms),
				trigger: why,
				outcome: isReport ? result.outcome : "refused",
				ms: Math.round(ms),
				...(error === undefined ? {} : { error }),
			},
			...(lastChange ? { lastChange } : {}),
			waiting: (all ?? waiting)
				.filter(({ kind }) => kind !== "primary")
				.map(({ link, mac, kind, reason, retryMs }) => ({
					link,
					mac,
					kind,
					reason,
					...(retryMs === undefined
						? waiting.some((one) => one.link === link)
							? { retryAt: at(nextAskMs) }
							: {}
						: { retryAt: timeText(retryMs) }),
				})),
			releases: Object.values(releases).map(({ link, addresses, sinceMs }) => ({
				link,
				addresses,
				dueAt: at(sinceMs + settleMs),
			})),
			drift: drift.map(({ link, what, times, atMs, leftUntilMs }) => ({
				link,
				what,
				times,
				lastAt: at(atMs.at(-1) ?? now),
				...(leftUntilMs > now ? { leftUntil: at(leftUntilMs) } : {}),
			})),
		};
		try {
			ensureDirectory(fs, paths.runDirectory, 0o755);
			const content = `${JSON.stringify(status, undefined, "\t")}\n`;
			writeAtomically(fs, paths.status, {
				content: Buffer.from(content).toString("latin1"),
				mode: 0o644,
			});
		} catch (error) {
			log("debug", `status: ${messageOf(error)}`);
		}
	}

	log(
		"info",
		`watching for NICs; looking every ${options.settings.resyncSeconds} s besides`,
	);
	try {
		for (;;) {
			if (system.stopSignal() !== undefined) break;
			checkTimers();
			if (triggers.size === 0) {
				wake = new AbortController();
				await clock.sleep(msUntilNext(), wake.signal);
				continue;
			}
			await calm();
			await askIfNeeded();
			if (system.stopSignal() !== undefined) break;
			await pass();
		}
	} finally {
		monitor.stop();
	}
	log("info", `${system.stopSignal()}: stopped`);
	return exitCode;
}

function problemOf(view: CloudView): string | undefined {
	if (view.listed === undefined) return view.problem;
	const [failed] = Object.entries(view.enis).filter(
		([, { state }]) => state !== "ok" && state !== "not-found",
	);
	return failed && failed[1].state !== "ok"
		? `${failed[0]}: ${failed[1].reason}`
		: undefined;
}
