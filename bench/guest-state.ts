import type { Sandbox } from "../test/sandbox/sandbox";

/** Throws unless each of these addresses stands on the link, with a rule for it. */
export async function expectConfigured(
	sandbox: Sandbox,
	link: string,
	addresses: readonly string[],
): Promise<void> {
	const there = await sandbox.ip("-o", "-4", "addr", "show", "dev", link);
	const rules = await sandbox.ip("-4", "rule", "show");
	for (const address of addresses)
		if (
			!there.includes(` ${address}/`) ||
			!rules.includes(`from ${address} lookup `)
		)
			throw new Error(
				`${address} is not in force on ${link}:\n${there}${rules}`,
			);
}

/** Runs a script as the guest's root, which prints a number of ms at its end. */
export async function measuredInGuest(
	sandbox: Sandbox,
	script: string,
): Promise<number> {
	const { stdout, stderr, exitCode } = await sandbox.guest(
		["bash", "-ec", script],
		{ timeoutMs: 300_000 },
	);
	const ms = Number(stdout.trim().split("\n").at(-1));
	if (exitCode !== 0 || !(ms > 0))
		throw new Error(`in the guest (${exitCode}): ${stdout}${stderr}`);
	return ms;
}

/** The script around commands that prints how many ms they took, without what it takes to get into the guest. */
export function stopwatch(commands: string): string {
	return `before=$EPOCHREALTIME
${commands}
after=$EPOCHREALTIME
microseconds=$((\${after/./} - \${before/./}))
printf '%d.%03d\\n' $((microseconds / 1000)) $((microseconds % 1000))`;
}
