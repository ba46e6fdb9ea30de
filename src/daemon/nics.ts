import { notCandidate } from "../desire/candidate.js";
import { exists, listDirectory, readValue } from "../files.js";
import type { Link, Settings } from "../model.js";
import { observeLink } from "../observe/links.js";
import { paths } from "../paths.js";
import type { System } from "../system.js";
import { parseHint } from "./hints.js";

// A NIC of which udev has nothing to note gets no entry in its database.
const maxUdevMs = 1000;

/** The NICs that can be ENIs, as the daemon last saw them. */
export interface Nics {
	/**
	 * What a line of the monitor is about: a NIC's name, or why else to look; undefined for nothing.
	 * While a pass `isBusy`, a NIC that it knows may be saying what the pass does to it.
	 */
	hear(line: string, isBusy: boolean): string | undefined;
	/** Looks again; whether a NIC has come, gone, been exchanged, or got another name or MAC. */
	look(): boolean;
	list(): Link[];
	/** Whether the kernel has a link of this name right now. */
	isThere(name: string): boolean;
	/** MACs of NICs that were there at the last two looks, the very same ones. */
	stable(): string[];
	/** MACs of NICs that have been there since the start, and are not any more. */
	gone(): string[];
	/** Those of them that have been dealt with. */
	dropGone(macs: string[]): void;
	/** Whether udev has not done its part yet for a NIC that has just come: naming it, its sysctls. */
	isAtUdev(): boolean;
	/** Milliseconds since a link was first heard of in a hint that is not dealt with yet. */
	heardForMs(link: string): number | undefined;
	/** Forgets the hints about all links but these, as far as they came before a time: later ones are not dealt with yet. */
	forget(butFor: string[], beforeMs: number): void;
}

/** Nothing has been seen yet. */
export function watchNics(
	{ fs, clock }: System,
	exclude: () => Settings["exclude"],
): Nics {
	let known: Link[] = [];
	let hasLooked = false;
	let stable: string[] = [];
	const everSeen = new Set<string>();
	const heardMs = new Map<string, number>();
	const isCandidate = (link: Link) =>
		notCandidate(link, exclude()) === undefined;
	return {
		hear: (line, isBusy) => {
			const hint = parseHint(line, exclude().names, (ifindex) =>
				known.some((link) => link.ifindex === ifindex),
			);
			if (!hint) return undefined;
			const nic = known.find(
				({ name, ifindex }) => ifindex === hint.ifindex || name === hint.link,
			);
			const name = nic?.name ?? hint.link;
			if (hint.kind === "link") {
				// Whatever came and is gone already, or can be no ENI, is not worth a look.
				const isNew = !nic && observeLink(fs, name).some(isCandidate);
				if (!nic && !isNew) return undefined;
				const isOwn = isBusy && nic !== undefined;
				if (!heardMs.has(name) && !isOwn) heardMs.set(name, clock.nowMs());
			}
			return name || "lost events";
		},
		look: () => {
			const links = listDirectory(fs, paths.sysClassNet)
				.flatMap((name) => observeLink(fs, name))
				.filter(isCandidate);
			// One that was unplugged and plugged in again since has another index.
			const keyOf = (all: Link[]) =>
				all
					.map(({ name, mac, ifindex }) => `${name} ${mac} ${ifindex}`)
					.join("\n");
			const isChanged = keyOf(links) !== keyOf(known);
			// Seen before its line was read: it is as new as one that was heard of.
			const isOld = ({ ifindex }: Link) =>
				!hasLooked || known.some((link) => link.ifindex === ifindex);
			for (const link of links)
				if (!isOld(link) && !heardMs.has(link.name))
					heardMs.set(link.name, clock.nowMs());
			stable = links
				.filter(({ mac, ifindex }) =>
					known.some((one) => one.mac === mac && one.ifindex === ifindex),
				)
				.map(({ mac }) => mac);
			for (const { mac } of links) everSeen.add(mac);
			hasLooked = true;
			known = links;
			return isChanged;
		},
		list: () => known,
		isThere: (name) => exists(fs, `${paths.sysClassNet}/${name}`),
		stable: () => stable,
		gone: () =>
			[...everSeen].filter((mac) => !known.some((link) => link.mac === mac)),
		dropGone: (macs) => {
			for (const mac of macs) everSeen.delete(mac);
		},
		isAtUdev: () =>
			exists(fs, "/run/udev/control") &&
			[...heardMs].some(([name, ms]) => {
				const ifindex = readValue(fs, `${paths.sysClassNet}/${name}/ifindex`);
				return (
					clock.nowMs() - ms < maxUdevMs &&
					ifindex !== undefined &&
					!exists(fs, `/run/udev/data/n${ifindex}`)
				);
			}),
		heardForMs: (link) => {
			const ms = heardMs.get(link);
			return ms === undefined ? undefined : clock.nowMs() - ms;
		},
		forget: (butFor, beforeMs) => {
			for (const [name, ms] of heardMs)
				if (ms < beforeMs && !butFor.includes(name)) heardMs.delete(name);
		},
	};
}
