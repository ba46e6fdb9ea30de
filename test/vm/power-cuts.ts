import { expect } from "vitest";
import type { EniOptions } from "../sandbox/eni";
import { type Machine, withMachine } from "./machine";
import {
	contentsOf,
	expectNothingFailed,
	installed,
	isWhole,
	leftovers,
	scripts,
	untilDaemonIsReady,
} from "./scenario";

/** One change, and when the power goes in it. */
export interface Cut {
	what: string;
	/** What happens in the cloud before. */
	before?: (machine: Machine) => Promise<void>;
	/** What is done in the guest. */
	inside?: string;
	/** What happens outside then. */
	during?: (machine: Machine) => Promise<unknown>;
	/** Cut when a run has had its journal for so long (ms). */
	waitMs: number;
	/** What a person says next, where the outcome is either of two. */
	afterwards?: string;
}

export const plug = (which: EniOptions, waitMs: number): Cut => ({
	what: `plug ${which.name}`,
	during: (machine) => machine.bind(which),
	waitMs,
});
export const unplug = (which: EniOptions, waitMs: number): Cut => ({
	what: `unplug ${which.name}`,
	during: (machine) => machine.unbind(which.name),
	waitMs,
});
export const assign = (name: string, address: string, waitMs: number): Cut => ({
	what: `assign ${address}`,
	before: (machine) => machine.assign(name, address),
	inside: "systemctl --no-block reload eni-configure",
	waitMs,
});

/**
 * Cuts the power in each of these changes in turn, until so many runs have been hit; each begins with what the one before
 * has left. After each cut the machine boots, and has to have eth0 from the start, nothing half-written, and to converge.
 */
export async function cutPowerDuring(
	cuts: readonly Cut[],
	wanted: number,
): Promise<void> {
	let interrupted = 0;
	const said: string[] = [];
	await withMachine({ disk: await installed() }, async (machine) => {
		await untilDaemonIsReady(machine);
		for (const cut of cuts) {
			await perform(machine, cut);
			await machine.cutPower();
			await machine.boot();
			try {
				const isHit = await checkBoot(machine, cut);
				said.push(
					`${cut.what}, ${cut.waitMs} ms: ${isHit ? "undone at the boot" : "nothing to undo"}`,
				);
				if (isHit) interrupted += 1;
			} catch (error) {
				if (error instanceof Error)
					error.message = `after the power cut in "${cut.what}" (${said.length} before): ${error.message}`;
				throw error;
			}
			if (interrupted === wanted) break;
		}
	});
	console.log(`power cuts:\n${said.join("\n")}`);
	expect(interrupted, said.join("\n")).toBe(wanted);
}

async function perform(machine: Machine, cut: Cut): Promise<void> {
	await cut.before?.(machine);
	// The guest looks every 10 ms, and says so at once.
	const seen = machine.shell(
		`${cut.inside ?? ":"}
		exec {never}<> <(:)
		until [ -e ${state}/journal.json ]; do read -rt 0.01 -u "$never"; :; done`,
		60_000,
	);
	seen.catch(() => {});
	await cut.during?.(machine);
	await seen;
	await new Promise((resolve) => setTimeout(resolve, cut.waitMs));
}

/** Whether this boot had a run to undo. */
async function checkBoot(machine: Machine, cut: Cut): Promise<boolean> {
	await machine.untilAnswer(machine.primary.addresses);
	await untilDaemonIsReady(machine);
	expect(
		await machine.shell(
			"systemctl show -p ActiveState,Result,ExecMainStatus network",
		),
	).toBe("Result=success\nExecMainStatus=0\nActiveState=active\n");
	await expectNothingFailed(machine);
	if (cut.afterwards) await machine.shell(cut.afterwards);
	await machine.untilAnswer(
		machine.bound().flatMap(({ addresses }) => addresses),
	);
	// They answer before the run that gives them is at its end.
	await machine.until("no run is under way", `[ ! -e ${state}/journal.json ]`);

	// As the cut left them, before the boot unit: each file whole, old or new.
	const found = "/run/vm/at-boot";
	const atBoot = await contentsOf(
		machine,
		`${found}/network-scripts/*-eth[1-9] ${found}/sysctl.conf ${found}/eni-configure/*.json ${found}/eni-configure/undo/*.json`,
	);
	expect(atBoot.size).toBeGreaterThan(1);
	for (const [path, text] of atBoot) {
		if (path.endsWith(".json"))
			expect(() => JSON.parse(text), path).not.toThrow();
		else if (path.endsWith("sysctl.conf")) blockOf(text);
		else expect(isWhole(text), `${path}:\n${text}`).toBe(true);
	}

	// Now, files, record and kernel have what is bound, and no more.
	const names = machine
		.bound()
		.slice(1)
		.map(({ name }) => name)
		.sort();
	const now = await contentsOf(
		machine,
		`${scripts}/*-eth[1-9]* /etc/sysctl.conf ${state}/*.json`,
	);
	const files = [...now].filter(([path]) => path.startsWith(scripts));
	expect(files.map(([path]) => path.slice(scripts.length + 1))).toEqual(
		["ifcfg", "route", "rule"].flatMap((kind) =>
			names.map((name) => `${kind}-${name}`),
		),
	);
	for (const [path, text] of files) expect(isWhole(text), path).toBe(true);
	const keys = blockOf(now.get("/etc/sysctl.conf") ?? "");
	expect(keys.filter((name) => /^eth[1-9]/.test(name))).toEqual(names);
	expect(Object.keys(recordOf(now).interfaces).length).toBe(names.length);
	const rules = await machine.shell("ip -4 rule");
	expect(
		[...rules.matchAll(/from (10\.\S+) /g)].map(([, ip]) => ip).sort(),
	).toEqual(
		machine
			.bound()
			.slice(1)
			.flatMap(({ addresses }) => addresses)
			.sort(),
	);
	expect(await leftovers(machine)).toBe("");

	const { exitCode } = await machine.run(
		"journalctl -b --no-pager -o cat -u eni-configure -u eni-configure-boot | grep -q recovered:",
	);
	return exitCode === 0;
}

const state = "/var/lib/eni-configure";

const recordOf = (files: Map<string, string>) =>
	JSON.parse(files.get(`${state}/state.json`) ?? "{}") as {
		interfaces: Record<string, unknown>;
	};

/** The NICs in our block of a sysctl.conf; fails when the block is not whole. */
function blockOf(text: string): string[] {
	const lines = text.split("\n");
	const begin = lines.findIndex((line) =>
		line.startsWith("# eni-configure begin"),
	);
	const end = lines.findIndex((line) => line.startsWith("# eni-configure end"));
	expect(end < 0, text).toBe(begin < 0);
	expect(text.endsWith("\n"), text).toBe(true);
	const names = lines
		.slice(begin, end)
		.flatMap((line) => /\.conf\.([^.]+)\.\w+ = /.exec(line)?.[1] ?? []);
	return [...new Set(names)].sort();
}
