import { bringInOrder } from "../boot.js";
import { exitCodes } from "../errors.js";
import type { System } from "../system.js";

/** `boot`: what is to be done before the network service starts. Always exits 0: no boot fails for it. */
export async function boot(system: System): Promise<number> {
	if (system.uid() === 0) await bringInOrder(system);
	else system.log("error", "boot puts files in order and needs root");
	return exitCodes.converged;
}
