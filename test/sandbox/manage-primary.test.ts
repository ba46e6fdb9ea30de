import { describe, expect, it } from "vitest";
import type { Sandbox } from "./sandbox";
import {
	expectReachable,
	inSandbox,
	run,
	sameSubnet,
	shell,
	withoutLoss,
} from "./scenario";

const config = "/etc/eni-configure/config.yaml";
const ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth0";
const further = ["10.0.1.40", "10.0.1.41", "10.0.1.42"];
// As keepalived would put it: in the fabric, and in no list of metadata's.
const floating = "10.0.1.90";

async function setManaged(s: Sandbox, isOn: boolean): Promise<void> {
	await s.write(config, `managePrimary: ${isOn}\n`);
}

/** Three further private IPs of eth0 in the cloud, and a floating address on it. */
async function prepare(s: Sandbox): Promise<void> {
	await setManaged(s, true);
	for (const ip of further) await s.assign("eth0", ip);
	await shell(s, `ip addr add ${floating}/32 dev eth0`);
}

async function onPrimary(s: Sandbox): Promise<string[]> {
	const text = await s.ip("-o", "-4", "addr", "show", "dev", "eth0");
	return [...text.matchAll(/inet (\S+)/g)].map(([, cidr = ""]) => cidr);
}

async function expectOn(s: Sandbox, ips: string[]): Promise<void> {
	expect((await onPrimary(s)).sort()).toEqual(
		["10.0.1.10/24", `${floating}/32`, ...ips.map((ip) => `${ip}/32`)].sort(),
	);
}

describe("managePrimary", () => {
	it("has the primary's further private IPs answer from afar, costs eth0 no probe, writes no file of it, and goes again when switched off", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			await prepare(s);
			const file = await s.read(ifcfg);
			expect(await s.reach(further[0] as string, { timeoutMs: 500 })).toBe(
				false,
			);
			await s.clearCalls();
			const report = await withoutLoss(s, () => run(s, ["--all"]));
			expect(
				report.interfaces.find(({ name }) => name === "eth0"),
			).toMatchObject({ outcome: "applied", primary: true });
			await expectReachable(s, [
				"10.0.1.10",
				...further,
				...sameSubnet.addresses,
			]);
			await expectOn(s, further);
			expect((await run(s, ["--all"])).outcome).toBe("unchanged");

			await setManaged(s, false);
			const off = await withoutLoss(s, () => run(s, ["--all"]));
			expect(off.findings).toEqual([]);
			await expectOn(s, []);
			await expectReachable(s, ["10.0.1.10", ...sameSubnet.addresses]);
			expect(await s.read(ifcfg)).toBe(file);
			const calls = (await s.calls()).map(({ argv }) => argv.join(" "));
			expect(calls.filter((call) => /^if(up|down) /.test(call))).toEqual([
				"ifup eth1",
			]);
		}));

	it("needs no secondary; a released one goes with --prune alone, and the others answer all the while", () =>
		inSandbox({}, async (s) => {
			await prepare(s);
			expect((await run(s, ["--all"])).exitCode).toBe(0);
			await expectReachable(s, further);
			await s.release("eth0", "10.0.1.40");
			await run(s, ["--all"]);
			await expectOn(s, further);
			const probe = await s.probe("10.0.1.41");
			await withoutLoss(s, () => run(s, ["--all", "--prune"]));
			expect((await probe.stop()).lost).toBe(0);
			await expectOn(s, ["10.0.1.41", "10.0.1.42"]);
		}));

	it("puts back what somebody deleted, and what a bounce of eth0 dropped", () =>
		inSandbox({}, async (s) => {
			await prepare(s);
			await run(s, ["--all"]);
			await shell(s, "ip addr del 10.0.1.41/32 dev eth0");
			await run(s, ["--all"]);
			await expectOn(s, further);
			await s.fault("arp-wait", "0");
			await shell(s, "ifdown eth0; ifup eth0");
			expect(await onPrimary(s)).toEqual(["10.0.1.10/24"]);
			await run(s, ["--all"]);
			await expectReachable(s, ["10.0.1.10", ...further]);
		}));

	it("is undone by rollback, and by the next start where the agent was killed", () =>
		inSandbox({ enis: [sameSubnet] }, async (s) => {
			await prepare(s);
			const before = await s.snapshot();
			await run(s, ["--all"]);
			await run(s, ["rollback"]);
			expect(await s.snapshot()).toBe(before);
			// The setting, changed and changed back, takes it up again.
			await setManaged(s, false);
			await run(s, ["--all"]);
			await setManaged(s, true);
			const place = (await shell(s, "type -P ip")).trim();
			await s.write(
				"/run/wrap/ip",
				`#!/bin/bash\nif [[ $1 == -batch ]]; then ${place} "$@"; kill -9 $PPID; exit; fi\nexec ${place} "$@"\n`,
				0o755,
			);
			const path = (await shell(s, "echo $PATH")).trim();
			await s.agent(["--all"], { env: { PATH: `/run/wrap:${path}` } });
			await expectOn(s, further);
			const recovered = await run(s, ["plan", "--all"]);
			expect(recovered.notes.map(({ text }) => text).join()).toContain(
				"interrupted",
			);
			await s.agent(["remove", "eth9"]);
			await expectOn(s, []);
		}));

	it("status tells what is added from what is only reported", () =>
		inSandbox({}, async (s) => {
			await prepare(s);
			await s.assign("eth0", "10.0.7.7");
			await run(s, ["--all"]);
			const { stdout } = await s.agent(["status"]);
			expect(stdout).toContain("10.0.1.40, 10.0.1.41, 10.0.1.42 added live");
			expect(stdout).toMatch(/10\.0\.7\.7 .*reported, not configured/);
		}));
});
