import { isOurs } from "../marker.js";
import type { Observed } from "../model.js";
import { listed } from "../quote.js";
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
		return (
			values.DEVICE === name ||
			values.HWADDR?.toLowerCase() === mac ||
			setsDevice(file.content, name)
		);
	});
}

// In a file with more than plain lines the shell may come to `DEVICE=eth1` anywhere: `export DEVICE=eth1;`.
function setsDevice(content: string, name: string): boolean {
	const setting = new RegExp(
		`(?:^|[^\\w#])DEVICE=["']?${name.replace(/[^\w]/g, "\\$&")}(?![\\w.:-])`,
	);
	return content
		.split("\n")
		.some((line) => !/^\s*#/.test(line) && setting.test(line));
}

/** Why a NIC with such files is held, and what to do about it. */
export function heldAdvice(
	name: string,
	files: { path: string; content: string }[],
): string {
	const names = listed(files.map((file) => file.path.split("/").at(-1) ?? ""));
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
