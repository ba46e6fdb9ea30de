import { describe, expect, it } from "vitest";
import { agentBundle } from "./paths";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	otherSubnet,
	run,
	sameSubnet,
	shell,
} from "./scenario";

const scripts = "/etc/sysconfig/network-scripts";
const state = "/var/lib/eni-configure";
const journal = `${state}/journal.json`;
const record = `${state}/state.json`;

/** What a run that changes nothing leaves as it is, and what none may leave: temporary files. */
async function untouched(sandbox: Sandbox): Promise<string> {
	const left = await shell(
		sandbox,
		`find /etc /var/lib -name '.eni-configure-*' -o -path ${journal}`,
	);
	return (await sandbox.snapshot()) + left;
}

/** Puts a small disk in the place of a folder, with the same in it. */
async function onSmallDisk(sandbox: Sandbox, folder: string): Promise<void> {
	await shell(
		sandbox,
		`cp -a ${folder} /run/copy
		mount -t tmpfs -o mode=755,size=1m tmpfs ${folder}
		cp -a /run/copy/. ${folder}/; rm -r /run/copy`,
	);
}

/** Fills a folder's disk but for so many pages of 4 KiB: a small file takes one. */
async function leave(
	sandbox: Sandbox,
	folder: string,
	pages: number,
): Promise<void> {
	await shell(
		sandbox,
		`rm -f ${folder}/filler
		pages=$(stat -f -c %a ${folder})
		head -c $(((pages - ${pages}) * $(stat -f -c %S ${folder}))) /dev/zero >${folder}/filler
		[[ $(stat -f -c %a ${folder}) == ${pages} ]]`,
	);
}

/** Without the right of root to pass over the modes of files, which some containers take from it. */
function withoutOverride(sandbox: Sandbox, args: string[]) {
	const rights = "-dac_override,-dac_read_search";
	return sandbox.guest([
		...["setpriv", `--bounding-set=${rights}`, `--inh-caps=${rights}`],
		...[process.execPath, agentBundle, ...args],
	]);
}

describe.each(["/etc", "/var/lib"])("a full disk below %s", (folder) => {
	it.each([
		["a new NIC", ["eth1"]],
		["a removal", ["remove", "eth1"]],
		["a rollback of a removal", ["rollback"]],
	])(
		"%s: wherever it gets full, the path is named, nothing is changed, and with room again it works",
		(_, args) =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				await onSmallDisk(s, folder);
				await run(s, ["eth1"]);
				const isManaged = args[0] === "remove";
				if (!isManaged) await run(s, ["remove", "eth1"]);
				const before = await untouched(s);
				let pages = 0;
				for (; ; pages += 1) {
					await leave(s, folder, pages);
					const result = await s.agent(args);
					if (result.exitCode === 0) break;
					const where = `with ${pages} pages left: ${result.stderr}`;
					expect([1, 3], where).toContain(result.exitCode);
					expect(result.stderr).toMatch(
						new RegExp(`${folder}/\\S+ cannot be written: no space left`),
					);
					expect(await untouched(s), where).toBe(before);
				}
				expect(pages).toBeGreaterThan(0);
				expect(await untouched(s)).not.toBe(before);
				await s.remove(`${folder}/filler`);
				const next = await run(s, ["eth1"]);
				expect(next.outcome).toBe(isManaged ? "applied" : "unchanged");
				await expectReachable(s, sameSubnet.addresses);
			}),
	);

	it("is no trouble any more once there is room", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			await onSmallDisk(s, folder);
			await leave(s, folder, 1);
			expect((await s.agent(["eth1"])).exitCode).not.toBe(0);
			await s.remove(`${folder}/filler`);
			expect((await run(s, ["eth1"])).outcome).toBe("applied");
			await expectReachable(s, sameSubnet.addresses);
		}));
});

describe.each(["/etc", "/var/lib"])("a read-only %s", (folder) => {
	it.each([
		["a new NIC", ["eth1"], false],
		["a change of addresses", ["eth1"], true],
		["a removal", ["remove", "eth1"], true],
		["a rollback", ["rollback"], true],
	])("%s: it is said, and nothing is changed", (_, args, isManaged) =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			if (isManaged) {
				await run(s, ["eth1"]);
				await s.assign("eth1", "10.0.1.30");
			}
			const before = await untouched(s);
			await shell(
				s,
				`mount --bind ${folder} ${folder}; mount -o remount,bind,ro ${folder}`,
			);
			const result = await s.agent(args);
			expect([1, 3], result.stderr).toContain(result.exitCode);
			expect(result.stderr).toMatch(
				new RegExp(`${folder}/\\S+ .*the file system is read-only`),
			);
			expect(await untouched(s)).toBe(before);
			await shell(s, `umount ${folder}`);
			expect((await run(s, args)).outcome).toBe("applied");
		}),
	);
});

describe("a place that root may not write to or read", () => {
	it.each([
		["the folder of the network's files", scripts, "555"],
		["/etc itself", "/etc", "555"],
		["the agent's folder", state, "555"],
		["the agent's record", record, "000"],
		["sysctl.conf", "/etc/sysctl.conf", "000"],
		["the lock", `${state}/lock`, "000"],
	])("%s: it is named, and nothing is changed", (_, path, mode) =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await run(s, ["remove", "eth1"]);
			const was = (await shell(s, `stat -c %a ${path}`)).trim();
			const before = await untouched(s);
			await shell(s, `chmod ${mode} ${path}`);
			const result = await withoutOverride(s, ["eth1"]);
			expect([1, 3, 5], result.stderr).toContain(result.exitCode);
			expect(result.stderr).toContain(path);
			expect(result.stderr).toMatch(/permission denied|EACCES/);
			await shell(s, `chmod ${was} ${path}`);
			expect(await untouched(s)).toBe(before);
			expect((await withoutOverride(s, ["eth1"])).exitCode).toBe(0);
			await expectReachable(s, otherSubnet.addresses);
		}),
	);
});

