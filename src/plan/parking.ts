import { linkFilePaths, parseIfcfg } from "../desire/managed.js";
import { bodyOf, isOurs } from "../marker.js";
import type { ObservedFile } from "../model.js";
import { isMac } from "../observe/parse-metadata.js";
import { paths } from "../paths.js";

/** Files of ours for a NIC that is not there, in the order in which they are taken away: ifcfg first. */
export interface Parking {
	name: string;
	mac: string;
	files: ObservedFile[];
}

/**
 * The managed files whose MAC no link has: the network service fails over them. A NIC that is there
 * under another name keeps its files, for udev may be about to rename it. `parked` are the copies that
 * are there already: where a power cut came between the files of a NIC, its ifcfg is among them, and
 * what is left follows. `macs` are the links' own, in lower case.
 */
export function filesToPark(
	files: ObservedFile[],
	parked: ObservedFile[],
	macs: string[],
): Parking[] {
	const own = files.filter(({ content }) => isOurs(content));
	const names = new Set(own.map(({ path }) => nameOf(path)));
	return [...names].flatMap((name): Parking[] => {
		const isIfcfg = ({ path }: ObservedFile) => path.endsWith(`/ifcfg-${name}`);
		const mac = macOf(files.find(isIfcfg) ?? parked.find(isIfcfg));
		if (mac === undefined || macs.includes(mac)) return [];
		const inOrder = linkFilePaths(name).flatMap((path) =>
			own.filter((file) => file.path === path),
		);
		return [{ name, mac, files: inOrder }];
	});
}

/** Where the copy of a file stands. */
export function parkedPath(path: string): string {
	return `${paths.parked}/${path.slice(path.lastIndexOf("/") + 1)}`;
}

function nameOf(path: string): string {
	const file = path.slice(path.lastIndexOf("/") + 1);
	return file.slice(file.indexOf("-") + 1);
}

// The MAC in an ifcfg of ours; a user's says nothing of what is ours.
function macOf(ifcfg: ObservedFile | undefined): string | undefined {
	const body = ifcfg && bodyOf(ifcfg.content);
	const mac = body && parseIfcfg(body).HWADDR?.toLowerCase();
	return mac && isMac(mac) ? mac : undefined;
}
