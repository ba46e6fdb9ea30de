import { hasJournal } from "./apply/journal.js";
import { acquireDaemonLock } from "./apply/lock.js";
import { describeChanges } from "./daemon/changes.js";
import { openCloud } from "./daemon/cloud.js";
import { conditionsOf, patienceMs } from "./daemon/conditions.js";
import {
	type Drift,
	type DriftRecord,
	describeFights,
	findDrift,
	nextDriftRecords,
	repairedDrift,
} from "./daemon/drift.js";
import { endOrphans, startMonitor } from "./daemon/monitor.js";
import { watchNics } from "./daemon/nics.js";
import { rehearse } from "./daemon/rehearse.js";
import { settleMs } from "./daemon/releases.js";
import {
	askAgainMs,
	firstResyncMs,
	passAgainMs,
	resyncMs,
	stuckAgainMs,
} from "./daemon/retry.js";
import { writeDaemonStatus } from "./daemon/status-file.js";
import { heldNow, type Taken, takeLock } from "./daemon/taken.js";
import { createTimers } from "./daemon/timers.js";
import { createTriggers } from "./daemon/triggers.js";
import { createEcho, createVoice } from "./daemon/voice.js";
import { defaultRoutes } from "./desire/candidate.js";
import { AgentError, isAgentError, messageOf } from "./errors.js";
import { exists } from "./files.js";
import type {
	CloudView,
	DaemonStatus,
	Request,
	Settings,
	Verdict,
	Watched,
} from "./model.js";
import { whatToAsk } from "./observe/observe.js";
import { observeProcess } from "./observe/process-start.js";
import { paths } from "./paths.js";
import type { Prepared } from "./prepared.js";
import { reconcile } from "./reconcile.js";
import type { Report } from "./report.js";
import { peekState, readRecord } from "./state.js";
import type { System } from "./system.js";
import { timeText } from "./time-text.js";

/** What the daemon goes by; read again at each SIGHUP. */
export interface DaemonOptions {
	request: Request;
	settings: Settings;
	lockTimeoutMs: number;
}

const udevPollMs = 10;
// How soon to look again at what is only just under way.
const soonMs = 1000;
/**
 * Keeps the guest equal to what the cloud says until a signal ends it; returns the exit code. Events
 * and timers are hints that there may be something to do; what there is to do, each pass finds out
 * anew with reconcile(). One pass at a time, and at most one waiting. Throws an AgentError of kind
 * `locked` where another daemon runs.
 */
