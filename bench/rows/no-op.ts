import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentBundle, root } from "../../test/sandbox/paths";
import { createSandbox, type Sandbox } from "../../test/sandbox/sandbox";
import { countRun } from "../counts";
import { manyEnis } from "../eni";
import { type Say, timeInGuest } from "../measure";
import { agentWords, type Node, type Nodes } from "../node";
import { times as asTimes, countRow, ms, type Part, ratioRow } from "../row";
import { spreadOf } from "../statistics";

const rounds = 40;
const warmUp = 10;
const what = "no-op `--all`, 8 ENIs x 30 addresses";

/** A run that finds nothing to do, against a Node that does nothing and a script without libraries that looks at the same. */
export async function noOp({ own, el7 }: Nodes, say: Say): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	const sandbox = await createSandbox({ enis: manyEnis(8, 30) });
	try {
		say("no-op: first configure of 8 ENIs");
		const first = await sandbox.guest(agentWords(own, ["--all"]));
		if (first.exitCode !== 0) throw new Error(first.stderr);
		// What the kernel itself still changes would be something to look into.
		while ((await sandbox.ip("-o", "addr")).includes("tentative"))
			await sleep(100);
		await time(own, 2.2);
		await time(el7, 3);
		const words = { what, label: "no-op, processes", node: own.version };
		const ofAgent = await countIds(sandbox, agentWords(own, ["--all"]));
		const ofBare = await countIds(sandbox, [own.path, "-e", "0"]);
		const processes = 1 + ofAgent - ofBare;
		part.rows.push(countRow(words, processes, 4, "processes"));
		const { spawns } = await countRun(sandbox, own, ["--all"]);
		part.raw["no-op: what the agent itself starts"] = spawns;
	} finally {
		await sandbox.close();
	}
	part.notes.push(
		`The agent is measured as an installation leaves it: with the code that Node has compiled of it. No-op: agent, bare Node and script are started and timed by the same bash in the guest, in turn, ${warmUp} turns before the first that counts: the sandbox's metadata service is a process that has just been started, and takes that long to answer as one that has been up for days. The script (\`bench/bare-look.cjs\`) takes the lock, reads, asks and runs what the agent does, in the usual way, and does nothing with it. Processes are the agent itself and all that come of it, by the kernel's count: a shell, which takes the lock by \`flock\` and hands on at once what \`ip\` says.`,
	);
	return part;

	async function time(node: Node, limit: number): Promise<void> {
		say(`no-op: ${node.name}`);
		const script = join(root, "bench/bare-look.cjs");
		const times = await timeInGuest(
			sandbox,
			{
				agent: agentWords(node, ["--all"]),
				plain: [node.path, agentBundle, "--all"],
				bare: [node.path, "-e", "0"],
				script: [node.path, script],
			},
			rounds,
			warmUp,
		);
		const words = { what, node: node.version };
		part.rows.push(
			ratioRow(
				{
					...words,
					against: "bare `node -e 0`",
					label: `no-op on ${node.name}, to bare Node`,
				},
				{ ours: times.agent, theirs: times.bare },
				limit,
			),
			ratioRow(
				{
					...words,
					against: "a script without libraries",
					label: `no-op on ${node.name}, to the script`,
				},
				{ ours: times.agent, theirs: times.script },
				1.8,
			),
		);
		for (const [name, each] of Object.entries(times))
			part.raw[`no-op on ${node.name}: ${name}, ms`] = each;
		const [plain, bare] = [spreadOf(times.plain), spreadOf(times.bare)];
		part.notes.push(
			`No-op on ${node.name} without the code that the installation compiles (a copy of dist/ by hand): ${ms(plain.median)}, ${asTimes(plain.median / bare.median)} bare Node.`,
		);
	}
}

/**
 * How many ids of processes and threads the kernel gives for a command, in a PID namespace of its own. Node has the same
 * threads whatever it runs, so that a bare one's are to be taken off.
 */
async function countIds(
	{ guest }: Sandbox,
	words: readonly string[],
): Promise<number> {
	const script = `"$@" >/dev/null || exit; read last </proc/sys/kernel/ns_last_pid; echo "$last"`;
	const isolated = ["unshare", "--pid", "--fork", "bash", "-c", script, "bash"];
	const { stdout, stderr, exitCode } = await guest([...isolated, ...words]);
	const last = Number(stdout);
	if (exitCode !== 0 || !(last > 1)) throw new Error(`in the guest: ${stderr}`);
	return last - 1;
}
