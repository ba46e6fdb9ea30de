import type { Guest } from "../test/sandbox/guest";

/** Says how far the benchmark has got. */
export type Say = (text: string) => void;

/** Runs the sides in turn, A B A B, `rounds` times. Each returns what it measured; so does this, in the same order. */
export async function alternate(
	rounds: number,
	ours: () => Promise<number>,
	theirs: () => Promise<number>,
): Promise<{ ours: number[]; theirs: number[] }> {
	const sides = { ours: [] as number[], theirs: [] as number[] };
	for (let round = 0; round < rounds; round += 1) {
		sides.ours.push(await ours());
		sides.theirs.push(await theirs());
	}
	return sides;
}

/**
 * The wall clock in ms with fractions: what `ip -ts` and bash's EPOCHREALTIME tell in the guest. Date.now() gives whole ms
 * only, so it is set by its next turn, right before it is needed: it goes astray by some ms an hour.
 */
export function openWallClock(): () => number {
	const before = Date.now();
	let turned = before;
	while (turned === before) turned = Date.now();
	const offsetMs = turned - monotonicMs();
	return () => offsetMs + monotonicMs();
}

function monotonicMs(): number {
	return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Runs commands in the guest in turn, A B C A B C, and times each from its fork to its end by bash in the guest, so that
 * what it takes to get in there counts for none. Their output goes nowhere. `warmUp` turns come first and are not counted.
 * @returns ms by name, one for each of `rounds`
 * @throws Error when one ends with another exit code than 0.
 */
export async function timeInGuest<Name extends string>(
	{ guest }: Pick<Guest, "guest">,
	commands: Record<Name, readonly string[]>,
	rounds: number,
	warmUp = 1,
): Promise<Record<Name, number[]>> {
	const names = Object.keys(commands) as Name[];
	const turns = names.map(
		(name) =>
			`before=$EPOCHREALTIME
			${commands[name].map(quoted).join(" ")} </dev/null >/dev/null 2>&1 || { echo "${name} ended with $?" >&2; exit 1; }
			after=$EPOCHREALTIME
			echo "${name} $((\${after/./} - \${before/./}))"`,
	);
	const script = `for ((round = 0; round < ${rounds + warmUp}; round++)); do
		${turns.join("\n")}
	done`;
	const { stdout, stderr, exitCode } = await guest(["bash", "-c", script], {
		timeoutMs: 300_000,
	});
	if (exitCode !== 0) throw new Error(`in the guest: ${stderr}`);
	const times = Object.fromEntries(names.map((name) => [name, [] as number[]]));
	for (const line of stdout
		.trim()
		.split("\n")
		.slice(names.length * warmUp)) {
		const [name = "", microseconds] = line.split(" ");
		times[name]?.push(Number(microseconds) / 1000);
	}
	return times as Record<Name, number[]>;
}

function quoted(word: string): string {
	return `'${word.replaceAll("'", "'\\''")}'`;
}

export function sleep(durationMs: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, durationMs));
}
