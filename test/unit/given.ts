import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mark } from "../../src/marker.js";
import type {
	CloudView,
	EniAnswer,
	HostFacts,
	InterfaceSpec,
	KernelState,
	Link,
	Observed,
	ObservedFile,
	Request,
	Settings,
	State,
} from "../../src/model.js";
import {
	parseAddresses,
	parseRoutes,
	parseRules,
} from "../../src/observe/parse-ip.js";
import {
	createRenderer,
	type Renderer,
	type TemplateName,
	type Templates,
	templateNames,
} from "../../src/render.js";
import { mergeSettings, type PartialSettings } from "../../src/settings.js";
import { emptyState } from "../../src/state.js";
import { compilingEngine } from "../../src/template-compiler.js";

const root = join(__dirname, "../..");
const scripts = "/etc/sysconfig/network-scripts";

/** Text under fixtures/, as latin1 so that every byte counts. */
export function readFixture(...path: string[]): string {
	return readFileSync(join(root, "fixtures", ...path), "latin1");
}

/** Names in a folder under fixtures/: one case each. */
export function casesIn(...path: string[]): string[] {
	return readdirSync(join(root, "fixtures", ...path)).sort();
}

/** The templates that come with the agent, with some of them replaced. */
export function templates(
	replaced: Partial<Record<TemplateName, string>> = {},
): Templates {
	return Object.fromEntries(
		templateNames.map((name) => [
			name,
			{
				text:
					replaced[name] ??
					readFileSync(join(root, "templates", `${name}.hbs`), "latin1"),
				origin:
					replaced[name] === undefined
						? `${name}.hbs`
						: `/etc/eni-configure/templates/${name}.hbs`,
			},
		]),
	) as Templates;
}

export const renderer: Renderer = rendererOf(templates());

/** A renderer whose templates are compiled as they come. */
export function rendererOf(given: Templates): Renderer {
	return createRenderer(given, compilingEngine());
}

/** A file in the network-scripts directory: text as it stands, or the body of one of ours. */
export type FileText = string[] | { ours: string[] };

/** An observed guest as the cases write it down: links in short, the rest as `ip` prints it. */
export interface GuestText {
	links: Record<
		string,
		Partial<Omit<Link, "name" | "addresses">> & { addresses?: string[] }
	>;
	rules?: string[];
	routes?: string[];
	sysctls?: Record<string, string>;
	files?: Record<string, FileText>;
	sysctlConf?: string[];
	laterSysctlFiles?: Record<string, string[]>;
	facts?: Partial<HostFacts>;
	cloud?:
		| (Partial<Omit<CloudView, "enis">> & { enis?: Record<string, EniAnswer> })
		| null;
	state?: Partial<State>;
	backups?: Observed["backups"];
	namedTables?: number[];
}

const ordinaryRules = [
	"0:	from all lookup local",
	"32766:	from all lookup main",
	"32767:	from all lookup default",
];

export const centos7: HostFacts = {
	osId: "centos",
	osVersion: "7",
	osName: "CentOS Linux 7 (Core)",
	networkScripts: true,
	networkServiceEnabled: true,
	networkManagerRunning: false,
	systemdRunning: true,
	tkeCni: undefined,
	selinux: false,
};

/** The kernel's state from the text of `ip` and short links. */
export function kernelOf({
	links,
	rules,
	routes,
	sysctls,
}: GuestText): KernelState {
	return {
		links: Object.entries(links).map(
			([name, { addresses, ...link }], index) => ({
				name,
				mac: `52:54:00:00:00:0${index}`,
				ifindex: index + 1,
				up: (addresses ?? []).length > 0,
				operstate: "up",
				mtu: 1500,
				type: name === "lo" ? 772 : 1,
				driver: "virtio_net",
				devtype: undefined,
				master: undefined,
				lowers: [],
				dhcp: false,
				...link,
				addresses:
					parseAddresses(
						(addresses ?? [])
							.map((text) => `${index + 1}: ${name}    ${text}`)
							.join("\n"),
					)[name] ?? [],
			}),
		),
		rules: parseRules((rules ?? ordinaryRules).join("\n")),
		routes: parseRoutes((routes ?? []).join("\n")),
		sysctls: sysctls ?? {},
	};
}

/** A whole observed guest; what a case leaves out is as on an untouched CentOS 7. */
export function observedOf(text: GuestText): Observed {
	return {
		...kernelOf(text),
		files: Object.entries(text.files ?? {}).map(([name, content]) =>
			fileOf(
				name.startsWith("/") ? name : `${scripts}/${name}`,
				Array.isArray(content) ? lines(content) : mark(lines(content.ours)),
			),
		),
		sysctlConf:
			text.sysctlConf && fileOf("/etc/sysctl.conf", lines(text.sysctlConf)),
		laterSysctlFiles: Object.entries(text.laterSysctlFiles ?? {}).map(
			([path, content]) => fileOf(path, lines(content)),
		),
		facts: { ...centos7, ...text.facts },
		cloud: text.cloud ? cloudOf(text.cloud) : undefined,
		state: { ...emptyState(), ...text.state },
		backups: text.backups ?? {},
		namedTables: text.namedTables ?? [],
		copies: [],
		bootId: "boot",
		nowMs: 1000,
	};
}

export function cloudOf(cloud: Partial<CloudView>): CloudView {
	return {
		instanceId: "ins-1",
		primaryMac: "52:54:00:00:00:00",
		listed: ["52:54:00:00:00:00", ...Object.keys(cloud.enis ?? {})],
		enis: {},
		primaryAddresses: undefined,
		problem: undefined,
		requests: 0,
		...cloud,
	};
}

export function fileOf(path: string, content: string): ObservedFile {
	return { path, content, mode: 0o644, uid: 0, gid: 0 };
}

function lines(text: string[]): string {
	return text.map((line) => `${line}\n`).join("");
}

export function requestOf(request: Partial<Request> = {}): Request {
	return {
		verb: "configure",
		targets: ["eth1"],
		flags: undefined,
		fromMetadata: false,
		force: false,
		prune: false,
		dryRun: false,
		skip: [],
		...request,
	};
}

export function settingsOf(values: PartialSettings = {}): Settings {
	return mergeSettings([{ values, nameOf: (key) => key }]);
}

export function specOf(spec: Partial<InterfaceSpec> = {}): InterfaceSpec {
	return {
		name: "eth1",
		mac: "52:54:00:00:00:01",
		addresses: ["192.168.1.62/26"],
		subnet: "192.168.1.0/26",
		gateway: "192.168.1.1",
		table: 1001,
		throws: [],
		demoteMetric: undefined,
		nmControlled: true,
		source: "metadata",
		...spec,
	};
}

/** The AgentError that a promise is rejected with; fails where it is not. */
export async function rejectionOf(
	promise: Promise<unknown>,
): Promise<{ kind: string; message: string; exitCode: number }> {
	const settled = await promise.then(
		() => undefined,
		(error) => error,
	);
	if (settled === undefined) throw new Error("it was accepted");
	return settled;
}

/** The AgentError that a call ends in; fails where it does not throw. */
export function errorOf(call: () => unknown): {
	kind: string;
	message: string;
	exitCode: number;
} {
	try {
		call();
	} catch (error) {
		return error as { kind: string; message: string; exitCode: number };
	}
	throw new Error("it was accepted");
}
