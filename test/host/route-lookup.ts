import { isIn } from "./ip-math";
import type { KernelRoute } from "./kernel-routes";
import type { Kernel } from "./kernel-types";

/** Where a packet of this host leaves: by the rules in order, then the longest prefix of the table. */
export function lookUpRoute(
	kernel: Kernel,
	packet: { to: string; from?: string | undefined },
): KernelRoute | undefined {
	for (const rule of kernel.rules) {
		// Packets of the host itself come in by lo.
		if (rule.iif !== undefined && rule.iif !== "lo") continue;
		if (
			rule.from !== "0.0.0.0/0" &&
			!(packet.from && isIn(packet.from, rule.from))
		)
			continue;
		if (rule.to !== undefined && !isIn(packet.to, rule.to)) continue;
		const [route] = kernel.routes
			.all()
			.filter((one) => one.table === rule.table && isIn(packet.to, one.dst))
			.sort((a, b) => lengthOf(b) - lengthOf(a) || a.metric - b.metric);
		if (!route || route.type === "throw") continue;
		return ["unicast", "local", "broadcast"].includes(route.type)
			? route
			: undefined;
	}
	return undefined;
}

/** The source address the kernel gives a packet that has none yet. */
export function sourceOf(
	kernel: Kernel,
	route: KernelRoute,
): string | undefined {
	return (
		route.src ??
		kernel
			.link(route.dev ?? "")
			?.addresses.find((one) => one.scope === "global")?.ip
	);
}

function lengthOf(route: KernelRoute): number {
	return Number(route.dst.split("/")[1]);
}
