import { cpus, totalmem } from "node:os";
import { detectBackend } from "../backends/detect.js";
import { primaryReason } from "../desire/candidate.js";
import { ownFiles } from "../desire/managed.js";
import { desire } from "../desire.js";
import { listDirectory, readFile } from "../files.js";
import { ipOf } from "../ipv4.js";
import type { Desired, Link, Observed } from "../model.js";
import { observeFacts } from "../observe/facts.js";
import { observe } from "../observe/observe.js";
import { claimedExtras } from "../plan/extras.js";
import { describeExtras } from "../report.js";
import type { FileSystem, System } from "../system.js";
import type { Options } from "./options.js";

interface NicStatus {
	name: string;
	mac: string;
	role: "primary" | "managed" | "released" | "not configured" | "other";
	up: boolean;
	addresses: string[];
	publicIps: Record<string, string>;
	table: number | undefined;
	note: string | undefined;
}

/** `status`: the machine, its NICs and what the cloud says of them. Needs neither root nor the lock. */
export async function status(
	system: System,
	options: Options,
	write: (text: string) => void,
): Promise<number> {
	const [observed, machine] = await Promise.all([
		observe(system, options.request, options.settings, true),
		describeMachine(system.fs),
	]);
	const nics = describeNics(observed, options);
	const backend = detectBackend(observed.facts, options.settings.backend);
	const metadata =
		observed.cloud?.problem ?? `${observed.cloud?.listed?.length ?? 0} ENIs`;
	if (options.json) {
		write(
			`${JSON.stringify({ version: 1, command: "status", machine, backend: { name: backend.backend?.name ?? null, why: backend.why }, metadata, interfaces: nics }, undefined, 2)}\n`,
		);
		return 0;
	}
	write(
		`machine:  ${machine.os}, ${machine.cores} cores, ${machine.memoryGiB} GiB\n`,
	);
	write(`backend:  ${backend.why}\n`);
	write(`metadata: ${metadata}\n\n`);
	for (const nic of nics) {
		const addresses = nic.addresses.map((cidr) => {
			const publicIp = nic.publicIps[ipOf(cidr)];
			return publicIp ? `${cidr} (EIP ${publicIp})` : cidr;
		});
		const table = nic.table === undefined ? "" : `, table ${nic.table}`;
		write(
			`${nic.name.padEnd(8)} ${nic.mac || "-"}  ${nic.up ? "up" : "down"}, ${nic.role}${table}\n`,
		);
		for (const address of addresses) write(`         ${address}\n`);
		if (nic.note) write(`         ${nic.note}\n`);
	}
	return 0;
}

function describeNics(observed: Observed, options: Options): NicStatus[] {
	const desired = desire(observed, options.request, options.settings);
	const nics = observed.links.filter(
		(link) =>
			link.type === 1 &&
			!link.devtype &&
			!isLeftAlone(
				link,
				observed,
				desired.verdicts.map(({ link: name }) => name),
			),
	);
	return nics.map((link): NicStatus => {
		const entry = observed.state.interfaces[link.mac];
		const answer = observed.cloud?.enis[link.mac];
		const isManaged = ownFiles(observed.files, link.name).length > 0;
		const verdict = desired.verdicts.find((one) => one.link === link.name);
		const isEni =
			desired.interfaces.some((spec) => spec.name === link.name) ||
			verdict?.kind === "held" ||
			verdict?.kind === "pending";
		const role = primaryReason(link, observed)
			? "primary"
			: isManaged
				? "managed"
				: entry?.released
					? "released"
					: isEni
						? "not configured"
						: "other";
		return {
			name: link.name,
			mac: link.mac,
			role,
			up: link.up,
			addresses: link.addresses
				.filter(({ family }) => family === 4)
				.map(({ ip, prefix }) => `${ip}/${prefix}`),
			publicIps: answer?.state === "ok" ? answer.eni.publicIps : {},
			table: isManaged ? entry?.managed?.table : undefined,
			note: role === "primary" ? noteOfPrimary(link, desired) : verdict?.reason,
		};
	});
}

// Which of its further private IPs are ours, and which are only reported.
function noteOfPrimary(link: Link, desired: Desired): string | undefined {
	const { extras, notes } = desired;
	const parts = [
		...(extras?.name === link.name && claimedExtras(extras).length > 0
			? [describeExtras(link, extras, "unchanged")]
			: []),
		...notes.flatMap((note) => (note.link === link.name ? [note.text] : [])),
	];
	return parts.length > 0 ? parts.join("; ") : undefined;
}

// Links that were never candidates (veth, tap and so on) are no news in a list of NICs.
function isLeftAlone(
	link: Link,
	observed: Observed,
	judged: string[],
): boolean {
	return (
		!judged.includes(link.name) &&
		!primaryReason(link, observed) &&
		observed.cloud?.enis[link.mac] === undefined
	);
}

async function describeMachine(
	fs: FileSystem,
): Promise<{ os: string; cores: number; memoryGiB: number }> {
	// systeminformation reads these, and would wait for ever for a FIFO among them.
	for (const directory of ["/etc", "/usr/lib"])
		for (const name of listDirectory(fs, directory))
			if (name.endsWith("-release") && !isReadable(fs, `${directory}/${name}`))
				return {
					os: observeFacts(fs).osName,
					cores: cpus().length,
					memoryGiB: inGiB(totalmem()),
				};
	// From lib/: the package's index loads, and later spawns, far more than three facts need.
	const [{ osInfo }, { cpu }, { mem }] = await Promise.all([
		import("systeminformation/lib/osinfo"),
		import("systeminformation/lib/cpu"),
		import("systeminformation/lib/memory"),
	]);
	const [os, processor, memory] = await Promise.all([osInfo(), cpu(), mem()]);
	return {
		os: `${os.distro} ${os.release}`,
		cores: processor.cores,
		memoryGiB: inGiB(memory.total),
	};
}

function isReadable(fs: FileSystem, path: string): boolean {
	try {
		readFile(fs, path);
		return true;
	} catch {
		return false;
	}
}

function inGiB(bytes: number): number {
	return Math.round((bytes / 2 ** 30) * 10) / 10;
}
