import { isOurs } from "../marker.js";
import type { Observed } from "../model.js";
import { linkFilePaths, parseIfcfg } from "./managed.js";

/** Files that claim the link and are not ours: by their name, or an ifcfg that names its device or MAC. */
export function foreignFiles(
	name: string,
	mac: string,
	observed: Pick<Observed, "files">,
): Observed["files"] {
	const own = linkFilePaths(name);
	return observed.files.filter((file) => {
		if (isOurs(file.content)) return false;
		if (own.includes(file.path)) return true;
		if (!/\/ifcfg-[^/:]*$/.test(file.path)) return false;
		const values = parseIfcfg(file.content);
		if (values.TYPE === "Vlan" || values.VLAN === "yes") return false;
		return values.DEVICE === name || values.HWADDR?.toLowerCase() === mac;
	});
}

/** Why a NIC with such files is held, and what to do about it. */
export function heldAdvice(
	name: string,
	files: { path: string; content: string }[],
): string {
	const names = files.map((file) => file.path.split("/").at(-1)).join(", ");
	const steals = files.some((file) => {
		const values = parseIfcfg(file.content);
		return values.GATEWAY !== undefined && values.DEFROUTE !== "no";
	});
	return [
		`${names} ${files.length > 1 ? "are" : "is"} not ours (made or edited by hand): left alone;`,
		`\`eni-configure ${name} --force\` replaces ${files.length > 1 ? "them" : "it"} and keeps a copy`,
		...(steals
			? [
					"(its GATEWAY without DEFROUTE=no takes the machine's default route at every ifup)",
				]
			: []),
	].join(" ");
}
