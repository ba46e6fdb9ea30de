import { describe, expect, test } from "vitest";
import { detectBackend } from "../../src/backends/detect.js";
import {
	AgentError,
	exitCodes,
	messageOf,
	worstExitCode,
} from "../../src/errors.js";
import type { HostFacts, Step } from "../../src/model.js";
import { batchLine } from "../../src/plan/ip-batch.js";
import {
	reportVerdict,
	summarize,
	targetOf,
	worstOutcome,
} from "../../src/report.js";
import { centos7, kernelOf } from "./given.js";

describe("exit codes", () => {
	test("are the documented ones", () => {
		expect(exitCodes).toEqual({
			converged: 0,
			internal: 1,
			usage: 2,
			rolledBack: 3,
			metadata: 4,
			refused: 5,
			rollbackFailed: 6,
			locked: 7,
		});
		expect(new AgentError("locked", "x").exitCode).toBe(7);
	});

	test.each([
		[[], 0],
		[[0, 0], 0],
		[[0, 4], 4],
		[[4, 2], 2],
		[[2, 5], 5],
		[[5, 3], 3],
		[[3, 7], 7],
		[[7, 1], 1],
		[[1, 6], 6],
		[[0, 4, 2, 5, 3, 7, 1, 6], 6],
	])("of several NICs with %j is %i", (codes, expected) => {
		expect(worstExitCode(codes)).toBe(expected);
		expect(worstExitCode([...codes].reverse())).toBe(expected);
	});

	test("an error keeps its cause and reads as its sentence", () => {
		const cause = new Error("ENOSPC");
		const error = new AgentError("internal", "the disk is full", cause);
		expect((error as { cause?: unknown }).cause).toBe(cause);
		expect(messageOf(error)).toBe("the disk is full");
		expect(messageOf("text")).toBe("text");
	});
});

describe("one outcome for several NICs", () => {
	test.each([
		[[], "unchanged"],
		[["unchanged", "applied"], "applied"],
		[["applied", "pending"], "pending"],
		[["pending", "refused"], "refused"],
		[["refused", "rolled-back"], "rolled-back"],
		[["rolled-back", "rollback-failed"], "rollback-failed"],
	] as const)("%j is %s", (outcomes, expected) => {
		expect(worstOutcome([...outcomes])).toBe(expected);
	});

	test("a NIC that was left alone is reported with what stands on it and why", () => {
		const { links } = kernelOf({
			links: {
				eth1: {
					mac: "52:54:00:00:00:01",
					addresses: [
						"inet 10.0.0.5/24 scope global eth1",
						"inet6 fe80::1/64 scope link",
					],
				},
			},
		});
		const report = reportVerdict(
			{
				link: "eth1",
				mac: "52:54:00:00:00:01",
				kind: "held",
				reason: "is yours",
				exitCode: 5,
			},
			links,
		);
		expect(report).toEqual({
			name: "eth1",
			mac: "52:54:00:00:00:01",
			primary: false,
			addresses: ["10.0.0.5/24"],
			gateway: undefined,
			table: undefined,
			outcome: "refused",
			source: undefined,
			reason: "is yours",
			exitCode: 5,
		});
	});
});

describe("a step in words a person could type", () => {
	test.each([
		[
			{
				kind: "addr",
				link: "eth1",
				op: "add",
				words: ["192.168.1.62/26", "brd", "+"],
			},
			"addr add 192.168.1.62/26 brd + dev eth1",
			"192.168.1.62/26 brd +",
		],
		[
			{
				kind: "rule",
				link: "eth1",
				op: "del",
				words: ["from", "1.2.3.4/32", "lookup", "1001", "priority", "1001"],
			},
			"rule del from 1.2.3.4/32 lookup 1001 priority 1001",
			"from 1.2.3.4/32 lookup 1001 priority 1001",
		],
		[
			{
				kind: "route",
				link: "eth1",
				op: "replace",
				words: ["default", "via", "1.2.3.1", "dev", "eth1", "table", "1001"],
			},
			"route replace default via 1.2.3.1 dev eth1 table 1001",
			"default via 1.2.3.1 dev eth1 table 1001",
		],
		[{ kind: "link", link: "eth1", op: "up" }, "link set dev eth1 up", "eth1"],
	] as [Step, string, string][])("%j", (step, line, target) => {
		expect(batchLine(step as Parameters<typeof batchLine>[0])).toBe(line);
		expect(summarize(step)).toBe(`ip ${line}`);
		expect(targetOf(step)).toBe(target);
	});

	test.each([
		[
			{
				kind: "sysctl",
				link: "eth1",
				key: "conf/eth1/rp_filter",
				value: "0",
				before: "1",
			},
			"net.ipv4.conf.eth1.rp_filter = 0 (was 1)",
		],
		[
			{
				kind: "sysctl",
				link: "eth1",
				key: "conf/eth1/rp_filter",
				value: "0",
				before: undefined,
			},
			"net.ipv4.conf.eth1.rp_filter = 0 (was unset)",
		],
		[
			{
				kind: "run",
				link: "eth1",
				argv: ["ifup", "eth1"],
				timeoutMs: 1,
				touches: ["eth1"],
			},
			"ifup eth1",
		],
		[
			{
				kind: "write",
				link: "eth1",
				path: "/x",
				content: "",
				mode: 420,
				before: undefined,
				keepCopy: false,
			},
			"write /x",
		],
		[
			{
				kind: "remove",
				link: "eth1",
				path: "/x",
				before: { content: "", mode: 420, uid: 0, gid: 0 },
				keepCopy: false,
			},
			"remove /x",
		],
	] as [Step, string][])("%j", (step, expected) => {
		expect(summarize(step)).toBe(expected);
	});
});

describe("which network stack is in charge", () => {
	test.each([
		["CentOS 7 without NetworkManager", {}, "auto", "initscripts"],
		[
			"NetworkManager beside the network service",
			{ networkManagerRunning: true },
			"auto",
			"initscripts",
		],
		[
			"NetworkManager alone",
			{ networkManagerRunning: true, networkServiceEnabled: false },
			"auto",
			undefined,
		],
		[
			"network-scripts that nobody starts, and no NetworkManager",
			{ networkServiceEnabled: false },
			"auto",
			"initscripts",
		],
		[
			"neither",
			{ networkScripts: false, networkServiceEnabled: false },
			"auto",
			undefined,
		],
		[
			"NetworkManager alone, but network-scripts asked for",
			{ networkManagerRunning: true, networkServiceEnabled: false },
			"initscripts",
			"initscripts",
		],
		[
			"network-scripts asked for and missing",
			{ networkScripts: false },
			"initscripts",
			undefined,
		],
	] as [
		string,
		Partial<HostFacts>,
		"auto" | "initscripts",
		string | undefined,
	][])("%s", (_, facts, wanted, expected) => {
		const verdict = detectBackend({ ...centos7, ...facts }, wanted);
		expect(verdict.backend?.name).toBe(expected);
		expect(verdict.why).toContain("CentOS Linux 7 (Core)");
		expect(verdict.why).not.toContain("\n");
	});
});
