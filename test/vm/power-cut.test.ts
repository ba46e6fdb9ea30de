import { expect, it } from "vitest";
import type { EniOptions } from "../sandbox/sandbox";
import { type Machine, withMachine } from "./machine";
import {
	eni,
	installed,
	leftovers,
	managedFiles,
	untilDaemonIsReady,
} from "./scenario";

interface Cut {
	what: string;
	/** What happens in the cloud before. */
	before?: (machine: Machine) => Promise<void>;
	/** What is done in the guest. */
	inside?: string;
	/** What happens outside then. */
	during?: (machine: Machine) => Promise<unknown>;
	/** Cut when the guest has had a journal for so long (ms). */
	journalMs?: number;
	/** Cut so long after the change (ms). */
	afterMs?: number;
	/** What a person may say next; the outcome of the interrupted command is either of two. */
	afterwards?: string;
}

const [one, two, three] = [eni(1, 4), eni(2, 3), eni(3)];
const reload = "systemctl --no-block reload eni-configure";
const plug = (which: EniOptions) => (machine: Machine) => machine.bind(which);
const unplug = (which: EniOptions) => (machine: Machine) =>
	machine.unbind(which.name);
const assign = (name: string, address: string) => (machine: Machine) =>
	machine.assign(name, address);

// Each begins with what the one before has left. The times are those of a machine under emulation, where a run
// takes a second or two.
const cuts: Cut[] = [
	{ what: "plug", during: plug(one), journalMs: 0 },
	{
		what: "assign",
		before: assign("eth1", "10.0.1.90"),
		inside: reload,
		journalMs: 20,
	},
	{ what: "plug", during: plug(two), journalMs: 150 },
	{ what: "unplug", during: unplug(two), journalMs: 0 },
	{ what: "plug", during: plug(two), journalMs: 500 },
	{ what: "plug", during: plug(three), afterMs: 500 },
	{ what: "unplug", during: unplug(three), journalMs: 60 },
	{
		what: "assign",
		before: assign("eth2", "10.0.3.91"),
		inside: reload,
		afterMs: 300,
	},
	{ what: "plug", during: plug(three), afterMs: 1500 },
	{
		what: "remove, by hand",
		inside: "systemd-run --quiet --collect eni-configure remove eth3",
		journalMs: 100,
		afterwards: "eni-configure eth3",
	},
	{
		what: "a restart of the daemon while it assigns",
		before: assign("eth1", "10.0.1.92"),
		inside: `${reload}; sleep 0.5; systemctl --no-block restart eni-configure`,
		afterMs: 100,
	},
];

it("a power cut during a change: the next boot has eth0 from the start, nothing half-written, and converges", {
	timeout: 900_000,
}, async () => {
	let interrupted = 0;
	await withMachine({ disk: await installed() }, async (machine) => {
		await untilDaemonIsReady(machine);
		for (const [number, cut] of cuts.entries()) {
			await perform(machine, cut);
			await machine.cutPower();
			await machine.boot();
			try {
				interrupted += await checkBoot(machine, cut);
			} catch (error) {
				if (error instanceof Error)
					error.message = `after cut ${number + 1} (${cut.what}): ${error.message}`;
				throw error;
			}
		}
	});
	console.log(
		`${cuts.length} power cuts, ${interrupted} of them left a run to be undone`,
	);
	// Where none had hit a run, nothing would have been shown.
	expect(interrupted).toBeGreaterThanOrEqual(3);
});

async function perform(machine: Machine, cut: Cut): Promise<void> {
	const { before, inside = ":", during, journalMs, afterMs } = cut;
	await before?.(machine);
	// The guest looks every 10 ms, and says so at once.
	const look =
		journalMs === undefined
			? ":"
			: "until [ -e /var/lib/eni-configure/journal.json ]; do read -rt 0.01 <> <(:); :; done";
	const seen = machine.shell(`${inside}\n${look}`, 30_000);
	seen.catch(() => {});
	await during?.(machine);
	await seen;
	await new Promise((resolve) => setTimeout(resolve, journalMs ?? afterMs));
}

/** 1 when this boot had a run to undo. */
async function checkBoot(
	machine: Machine,
	{ afterwards }: Cut,
): Promise<number> {
	await machine.untilAnswer(machine.primary.addresses);
	await untilDaemonIsReady(machine);
	expect(
		await machine.shell("systemctl show -p Result,ExecMainStatus network"),
	).toBe("Result=success\nExecMainStatus=0\n");
	if (afterwards) await machine.shell(afterwards);
	const expected = machine.bound().flatMap(({ addresses }) => addresses);
	await machine.untilAnswer(expected);
	// What the files and the kernel have is what is bound, and no more.
	const configured = machine.bound().slice(1);
	const files = await managedFiles(machine);
	expect(files.filter(({ isValid }) => !isValid)).toEqual([]);
	expect(files.map(({ path }) => path.replace(/.*\//, "")).sort()).toEqual(
		configured
			.flatMap(({ name }) => [`ifcfg-${name}`, `route-${name}`, `rule-${name}`])
			.sort(),
	);
	const rules = await machine.shell("ip -4 rule");
	expect(
		[...rules.matchAll(/from (10\.\S+) /g)].map(([, ip]) => ip).sort(),
	).toEqual(configured.flatMap(({ addresses }) => addresses).sort());
	expect(await leftovers(machine)).toBe("");
	await machine.shell(
		"for file in /var/lib/eni-configure/*.json /var/lib/eni-configure/undo/*.json; do [ ! -e $file ] || python3 -m json.tool $file >/dev/null; done; [ ! -e /var/lib/eni-configure/journal.json ]",
	);
	const recovered = await machine.run(
		"journalctl -b --no-pager -o cat -u eni-configure -u eni-configure-boot | grep -q recovered:",
	);
	return recovered.exitCode === 0 ? 1 : 0;
}
