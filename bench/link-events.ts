import type { Sandbox } from "../test/sandbox/sandbox";

/** Tells when links came, by an `ip monitor` of its own. */
export interface LinkEvents {
	/** When the kernel first told of the link since the last call, in ms of the wall clock. */
	came(link: string): Promise<number>;
	/** What was told so far counts no longer. */
	forget(): void;
	stop(): void;
}

const limitMs = 10_000;

/** Listens to the guest's kernel; independent of the agent, which has an `ip monitor` too. */
export async function listenToLinks(sandbox: Sandbox): Promise<LinkEvents> {
	const child = sandbox.spawn(["ip", "-ts", "-o", "monitor", "link"], {
		env: { TZ: "UTC" },
	});
	let text = "";
	child.stdout?.on("data", (chunk: Buffer) => {
		text += chunk.toString();
	});
	// It listens once it has told of a link: this one is the loopback.
	const endMs = Date.now() + limitMs;
	while (text === "") {
		await sandbox.ip("link", "set", "dev", "lo", "mtu", "65535");
		await sandbox.ip("link", "set", "dev", "lo", "mtu", "65536");
		if (Date.now() > endMs) throw new Error("`ip monitor` tells nothing");
	}
	return {
		async came(link) {
			const line = new RegExp(`^\\[(\\S+)\\] ?\\d+: ${link}[@:].*\\n`, "m");
			const endMs = Date.now() + limitMs;
			for (;;) {
				const found = line.exec(text)?.[1];
				if (found !== undefined) return parseStamp(found);
				if (Date.now() > endMs)
					throw new Error(`\`ip monitor\` tells of no ${link}:\n${text}`);
				await new Promise((resolve) => setTimeout(resolve, 10));
			}
		},
		forget: () => {
			text = "";
		},
		stop: () => void child.kill("SIGTERM"),
	};
}

// `2026-11-25T21:39:19.123456`; Date knows whole milliseconds only.
function parseStamp(stamp: string): number {
	const [seconds = "", fraction = "0"] = stamp.split(".");
	const atMs = Date.parse(`${seconds}Z`) + Number(`0.${fraction}`) * 1000;
	if (!Number.isFinite(atMs))
		throw new Error(`\`ip -ts monitor\`: ${stamp} is no time`);
	return atMs;
}
