import { createSandbox } from "../../test/sandbox/sandbox";
import { type Say, timeInGuest } from "../measure";
import { agentWords, type Nodes } from "../node";
import { type Part, ratioRow } from "../row";

const rounds = 20;

/** `--help` and `--version` against a Node that does nothing. */
export async function startUp({ own, el7 }: Nodes, say: Say): Promise<Part> {
	const part: Part = { rows: [], notes: [], raw: {} };
	const sandbox = await createSandbox();
	try {
		for (const node of [own, el7]) {
			say(`--help and --version: ${node.name}`);
			const times = await timeInGuest(
				sandbox,
				{
					"--help": agentWords(node, ["--help"]),
					bare: [node.path, "-e", "0"],
					"--version": agentWords(node, ["--version"]),
				},
				rounds,
			);
			for (const flag of ["--help", "--version"] as const) {
				const words = {
					what: `\`eni-configure ${flag}\``,
					against: "bare `node -e 0`",
					label: `${flag} on ${node.name}, to bare Node`,
					node: node.version,
				};
				const sides = { ours: times[flag], theirs: times.bare };
				part.rows.push(ratioRow(words, sides, 1.5));
			}
			for (const [name, ms] of Object.entries(times))
				part.raw[`start-up on ${node.name}: ${name}, ms`] = ms;
		}
		return part;
	} finally {
		await sandbox.close();
	}
}
