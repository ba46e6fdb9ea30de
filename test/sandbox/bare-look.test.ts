import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "./daemon";
import { agentBundle, root } from "./paths";
import { inSandbox, otherSubnet, sameSubnet } from "./scenario";

// The benchmark compares a run that has nothing to do with a script that looks at the same. This is what "the same" rests on.

/** Writes down, as JSON, each path, URL and command that a script looks at. */
const hook = `
const fs = require("node:fs");
const { join, resolve } = require("node:path");
const looks = [];
for (const name of ["openSync", "readFileSync", "readdirSync", "readlinkSync", "lstatSync"]) {
	const call = fs[name];
	fs[name] = (place, ...rest) => {
		// Node's own look for the script, and the directory that a file is read in, are none of the script's.
		if (/look|bare-look/.test(new Error().stack.split("\\n")[2])) looks.push(resolve(String(place)));
		return call(place, ...rest);
	};
}
const http = require("node:http");
const { get } = http;
http.get = (url, ...rest) => { looks.push(url); return get(url, ...rest); };
const childProcess = require("node:child_process");
const { spawn } = childProcess;
childProcess.spawn = (file, args, options) => { looks.push([file, ...args].join(" ")); return spawn(file, args, options); };
process.on("exit", () => fs.writeFileSync("/run/looks.json", JSON.stringify(looks)));
`;

test("the benchmark's script looks at what a run without a step looks at, and at nothing else", () =>
	inSandbox(
		{ enis: [sameSubnet, { ...otherSubnet, name: "eth2" }] },
		async (s) => {
			await s.agent(["--all"]);
			await until(
				"no address is tentative",
				async () => !(await s.ip("-o", "addr")).includes("tentative"),
			);
			await s.agent(["--all"]);
			const [header = ""] = (
				await s.read("/run/eni-configure/unchanged")
			).split("\n");
			const seen: string[][] = JSON.parse(header).seen;
			const ofAgent = seen
				.filter(([kind]) => kind !== "run" && kind !== "running")
				.map(([, place = ""]) => place);

			await s.write("/run/hook.cjs", hook);
			expect(ofAgent.length).toBeGreaterThan(80);
			const script = join(root, "bench/bare-look.cjs");
			const result = await s.guest([
				...[process.execPath, "-r", "/run/hook.cjs", script],
			]);
			expect(result).toMatchObject({ exitCode: 0 });
			const looks: string[] = JSON.parse(await s.read("/run/looks.json"));
			const isCommand = (look: string) => /^(flock|ip) /.test(look);
			expect(looks.filter(isCommand)).toEqual([
				"flock -n 3",
				"ip -o -4 -batch -",
			]);
			const templates = join(agentBundle, "../templates");
			const ofScript = looks
				.filter((look) => !isCommand(look))
				.map((look) => look.replace(join(root, "templates"), templates));
			const only = (one: string[], other: string[]) =>
				[...new Set(one)].filter((look) => !other.includes(look)).sort();
			expect(only(ofAgent, ofScript)).toEqual([]);
			expect(only(ofScript, ofAgent)).toEqual([]);
		},
	));
