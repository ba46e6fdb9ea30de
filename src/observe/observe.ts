import { isMainDefault, notCandidate } from "../desire/candidate.js";
import { configuredSource } from "../desire/configured.js";
import { listDirectory, readBootId, readFile } from "../files.js";
import type {
	CloudView,
	FileState,
	KernelState,
	Link,
	Observed,
	Request,
	Settings,
	State,
} from "../model.js";
import { paths } from "../paths.js";
import { readState } from "../state.js";
import { maxSysctlConf } from "../sysctl-conf.js";
import type { System } from "../system.js";
import { observeFacts } from "./facts.js";
import { observeKernel, tableNames } from "./kernel.js";
import { observeLaterSysctlFiles, observeLinkFiles } from "./link-files.js";
import { observeLinks } from "./links.js";
import { fetchCloud, type Question } from "./metadata.js";
import { builtinTables } from "./parse-ip.js";

/** Everything a run goes by, read once: kernel and metadata side by side. `shown` is what showKernel has just printed. */
export async function observe(
	system: System,
	request: Request,
	settings: Settings,
	{ publicIps = false, shown }: { publicIps?: boolean; shown?: string } = {},
): Promise<Observed> {
	const { fs } = system;
	const state = readState(system);
	async function ask(): Promise<CloudView | undefined> {
		const question = whatToAsk(observeLinks(fs), state, request, settings);
		if (!question) return undefined;
		const urls = settings.metadataUrls;
		return fetchCloud(system, urls, state, { ...question, publicIps });
	}
	const [kernel, answered] = await Promise.all([
		observeKernel(system, shown),
		request.daemon?.cloud ?? ask(),
	]);
	const cloud =
		answered ??
		(isPrimaryInDoubt(kernel, state, request)
			? await fetchCloud(system, settings.metadataUrls, state, {
					macs: [],
					primaryAddresses: false,
					publicIps: false,
				})
			: undefined);
	const sysctlConf = readFile(fs, paths.sysctlConf, maxSysctlConf);
	const named = Object.entries(tableNames(fs)).filter(
		([name, number]) => builtinTables[name] !== number && number !== 0,
	);
	return {
		...kernel,
		files: observeLinkFiles(fs),
		sysctlConf: sysctlConf && { path: paths.sysctlConf, ...sysctlConf },
		laterSysctlFiles: observeLaterSysctlFiles(fs),
		facts: observeFacts(fs),
		cloud,
		state,
		backups: request.verb === "remove" ? readBackups(system, state) : {},
		copies: request.verb === "remove" ? listDirectory(fs, paths.backups) : [],
		namedTables: named.map(([, number]) => number),
		bootId: readBootId(fs),
		nowMs: system.clock.nowMs(),
	};
}

/** What to ask the metadata service for a request; nothing where every target has its addresses from flags or the config. */
export function whatToAsk(
	links: Link[],
	state: State,
	request: Request,
	settings: Settings,
): Omit<Question, "publicIps"> | undefined {
	if (request.verb === "remove") return undefined;
	const candidates = links.filter(
		(link) => notCandidate(link, settings.exclude) === undefined,
	);
	const isTarget = (link: Link) =>
		request.targets === "all" || request.targets.includes(link.name);
	const hasOwnSource = (link: Link) =>
		request.flags !== undefined ||
		(!request.fromMetadata &&
			(state.interfaces[link.mac]?.flags !== undefined ||
				configuredSource(link, settings, state) !== undefined));
	const macs = candidates
		.filter((link) => isTarget(link) && !hasOwnSource(link))
		.map((link) => link.mac);
	if (macs.length === 0 && request.targets !== "all") return undefined;
	return { macs, primaryAddresses: request.targets === "all" };
}

// With addresses from flags or the config metadata is not asked; but a NIC that is in use already may be the primary.
function isPrimaryInDoubt(
	kernel: KernelState,
	state: State,
	request: Request,
): boolean {
	if (request.verb === "remove" || state.primary) return false;
	const hasDefault = kernel.routes.some(isMainDefault);
	const isUsed = ({ name, mac, addresses }: Link) =>
		request.targets.includes(name) &&
		!state.interfaces[mac]?.managed &&
		addresses.some(({ family, scope }) => family === 4 && scope === "global");
	return !hasDefault || kernel.links.some(isUsed);
}

function readBackups({ fs }: System, state: State): Record<string, FileState> {
	const copies = Object.values(state.interfaces).flatMap(
		(entry) => entry.backups ?? [],
	);
	return Object.fromEntries(
		copies.flatMap(({ copy, mode, uid, gid }) => {
			const file = readFile(fs, `${paths.backups}/${copy}`);
			return file ? [[copy, { content: file.content, mode, uid, gid }]] : [];
		}),
	);
}