export async function runDaemon(
	system: System,
	load: () => Promise<DaemonOptions>,
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
	load: () => Promise<DaemonOptions>,
): Promise<number> {
	const { clock, fs, log } = system;
	let options = await load();
	const triggers = createTriggers(system);
	const timers = createTimers();
	const voice = createVoice(log);
	const voiceOfErrors = createVoice(log);
	const echo = createEcho(log);
	const inPass: System = { ...system, log: echo.log };
	const nics = watchNics(system, () => options.settings.exclude);
	const started = timeIn(0);
	// Something may have changed that no link tells of: ask the metadata service before the next pass.
	let mustAsk = true;
	// What the last pass went by, and what it found in the way.
	let used: CloudView | undefined;
	let verdicts: Verdict[] = [];
	// NICs without usable metadata so far, since when, and how often they have been asked about.
	let waiting: Verdict[] = [];
	let [waitingSinceMs, asked] = [0, 0];
	let drift: DriftRecord[] = [];
	let failures = 0;
	// When to try again what could not be undone.
	let stuckUntilMs = 0;
	const recordText = () => {
		try {
			return readRecord(system)?.content;
		} catch {
			return undefined;
		}
	};
	let record = recordText();
	let lastChange: DaemonStatus["lastChange"];
	let exitCode = 0;
	let isBusy = false;
	// Lines of the monitor so far.
	let heard = 0;
	// The primary's gateway at the last pass.
	let gateway: string | undefined;
	// What the metadata service had said of ENIs at the last pass.
	let told: string | undefined;
	// What the first pass has found, until there is time for a rehearsal.
	let firstPass: { prepared: Prepared; request: Request } | undefined;
	let isRehearsed = false;

	function timeIn(afterMs: number): string {
		return timeText(clock.wallMs() + afterMs);
	}

	function isUsed(mac: string, view: CloudView): boolean {
		return JSON.stringify(used?.enis[mac]) === JSON.stringify(view.enis[mac]);
	}

	const cloud = openCloud(
		system,
		() => options.settings.metadataUrls,
		({ view, isLate }) => {
			const isReady = waiting.some(
				({ mac }) =>
					mac !== undefined &&
					view.enis[mac]?.state === "ok" &&
					!isUsed(mac, view),
			);
			const isSettled = cloud.settled(view).length > 0;
			if (isLate || isReady || isSettled) triggers.add("metadata");
		},
	);
	const monitor = startMonitor(
		system,
		(line) => {
			heard += 1;
			const reason = nics.hear(line, isBusy);
			if (reason !== undefined) triggers.hint(reason);
		},
		(reason, failed) => {
			if (failed === 1) log("warning", `ip monitor ${reason}: started again`);
			mustAsk = true;
			triggers.hint("lost events");
		},
	);
	// Without a monitor silence says nothing.
	const isDeaf = () => monitor.startAtMs() !== undefined;

	async function hangUp(): Promise<void> {
		try {
			options = await load();
			const nextMs = clock.nowMs() + resyncMs(options.settings, clock.random());
			timers.set("resync", Math.min(timers.at("resync"), nextMs));
		} catch (error) {
			log(
				"error",
				`SIGHUP: ${messageOf(error)}; going on with the old settings`,
			);
		}
		mustAsk = true;
		stuckUntilMs = 0;
		triggers.add("SIGHUP");
	}
	// One after the other: what was written last holds.
	let hangingUp = Promise.resolve();
	system.onHangup(() => {
		hangingUp = hangingUp.then(hangUp);
	});

	// A pass would begin with one more try. A person who has moved the journal away has ended that.
	function isStuck(): boolean {
		return clock.nowMs() < stuckUntilMs && hasJournal(fs);
	}

	// The wait before the next pass, where the last one has failed.
	function failureMs(isStuckNow: boolean): number {
		failures += 1;
		if (!isStuckNow) return passAgainMs(failures, clock.random());
		const delayMs = stuckAgainMs(failures, clock.random());
		stuckUntilMs = clock.nowMs() + delayMs;
		return delayMs;
	}

	// Whatever is due becomes a reason for a pass, or a question.
	function checkTimers(): void {
		const now = clock.nowMs();
		const due = timers.take(now);
		if (due.includes("monitor")) monitor.start();
		if (due.includes("retry")) stuckUntilMs = 0;
		if (due.includes("resync"))
			timers.set("resync", now + resyncMs(options.settings, clock.random()));
		if (due.includes("resync") || due.includes("release")) mustAsk = true;
		for (const name of due)
			if (name !== "monitor" && name !== "ask") triggers.add(name);
		if (due.includes("ask")) askAboutWaiting();
		const restartMs = monitor.startAtMs();
		if (restartMs !== undefined) timers.set("monitor", restartMs);
	}

	function untilAskMs(attempt: number, waitedMs: number): number {
		return askAgainMs(attempt, waitedMs, cloud.silentMs(), clock.random());
	}

	function askAboutWaiting(): void {
		if (waiting.length === 0) return;
		const now = clock.nowMs();
		// One that a pass alone has seen, and that went before its line was read, is told of by nobody.
		if (!waiting.every(({ link }) => nics.isThere(link)))
			triggers.add("a NIC that has gone");
		const waitedMs = now - waitingSinceMs;
		timers.set("ask", now + untilAskMs(asked, waitedMs));
		asked += 1;
		const macs = waiting.flatMap(({ mac }) => mac ?? []);
		const question = { macs, primaryAddresses: false, publicIps: false };
		void cloud.ask(question, true);
	}

	// udev gives a NIC its name and its sysctls, and CentOS 7's kernel renames no link that is up.
	async function udevIsDone(): Promise<void> {
		while (nics.isAtUdev() && system.stopSignal() === undefined)
			await clock.sleep(udevPollMs);
	}

	async function askIfNeeded(): Promise<void> {
		const isChanged = nics.look();
		if (isChanged) cloud.keep(nics.stable());
		// A command on the side may have been told something newer.
		const now = recordText();
		const isRecordChanged = now !== record;
		record = now;
		if (!isChanged && !mustAsk && !isRecordChanged) return;
		mustAsk = false;
		const { request, settings } = options;
		const question = whatToAsk(
			nics.list(),
			peekState(system),
			request,
			settings,
		);
		if (!question) return;
		const isAsked = await cloud.ask({ ...question, publicIps: false }, false);
		if (!isAsked) mustAsk = true;
	}

	async function pass(taking: Promise<Taken>): Promise<void> {
		const reasons = triggers.take().join(", ");
		const startMs = clock.nowMs();
		echo.next();
		log("debug", `looking: ${reasons}`);
		const left = drift
			.filter(({ leftUntilMs }) => leftUntilMs > startMs)
			.map(({ key }) => key);
		const view = cloud.view();
		const gone = nics.gone();
		const daemon: Watched = {
			cloud: view,
			settled: cloud.settled(view),
			present: nics.list().map(({ mac }) => mac),
			gone,
			left,
			hasNews: gone.length > 0 || JSON.stringify(view.enis) !== told,
		};
		told = JSON.stringify(view.enis);
		used = view;
		const request: Request = { ...options.request, daemon };
		try {
			const { settings, lockTimeoutMs } = options;
			const report = await reconcile(
				inPass,
				request,
				settings,
				lockTimeoutMs,
				heldNow(await taking, {
					nowMs: clock.nowMs(),
					heard,
					isDeaf: isDeaf(),
					isAsking: cloud.isOpen(),
				}),
			);
			if (!isRehearsed) firstPass = { prepared: report.prepared, request };
			gateway = gatewayOf(report.prepared);
			nics.dropGone(gone);
			const ms = clock.nowMs() - startMs;
			digest(report, report.prepared, ms);
			const { outcome, error } = report;
			publish({ trigger: reasons, outcome, ms, error });
		} catch (error) {
			const known = isAgentError(error)
				? error
				: new AgentError("internal", messageOf(error), error);
			if (!isAgentError(error)) log("debug", String((error as Error).stack));
			if (system.stopSignal() !== undefined) {
				if (known.kind === "rollbackFailed") exitCode = known.exitCode;
				return;
			}
			const isLeft = known.kind === "rollbackFailed";
			if (isLeft) exitCode = known.exitCode;
			timers.set("retry", clock.nowMs() + failureMs(isLeft));
			const { message } = known;
			// What cannot be undone is said at each of its few tries.
			const key = isLeft ? `${message} ${failures}` : message;
			voiceOfErrors([{ key, level: "error", text: message }]);
			const ms = clock.nowMs() - startMs;
			publish({ trigger: reasons, outcome: "refused", ms, error: message });
		}
		record = recordText();
	}

	function rehearseOnce(): void {
		if (isRehearsed || !firstPass) return;
		const { prepared, request } = firstPass;
		isRehearsed = true;
		firstPass = undefined;
		try {
			rehearse(prepared, request, options.settings);
		} catch (error) {
			log("debug", `rehearsal: ${messageOf(error)}`);
		}
	}

	// What a pass has done is said, and what it has left open is put on a timer.
	function digest(report: Report, prepared: Prepared, ms: number): void {
		const now = clock.nowMs();
		verdicts = prepared.desired.verdicts;
		// One that is unbound goes down first: what a pass sees in between, and cannot put right, is no drift.
		const isThere = ({ link }: Drift) =>
			link === undefined || exists(system.fs, `${paths.sysClassNet}/${link}`);
		const drifted = repairedDrift(report, findDrift(prepared)).filter(isThere);
		const changes = describeChanges(
			report,
			prepared,
			drifted,
			ms,
			nics.heardForMs,
		);
		for (const { level, link, text } of changes) {
			echo.log(level, link ? `${link}: ${text}` : text);
			lastChange = { at: timeIn(0), link, text };
		}
		exitCode = report.outcome === "rollback-failed" ? report.exitCode : 0;

		const next = nextDriftRecords(drift, drifted, now);
		drift = next.records;
		for (const text of describeFights(next.fights, now)) log("warning", text);
		const truces = drift.map(({ leftUntilMs }) => leftUntilMs);
		timers.set("truce", Math.min(...truces.filter((atMs) => atMs > now)));
		const releases = Object.values(cloud.releases());
		const dueMs = releases.map(({ sinceMs }) => sinceMs + settleMs);
		timers.set("release", Math.min(...dueMs.filter((atMs) => atMs > now)));

		const retries = verdicts.flatMap(({ retryMs }) => retryMs ?? []);
		const before = waiting.map(({ mac }) => mac).join();
		const { primary } = prepared.desired;
		waiting = verdicts.filter(
			({ link, mac, kind }) =>
				(kind === "pending" || kind === "unlisted") &&
				link !== "-" &&
				link !== primary?.name &&
				// What stands in the way of a usable answer (an address given twice) no question cures.
				used?.enis[mac ?? ""]?.state !== "ok",
		);
		if (waiting.map(({ mac }) => mac).join() !== before) {
			[waitingSinceMs, asked] = [now, 1];
			timers.set("ask", now + untilAskMs(0, 0));
		}
		// By then it is time to say so, whatever other passes come in between.
		for (const { link } of waiting) {
			const leftMs = patienceMs - (nics.heardForMs(link) ?? patienceMs);
			if (leftMs > 0) retries.push(leftMs);
		}
		nics.forget(
			waiting.map(({ link }) => link),
			now - ms,
		);

		// A network service that is busy is no failure, and soon done.
		const isServiceBusy =
			report.outcome === "pending" && report.error !== undefined;
		const isLeft = report.outcome === "rollback-failed";
		const isFailed = isLeft || (report.error !== undefined && !isServiceBusy);
		if (!isFailed) failures = 0;
		const isRolledBack = report.interfaces.some(({ outcome }) =>
			outcome.startsWith("roll"),
		);
		// The pass after a roll back finds out how long that is backed off from.
		const delayMs = isFailed
			? failureMs(isLeft)
			: Math.min(...retries, isRolledBack || isServiceBusy ? soonMs : Infinity);
		timers.set("retry", now + delayMs);
		// One that only the pass itself has seen so far is newer still.
		const isSeen = (link: string) =>
			nics.list().some(({ name }) => name === link);
		const heardForMs = (link: string) =>
			nics.heardForMs(link) ?? (isSeen(link) ? undefined : 0);
		voiceOfErrors([]);
		voice(conditionsOf(report, verdicts, heardForMs));
	}

	function publish(lastPass: Omit<DaemonStatus["lastPass"], "at">): void {
		const now = clock.nowMs();
		const at = (ms: number) => timeIn(ms - now);
		const answeredMs = cloud.answeredMs();
		const isAskedAbout = ({ link }: Verdict) =>
			waiting.some((one) => one.link === link);
		const retryAt = (verdict: Verdict) =>
			verdict.retryMs !== undefined
				? timeIn(verdict.retryMs)
				: isAskedAbout(verdict) && Number.isFinite(timers.at("ask"))
					? at(timers.at("ask"))
					: undefined;
		const status: DaemonStatus = {
			version: 1,
			pid: Number(fs.readlinkSync("/proc/self")),
			startTicks: observeProcess(fs, "self")?.startTicks ?? 0,
			startedAt: started,
			writtenAt: timeIn(0),
			nextResyncAt: at(Math.max(timers.at("resync"), stuckUntilMs)),
			metadata: {
				problem: cloud.problem(),
				answeredAt: answeredMs === undefined ? undefined : at(answeredMs),
			},
			lastPass: {
				at: timeIn(-lastPass.ms),
				...lastPass,
				ms: Math.round(lastPass.ms),
			},
			...(lastChange ? { lastChange } : {}),
			waiting: verdicts
				.filter(({ kind }) => kind !== "primary")
				.map((verdict) => {
					const { link, mac, kind, reason } = verdict;
					return { link, mac, kind, reason, retryAt: retryAt(verdict) };
				}),
			releases: Object.values(cloud.releases()).map(
				({ link, addresses, sinceMs }) => ({
					link,
					addresses,
					dueAt: at(sinceMs + settleMs),
				}),
			),
			drift: drift.map(({ link, what, times, atMs, leftUntilMs }) => ({
				link,
				what,
				times,
				lastAt: at(atMs.at(-1) ?? now),
				leftUntil: leftUntilMs > now ? at(leftUntilMs) : undefined,
			})),
		};
		try {
			writeDaemonStatus(fs, status);
		} catch (error) {
			log("debug", `status: ${messageOf(error)}`);
		}
	}

	const { resyncSeconds } = options.settings;
	log("info", `watching for NICs, and looking every ${resyncSeconds} s`);
	triggers.add("start");
	timers.set(
		"resync",
		clock.nowMs() + firstResyncMs(options.settings, clock.random()),
	);
	try {
		while (system.stopSignal() === undefined) {
			checkTimers();
			// Whatever it was, the try that is due finds out about it as well.
			if (!triggers.isEmpty() && isStuck()) triggers.take();
			if (triggers.isEmpty()) {
				rehearseOnce();
				await triggers.wait(Math.max(timers.nextMs() - clock.nowMs(), 0));
				continue;
			}
			await udevIsDone();
			// Whoever has the lock, whatever the metadata service takes, and what else is heard of: side by side.
			const { lockTimeoutMs } = options;
			const taking = takeLock(inPass, lockTimeoutMs, gateway, () => heard);
			taking.catch(() => {});
			const before = heard;
			await Promise.all([askIfNeeded(), triggers.calm()]);
			await udevIsDone();
			// Else nobody has said a word since, and nothing is left to ask.
			const isQuiet = isRehearsed && heard === before && !isDeaf();
			if (!isQuiet || mustAsk || recordText() !== record) await askIfNeeded();
			isBusy = true;
			if (system.stopSignal() === undefined) await pass(taking);
			else await taking.then(({ lock }) => lock.release()).catch(() => {});
			isBusy = false;
		}
	} finally {
		monitor.stop();
	}
	log("info", `${system.stopSignal()}: stopped`);
	return exitCode;
}

function gatewayOf({ observed, desired }: Prepared): string | undefined {
	const { primary } = desired;
	return defaultRoutes(observed.routes).find(
		({ devs }) => primary !== undefined && devs.includes(primary.name),
	)?.via;
}
