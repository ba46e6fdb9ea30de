import { showAddresses } from "./ip-show";
import type { Kernel, KernelLink } from "./kernel-types";

/** Tells, after each change of a kernel's links and addresses, what `ip -o monitor link address` prints of it. */
export function withMonitor(
	kernel: Kernel,
	tell: (lines: string[]) => void,
): Kernel {
	function watched<Words extends unknown[], Result>(
		change: (...words: Words) => Result,
	): (...words: Words) => Result {
		return (...words) => {
			const before = linesOf(kernel.links);
			const result = change(...words);
			const after = linesOf(kernel.links);
			const lines = [
				...before
					.filter(({ text }) => !after.some((one) => one.text === text))
					// A link whose flags changed is told of anew, not as deleted.
					.filter(({ key }) => !after.some((one) => one.key === key))
					.reverse()
					.map(({ text }) => `Deleted ${text}`),
				...after
					.filter(({ text }) => !before.some((one) => one.text === text))
					.map(({ text }) => text),
			];
			if (lines.length > 0) tell(lines);
			return result;
		};
	}
	return {
		...kernel,
		plug: watched(kernel.plug),
		unplug: watched(kernel.unplug),
		setLink: watched(kernel.setLink),
		addAddress: watched(kernel.addAddress),
		deleteAddress: watched(kernel.deleteAddress),
	};
}

function linesOf(links: KernelLink[]): { key: string; text: string }[] {
	return links.flatMap((link) => [
		{ key: `${link.ifindex}`, text: linkLine(link) },
		...showAddresses([link])
			.split("\n")
			.filter((text) => text !== "")
			.map((text) => ({ key: text, text })),
	]);
}

/** A link's line; fixtures/iproute2 holds real ones. */
export function linkLine({ ifindex, name, up, mtu, mac }: KernelLink): string {
	const flags = `BROADCAST,MULTICAST${up ? ",UP,LOWER_UP" : ""}`;
	return `${ifindex}: ${name}: <${flags}> mtu ${mtu} qdisc ${up ? "pfifo_fast" : "noop"} state ${up ? "UP" : "DOWN"} \\    link/ether ${mac} brd ff:ff:ff:ff:ff:ff`;
}