describe("something else in the way", () => {
	const places = [
		`${scripts}/ifcfg-eth1`,
		`${scripts}/route-eth1`,
		`${scripts}/rule-eth1`,
		"/etc/sysctl.conf",
		state,
		record,
		journal,
		`${state}/undo`,
		`${state}/undo/journal.json`,
		`${state}/backup`,
		`${state}/lock`,
	];
	it.each(
		places.flatMap((path) => [
			[path, "a directory", `mkdir ${path}; touch ${path}/mine`],
			[path, "a symbolic link", `ln -s /run/elsewhere ${path}`],
		]),
	)("%s is %s: it is named, and stays as it is", (path, what, make) =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const isFolder = [state, `${state}/undo`, `${state}/backup`].includes(
				path,
			);
			const other = what === "a directory" && isFolder;
			await shell(
				s,
				`rm -rf ${path}; mkdir -p $(dirname ${path}); ${other ? `echo mine >${path}` : make}`,
			);
			const look = `find ${path} /run/elsewhere 2>/dev/null | sort; stat -c '%F %N' ${path}`;
			const [before, looked] = [await untouched(s), await shell(s, look)];
			const result = await s.agent(["eth1"]);
			expect([1, 5], result.stderr).toContain(result.exitCode);
			expect(result.stderr).toContain(path);
			expect(result.stderr).toContain("move it away");
			expect(await untouched(s)).toBe(before);
			expect(await shell(s, look)).toBe(looked);
			await shell(s, `rm -rf ${path}`);
			expect((await run(s, ["eth1"])).outcome).toBe("applied");
		}),
	);

	it("a directory under the name of a temporary file: it is named, and stays as it is", () =>
		inSandbox({ enis: [otherSubnet] }, async (s) => {
			const path = `${scripts}/.eni-configure-ifcfg-eth1`;
			await shell(s, `mkdir ${path}`);
			const before = await untouched(s);
			const result = await s.agent(["eth1"]);
			expect(result.exitCode, result.stderr).toBe(3);
			expect(result.stderr).toContain("a directory is in the way");
			expect(result.stderr).toContain(path);
			expect(await untouched(s)).toBe(before);
		}));
});

describe("a file of the agent's that cannot be understood", () => {
	/** The journal of a run that was killed in its ifup. */
	async function killed(sandbox: Sandbox): Promise<string> {
		await sandbox.fault("ifup-slow.once", "1");
		const child = sandbox.spawnAgent(["eth1"]);
		while ((await sandbox.calls("ifup")).length === 0)
			await new Promise((resolve) => setTimeout(resolve, 20));
		child.kill("SIGKILL");
		await child;
		return sandbox.read(journal);
	}

	it.each<[string, (text: string) => string]>([
		["empty", () => ""],
		["cut off", (text) => text.slice(0, text.length / 2)],
		["garbage", () => "\u0000\u0001{]\n".repeat(1000)],
		[
			"of another version",
			(text) => text.replace('"version":1', '"version":9'),
		],
	])(
		"a journal that is %s: set aside under a name that is said, and the NIC is configured all the same",
		(_, damage) =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				const text = damage(await killed(s));
				await s.write(journal, text);
				const result = await s.agent(["eth1"]);
				expect(result.exitCode, result.stderr).toBe(0);
				expect(result.stderr).toContain(`${journal} cannot be understood`);
				expect(result.stderr).toContain(`it is now ${journal}.damaged-1`);
				expect(await s.read(`${journal}.damaged-1`)).toBe(text);
				expect(await s.exists(journal)).toBe(false);
				await expectReachable(s, ["10.0.1.10", ...sameSubnet.addresses]);
				expect((await run(s, ["eth1"])).outcome).toBe("unchanged");
				expect((await s.ip("rule")).match(/lookup 1001/g)).toHaveLength(3);
			}),
	);

	it.each<[string, (text: string) => string]>([
		["empty", () => ""],
		["cut off", (text) => text.slice(0, text.length / 2)],
		["garbage", () => "\u0000\u0001{]\n"],
	])(
		"a record that is %s: set aside under a name that is said, and the files say what is ours",
		(_, damage) =>
			inSandbox({ enis: [sameSubnet] }, async (s) => {
				await run(s, ["eth1"]);
				const text = damage(await s.read(record));
				await s.write(record, text);
				const before = await untouched(s);
				const result = await s.agent(["eth1"]);
				expect(result.exitCode, result.stderr).toBe(0);
				expect(result.stderr).toContain(`it is now ${record}.damaged-1`);
				expect(await s.read(`${record}.damaged-1`)).toBe(text);
				expect(await untouched(s)).toBe(before);
				await run(s, ["remove", "eth1"]);
				expect(await s.ip("rule")).not.toContain("1001");
			}),
	);

	it("on a disk that is read-only it stays where it is, and nothing is changed", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			await run(s, ["eth1"]);
			await s.write(journal, "garbage");
			const before = await untouched(s);
			await shell(
				s,
				"mount --bind /var/lib /var/lib; mount -o remount,bind,ro /var/lib",
			);
			const result = await s.agent(["eth1"]);
			expect(result.exitCode, result.stderr).toBe(1);
			expect(result.stderr).toContain("the file system is read-only");
			expect(await untouched(s)).toBe(before);
			expect(await s.read(journal)).toBe("garbage");
		}));
});
