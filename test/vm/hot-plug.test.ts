import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
	afterAll,
	beforeAll,
	describe,
	expect,
	it,
	onTestFailed,
} from "vitest";
import type { Watch } from "./cloud";
import { createMachine, type Machine } from "./machine";
import { root } from "./paths";
import {
	addressesOf,
	eni,
	installed,
	untilDaemonIsReady,
	untilForgotten,
	untilSaid,
} from "./scenario";

const seven = [1, 2, 3, 4, 5, 6, 7].map((number) => eni(number));

describe("NICs that are plugged into a running machine", () => {
	let machine: Machine;
	let primary: Watch;

	beforeAll(async () => {
		machine = await createMachine({ disk: await installed() });
		try {
			await machine.boot();
			await untilDaemonIsReady(machine);
		} catch (error) {
			console.error(`see ${await machine.keepLogs("boot for hot-plug")}`);
			throw error;
		}
		primary = machine.watch(machine.primary.addresses, 100);
	});
	afterAll(() => machine?.close());

	function keepingLogs(body: () => Promise<void>) {
		return async () => {
			onTestFailed(async ({ task }) => {
				console.error(`see ${await machine.keepLogs(task.name)}`);
			});
			await body();
		};
	}

	it(
		"answer with all their addresses, replies leaving by their own port",
		keepingLogs(async () => {
			const one = eni(1, 3);
			const watch = machine.watch(one.addresses, 10);
			const atMs = await machine.bind(one);
			// The router drops what comes from a port that does not own the source: an answer has left by the right NIC.
			await machine.untilAnswer(one.addresses);
			await watch.stop();
			const times = one.addresses.map((address) =>
				Math.round((watch.first.get(address) ?? Number.NaN) - atMs),
			);
			expect(times.every(Number.isFinite)).toBe(true);
			console.log(
				`device_add to first answer, under emulation: ${times.join(", ")} ms`,
			);
			await untilSaid(
				machine,
				"eth1: configured 10.0.1.20/24 and 2 more .*plugged in",
			);
			// By ifup, as the network service would: the unit's settings are not in its way.
			expect(await machine.shell("cat /run/sandbox/calls.log")).toMatch(
				/\tifup\teth1/,
			);
			await machine.unbind("eth1");
			await untilForgotten(machine, ["eth1"]);
		}),
	);

	it(
		"seven in a burst are all configured, and forgotten when they go in a burst",
		keepingLogs(async () => {
			await machine.bind(...seven);
			await machine.untilAnswer(addressesOf(...seven), 120_000);
			await machine.unbind(...seven.map(({ name }) => name));
			await untilForgotten(
				machine,
				seven.map(({ name }) => name),
			);
			expect(await machine.shell("ip -o link | grep -c eth")).toBe("1\n");
		}),
	);

	it(
		"come back in another order under other names, each with its own addresses",
		keepingLogs(async () => {
			const turned = [...seven].reverse();
			await machine.bind(...turned);
			await machine.untilAnswer(addressesOf(...seven), 120_000);
			const first = turned[0] as (typeof seven)[number];
			expect(await machine.shell("ip -o -4 addr show eth1")).toContain(
				` ${first.addresses[0]}/24 `,
			);
			await machine.unbind(...seven.slice(2).map(({ name }) => name));
			await machine.untilAnswer(addressesOf(...seven.slice(0, 2)));
		}),
	);

	it(
		"the daemon is started again after SIGKILL, and goes on",
		keepingLogs(async () => {
			const pid = "systemctl show -p MainPID eni-configure";
			const before = await machine.shell(pid);
			await machine.shell(
				"systemctl kill -s KILL --kill-who=main eni-configure",
			);
			await machine.until(
				"another daemon",
				`[ "$(${pid})" != "${before.trim()}" ] && [ "$(${pid})" != MainPID=0 ] && systemctl is-active eni-configure`,
			);
			expect(
				await machine.shell("systemctl show -p NRestarts eni-configure"),
			).toBe("NRestarts=1\n");
			// It is not listening yet: the reload ends it, and it is started once more.
			await machine.shell("systemctl reload eni-configure");
			await machine.assign("eth1", "10.0.1.99");
			await machine.untilAnswer(["10.0.1.99"], 90_000);
			expect(
				await machine.shell("systemctl show -p NRestarts eni-configure"),
			).toBe("NRestarts=2\n");
		}),
	);

	it(
		"the unit's restrictions are in force for the daemon and its children",
		keepingLogs(async () => {
			const bounds = await machine.shell(
				`for of in $(systemctl show -p MainPID --value eni-configure) $(pgrep -P $(systemctl show -p MainPID --value eni-configure)); do
					awk '/^CapBnd/ {print $2}' /proc/$of/status
				done`,
			);
			const lines = bounds.trim().split("\n");
			// The daemon and its `ip monitor`.
			expect(lines.length).toBeGreaterThanOrEqual(2);
			const bits = { SYS_BOOT: 22, SYS_TIME: 25, SYS_RAWIO: 17, MKNOD: 27 };
			const kept = { NET_ADMIN: 12, NET_RAW: 13, KILL: 5, SYS_MODULE: 16 };
			for (const line of lines) {
				const mask = BigInt(`0x${line}`);
				const has = (bit: number) => ((mask >> BigInt(bit)) & 1n) === 1n;
				for (const [name, bit] of Object.entries(bits))
					expect(has(bit), name).toBe(false);
				for (const [name, bit] of Object.entries(kept))
					expect(has(bit), name).toBe(true);
			}
			// Raw disks are closed by the control group, whatever root's rights are.
			const disk = await machine.run(
				"echo $BASHPID >/sys/fs/cgroup/system.slice/eni-configure.service/cgroup.procs && head -c 1 /dev/vda",
			);
			expect(disk.exitCode).not.toBe(0);
			expect(disk.stderr).toMatch(/Operation not permitted/);
		}),
	);

	it(
		"README says what `systemd-analyze security` says of the units",
		keepingLogs(async () => {
			const readme = await readFile(join(root, "README.md"), "utf8");
			for (const unit of ["eni-configure", "eni-configure-boot"]) {
				const said = await machine.shell(
					`systemd-analyze security --no-pager ${unit}.service | tail -n 1`,
				);
				const [, score] = /: (\d+\.\d) /.exec(said) ?? [];
				expect(score, said).toBeDefined();
				expect(readme.includes(`${unit}.service\` ${score}`), said).toBe(true);
			}
		}),
	);

	it(
		"the primary NIC lost nothing in all that time",
		keepingLogs(async () => {
			const counts = await primary.stop();
			const { sent = 0, lost = -1 } = counts.get("10.0.1.10") ?? {};
			expect(sent).toBeGreaterThan(100);
			expect(lost).toBe(0);
		}),
	);
});
