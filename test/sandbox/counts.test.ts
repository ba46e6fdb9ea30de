// What the agent costs beside time may not rise unnoticed. The figures stand in bench/counts.json; after a change that is meant:
//
//     UPDATE_COUNTS=1 npx vitest run test/sandbox/counts.test.ts
//
// They are the same on every machine. What differs from run to run or from machine to machine is left out or rounded:
// journal (indices of links, routes as this iproute2 prints them) and status.json (pids, times) count in whole KiB with
// some room, and the daemon's passes by the change itself, see changeOf().
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
	type Counts,
	countedRun,
	countsOf,
	startCountedDaemon,
} from "./counting";
import { type Daemon, until } from "./daemon";
import { quiet } from "./endurance";
import { root } from "./paths";
import type { EniOptions, Sandbox } from "./sandbox";
import { inSandbox } from "./scenario";

type Figures = Record<string, number>;

const file = join(root, "bench/counts.json");
const recorded: Record<string, Figures> = JSON.parse(
	readFileSync(file, "utf8"),
);
const isUpdate = process.env.UPDATE_COUNTS !== undefined;
const measured: Record<string, Figures> = {};

// Sizes of the program change with every line of it, the rounded ones with a digit: these fail only when they rise.
const ceilings = [
	...["journalKib", "statusKib"],
	...["distBytes", "distFiles", "loadedKib"],
];
const maxDistBytes = 700 * 1024;

const journal = "/var/lib/eni-configure/journal.json";
const status = "/run/eni-configure/status.json";

afterAll(() => {
	if (isUpdate)
		writeFileSync(
			file,
			`${JSON.stringify({ ...recorded, ...measured }, undefined, "\t")}\n`,
		);
});

/** Compares with what is recorded under a name; `details` helps to see what has changed. */
function check(name: string, figures: Figures, details: unknown = ""): void {
	measured[name] = figures;
	if (isUpdate) return;
	const before = recorded[name] ?? {};
	const names = [...new Set([...Object.keys(before), ...Object.keys(figures)])];
	const changes = names.flatMap((one) => {
		const [was, is] = [before[one], figures[one]];
		if (was === is) return [];
		const isLess = (is ?? 0) < (was ?? 0);
		const isMeant = isLess && ceilings.includes(one) ? " (may stay)" : "";
		return `${one}: was ${was ?? "not there"}, is ${is ?? "not there"}: ${isLess ? `less${isMeant}` : "MORE"}`;
	});
	const failures = changes.filter((text) => !text.endsWith("(may stay)"));
	const message = [
		`${name} does not cost what bench/counts.json says:`,
		...changes.map((text) => `  ${text}`),
		"Less is recorded by, and more only where it is meant:",
		"  UPDATE_COUNTS=1 npx vitest run test/sandbox/counts.test.ts",
		...(details === "" ? [] : [JSON.stringify(details)]),
	].join("\n");
	// Soft: what else has changed is worth knowing, too.
	expect.soft(failures, message).toEqual([]);
	if (changes.length > failures.length) console.log(message);
}

/** `count` ENIs with so many addresses each. */
function enis(count: number, addresses: number): EniOptions[] {
	return Array.from({ length: count }, (_, at) => ({
		name: `eth${at + 1}`,
		subnet: `10.0.${at + 11}.0/24`,
		addresses: Array.from(
			{ length: addresses },
			(_, host) => `10.0.${at + 11}.${host + 20}`,
		),
	}));
}

// Whole KiB that are enough, with room for a digit here and there.
function kib(bytes: number): number {
	return bytes === 0 ? 0 : Math.ceil((bytes + 64) / 1024);
}

function figuresOf(counts: Counts, requests: number): Figures {
	const { spawns, fsyncs, renames, bytes, files } = counts;
	const rounded = (files[journal]?.bytes ?? 0) + (files[status]?.bytes ?? 0);
	return {
		spawns: spawns.length,
		requests,
		fsyncs,
		renames,
		// Without the two that differ; they are below.
		bytes: bytes - rounded,
		journals: files[journal]?.times ?? 0,
		journalKib: kib(files[journal]?.bytes ?? 0),
	};
}

