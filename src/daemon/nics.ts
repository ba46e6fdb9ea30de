import { notCandidate } from "../desire/candidate.js";
import { listDirectory } from "../files.js";
import type { Link, Settings } from "../model.js";
import { observeLink } from "../observe/links.js";
import { paths } from "../paths.js";
import type { System } from "../system.js";
import { parseHint } from "./hints.js";

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
			known = links;
			return isChanged;
		},
		list: () => known,
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
