import { rm } from "node:fs/promises";
import { buildPrograms } from "../sandbox/build-programs";
import { freshDisk, installedDisk } from "./image";
import { buildPackages } from "./packages";
import { logFolder } from "./paths";
import { checkPrerequisites } from "./prerequisites";

/** Builds all that takes long and is the same for every test: packages and disks. */
export default async function setup(): Promise<void> {
	await checkPrerequisites();
	await rm(logFolder, { recursive: true, force: true });
	await buildPrograms();
	await freshDisk();
	const rpm = await buildPackages({ target: "el7" });
	await installedDisk(rpm, "enabled");
	await installedDisk(rpm, "disabled");
}