/** The figures of one run of the agent to its end. */
async function figuresOfRun(sandbox: Sandbox, args: string[]) {
	await sandbox.metadata.clearRequests();
	const counts = await countedRun(sandbox, args);
	const requests = await sandbox.metadata.requests();
	return { figures: figuresOf(counts, requests.length), counts };
}

function loadedKib({ loaded }: Counts): number {
	return kib(Object.values(loaded).reduce((sum, bytes) => sum + bytes, 0));
}

test.each([
	[1, 1],
	[1, 30],
	[8, 30],
])("%i new ENIs with %i addresses each", (count, addresses) =>
	inSandbox({ enis: enis(count, addresses) }, async (sandbox) => {
		const all = `ENIs: ${count}, addresses each: ${addresses}`;
		const first = await figuresOfRun(sandbox, ["--all"]);
		check(`first configure; ${all}`, first.figures, first.counts);
		// The kernel has IPv6 addresses of its own, and marks them while it looks for duplicates.
		await until(
			"no address is tentative",
			async () => !(await sandbox.ip("-o", "addr")).includes("tentative"),
		);
		// The first one without a step writes down all that it saw.
		const noting = await countedRun(sandbox, ["--all"]);
		expect(Object.keys(noting.files)).toEqual(["/run/eni-configure/unchanged"]);
		const again = await figuresOfRun(sandbox, ["--all"]);
		check(`no-op; ${all}`, again.figures, again.counts);
	}),
);

/**
 * Without looks that were made again before anything was changed: whether a line of the monitor comes between the lock, with
 * which the kernel is shown, and the pass is a matter of time. The kernel and the way to the gateway are then shown once more.
 */
function withoutRepeats(spawns: string[][]): string[][] {
	let isShown = false;
	return spawns.filter((words) => {
		const line = words.join(" ");
		if (line.startsWith("/bin/sh -c flock")) isShown = true;
		else if (isShown && /^ip -o -4 (-batch|route get)/.test(line)) return false;
		else if (!line.startsWith("systemctl show")) isShown = false;
		return true;
	});
}

/** What a daemon costs from now on until it is at rest again. */
async function during(
	sandbox: Sandbox,
	daemon: Daemon,
	body: () => unknown,
): Promise<{ figures: Figures; passes: number; spawns: string[][] }> {
	await sandbox.metadata.clearRequests();
	const before = await countsOf(sandbox, daemon);
	await body();
	await quiet(sandbox, daemon);
	const after = await countsOf(sandbox, daemon);
	const requests = await sandbox.metadata.requests();
	const of = (counts: Counts, path: string) =>
		counts.files[path] ?? { bytes: 0, times: 0 };
	const files = Object.fromEntries(
		Object.keys(after.files).map((path) => [
			path,
			{
				bytes: of(after, path).bytes - of(before, path).bytes,
				times: of(after, path).times - of(before, path).times,
			},
		]),
	);
	const spawns = withoutRepeats(after.spawns.slice(before.spawns.length));
	const counts: Counts = {
		...after,
		files,
		spawns,
		fsyncs: after.fsyncs - before.fsyncs,
		renames: after.renames - before.renames,
		bytes: after.bytes - before.bytes,
	};
	const told = of(counts, status);
	// Each pass ends in one status.json.
	const passes = told.times;
	const statusKib = kib(told.bytes / passes);
	const figures = { ...figuresOf(counts, requests.length), statusKib };
	return { figures, passes, spawns };
}

type Costs = Awaited<ReturnType<typeof during>>;

/**
 * What a change alone costs the daemon. How many lines of the monitor come together is a matter of
 * time, and so is how many passes follow that find nothing left to do: each of them costs what a look
 * does that changes nothing, and is taken off. Of three times the least, because a slow machine may also
 * have had to ask twice.
 */
