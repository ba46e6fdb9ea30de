import { join } from "node:path";
import { root } from "../sandbox/paths";

export { root, sandboxFolder } from "../sandbox/paths";
export const vmFolder = join(root, "test/vm");
/** Kept between runs: Debian's packages unpacked, disks, built packages. */
export const cacheFolder = join(root, ".build/vm");
/** Console logs and journals of machines whose test failed. */
export const logFolder = join(root, ".build/vm-logs");
