import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { version } from "../../package.json";
import { agentBundle, mainOf } from "./paths";
import { inSandbox, sameSubnet } from "./scenario";

/** A copy of dist/ with the code that Node has compiled of it, as an installation leaves it. */
function install() {
	const folder = mkdtempSync(join(tmpdir(), "eni-configure-installed-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	cpSync(dirname(agentBundle), folder, { recursive: true });
	execFileSync(process.execPath, [join(folder, "compile.cjs")]);
	const bundle = join(folder, basename(agentBundle));
	const said = () =>
		execFileSync(process.execPath, [bundle, "--version"], { encoding: "utf8" });
	return { bundle, main: join(folder, mainOf(folder)), said };
}

test("the code that was compiled is gone by, and none that is damaged", async () => {
	const { main, said } = install();
	const text = readFileSync(main, "utf8");
	// As long as what was compiled: V8 looks no closer at it.
	const other = version.replace(/\d/g, "9");
	await writeFile(main, text.replace(version, other));
	expect(said()).toBe(`${version}\n`);
	const code = readFileSync(`${main}.code`);
	for (const at of [0, 100, code.length / 2, code.length - 1]) {
		const damaged = Buffer.from(code);
		damaged[at] = (damaged[at] ?? 0) ^ 0x10;
		await writeFile(`${main}.code`, damaged);
		expect(said(), `byte ${at}`).toBe(`${other}\n`);
	}
	for (const part of [code.length / 2, code.length - 2, 1, 0]) {
		await writeFile(`${main}.code`, code.subarray(0, part));
		expect(said(), `${part} bytes`).toBe(`${other}\n`);
	}
});

test("what another V8 has compiled is not gone by", async () => {
	const { main, said } = install();
	await writeFile(
		main,
		readFileSync(main, "utf8").replace(version, version.replace(/\d/g, "9")),
	);
	const code = readFileSync(`${main}.code`);
	// Magic number, then the hash of V8's version (CodeSerializer, SerializedCodeData).
	const half = code.subarray(0, code.length / 2);
	half.writeUInt32LE((half.readUInt32LE(4) ^ 1) >>> 0, 4);
	await writeFile(`${main}.code`, Buffer.concat([half, half]));
	expect(said()).toBe(`${version.replace(/\d/g, "9")}\n`);
});

test("with it the agent does what it does without", () =>
	inSandbox({ enis: [sameSubnet] }, async (s) => {
		const { bundle } = install();
		const first = await s.agent(["--all"], { bundle });
		expect(first).toMatchObject({
			exitCode: 0,
			stderr: expect.stringContaining("eth1: applied"),
		});
		for (const address of sameSubnet.addresses)
			expect(await s.reach(address)).toBe(true);
		for (const _ of [1, 2, 3])
			expect(await s.agent(["--all"], { bundle })).toMatchObject({
				exitCode: 0,
				stderr: expect.stringContaining("eth1: unchanged"),
			});
		const plain = await s.agent(["--help"]);
		expect((await s.agent(["--help"], { bundle })).stdout).toBe(plain.stdout);
		expect(await s.agent(["status", "--json"], { bundle })).toMatchObject({
			exitCode: 0,
			stderr: "",
		});
		expect(await s.agent(["nothing"], { bundle })).toMatchObject({
			exitCode: (await s.agent(["nothing"])).exitCode,
		});
	}));