function changeOf(times: Costs[], look: Figures): Figures {
	const takenOff = ["spawns", "fsyncs", "renames"];
	const alone = times.map(({ figures, passes }) =>
		Object.entries(figures).map(([name, figure]) => {
			const ofLook = takenOff.includes(name) ? (look[name] ?? 0) : 0;
			return [name, figure - (passes - 1) * ofLook] as const;
		}),
	);
	return leastOf(alone.map((one) => Object.fromEntries(one)));
}

function leastOf(each: Figures[]): Figures {
	const names = Object.keys(each[0] ?? {});
	const least = (name: string) =>
		Math.min(...each.map((figures) => figures[name] ?? 0));
	return Object.fromEntries(names.map((name) => [name, least(name)]));
}

test(
	"a daemon's hot-plug, look without a change, live assign, and unplug",
	() =>
		inSandbox({}, async (sandbox) => {
			const daemon = await startCountedDaemon(sandbox);
			const lookNow = () => daemon.child.kill("SIGHUP");
			const costs: Record<"plug" | "look" | "assign" | "unplug", Costs>[] = [];
			for (let at = 0; at < 3; at += 1) {
				const [eni] = enis(1, 2);
				const plug = await during(sandbox, daemon, () =>
					sandbox.plug(eni as EniOptions),
				);
				costs.push({
					plug,
					look: await during(sandbox, daemon, lookNow),
					assign: await during(sandbox, daemon, async () => {
						await sandbox.assign("eth1", "10.0.11.200");
						lookNow();
					}),
					unplug: await during(sandbox, daemon, () => sandbox.unplug("eth1")),
				});
			}
			const look = leastOf(costs.map((one) => one.look.figures));
			check(
				"daemon, a look that changes nothing; ENIs: 1",
				look,
				costs.map((one) => one.look.spawns),
			);
			for (const [name, text] of [
				["plug", "hot-plug; ENIs: 1, addresses each: 2"],
				["assign", "live assign of 1 address"],
				["unplug", "unplug; ENIs: 1, addresses each: 3"],
			] as const) {
				const times = costs.map((one) => one[name]);
				const spawns = times.map((one) => one.spawns);
				check(`daemon, ${text}`, changeOf(times, look), spawns);
				// Worth knowing, and a matter of time: no reason to fail.
				const passes = times.map((one) => one.passes).join(", ");
				console.log(`daemon, ${text}: passes until it rested: ${passes}`);
			}
			const { loaded } = await countsOf(sandbox, daemon);
			check("loaded by the daemon", {
				loadedKib: loadedKib({ loaded } as Counts),
			});
		}),
	180_000,
);

test("what the other front ends start, ask and load", () =>
	inSandbox({ enis: enis(1, 1) }, async (sandbox) => {
		await sandbox.agent(["--all"]);
		for (const args of [
			["--help"],
			["--version"],
			["plan", "--all"],
			["status"],
			["--all"],
			["boot"],
		]) {
			const { figures, counts } = await figuresOfRun(sandbox, args);
			const { spawns = 0, requests = 0, fsyncs = 0 } = figures;
			check(
				`loaded by ${args.join(" ")}`,
				{ spawns, requests, fsyncs, loadedKib: loadedKib(counts) },
				counts,
			);
		}
	}));

test("dist/ is no larger than it was, and below 700 KiB", () => {
	const sizes = Object.fromEntries(filesBelow(join(root, "dist")));
	const distBytes = Object.values(sizes).reduce((sum, size) => sum + size, 0);
	const distFiles = Object.keys(sizes).length;
	check("dist/", { distBytes, distFiles }, sizes);
	expect(distBytes, JSON.stringify(sizes)).toBeLessThan(maxDistBytes);
});

// Paths and sizes; esbuild and all that goes into the bundle are pinned by the lock file.
function filesBelow(folder: string): [string, number][] {
	return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
		const path = join(folder, entry.name);
		return entry.isDirectory()
			? filesBelow(path)
			: [[path, statSync(path).size] as [string, number]];
	});
}
