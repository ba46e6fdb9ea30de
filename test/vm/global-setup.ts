import { rm } from "node:fs/promises";
import { buildPrograms } from "../sandbox/build-programs";
import { freshDisk } from "./image";
import { logFolder } from "./paths";
import { checkPrerequisites } from "./prerequisites";
import { installed } from "./scenario";

/** Builds all that takes long and is the same for every test: packages and disks. */
export default async function setup(): Promise<void> {
	checkPrerequisites();
	await rm(logFolder, { recursive: true, force: true });
	await buildPrograms();
	await freshDisk();
	await installed("enabled");
	await installed("disabled", "el8");
}
