import type { LogLevel, System } from "../../src/system";
import { createClock, type FakeClock } from "./clock";
import { type Nic, type NicOptions, nicOf } from "./cloud";
import {
	type Attributes,
	createDisk,
	type Disk,
	type FileOnDisk,
	type Loss,
} from "./disk";
import { installGuest, templates } from "./guest-files";
import { createGuestFs } from "./guest-fs";
import { changeByIp } from "./ip-command";
import { createKernel, type Kernel, type KernelLink } from "./kernel";
import { writeKernelFiles } from "./kernel-files";
import { createMetadata, type Metadata, metadataTree } from "./metadata";
import { applySysctls, ifdown, ifup, startNetwork } from "./network-scripts";
import { createOperations, type Operations } from "./operations";
import { type ProgramHost, runProgram } from "./programs";
import { lookUpRoute } from "./route-lookup";
import { describeFiles, describeKernel, describeRecord } from "./snapshot";

export interface HostOptions {
	/** eth0 with 10.0.1.10/24 by default. */
	primary?: Partial<NicOptions>;
	/** Secondary NICs that are there after the boot, unconfigured. */
	enis?: NicOptions[];
	/** More files of the guest, there before it boots. */
	files?: Record<string, string>;
}

export interface FakeHost {
	/** The whole world of the agent. */
	system: System;
	/** The running kernel; tests may change it by hand. */
	readonly kernel: Kernel;
	disk: Disk;
	clock: FakeClock;
	operations: Operations;
	metadata: Metadata;
	/** Descriptors, the lock, network.service, missing and hanging programs. */
	programs: ProgramHost;
	/** Links on which nobody answers ARP. */
	silent: Set<string>;
	/** Other processes by pid. */
	processes: Map<number, { command: string; open: string[] }>;
	log: { level: LogLevel; message: string }[];
	/** Binds an ENI: metadata lists it, and its link appears, down and unconfigured. */
	plug(options: NicOptions): Nic;
	/** Unbinds it: metadata no longer lists it and the link is gone. */
	unplug(name: string): void;
	/** Another kind of link, such as docker0. */
	addLink(link: Partial<KernelLink> & { name: string; mac: string }): void;
	/** One private IP more, or one less, in metadata. */
	assign(name: string, ip: string): void;
	release(name: string, ip: string): void;
	/** What a person types: one `ip` line, `ifup NIC` or `ifdown NIC`; no operation of the agent. */
	type(line: string): Promise<void>;
	read(path: string): FileOnDisk | undefined;
	write(path: string, content: string, attributes?: Partial<Attributes>): void;
	/** /etc with modes and owners, and the kernel: what a run must leave as it was, or as it should be. */
	snapshot(): string;
	/** What the agent remembers for later runs. */
	record(): string;
	/** The agent's process is gone, and nothing else: its descriptors close, another one may run. */
	endProcess(): void;
	/** A power cut that takes what was not fsynced (an orderly reboot without), then a boot up to network.service. */
	reboot(loss?: Loss): Promise<void>;
}

/** A CentOS 7 guest in memory, booted: eth0 up by network.service, secondaries plugged and down. */
export async function createFakeHost(
	options: HostOptions = {},
): Promise<FakeHost> {
	const operations = createOperations();
	const disk = createDisk();
	const clock = createClock();
	const nics: Nic[] = [
		nicOf({ name: "eth0", addresses: ["10.0.1.10"], ...options.primary }),
	];
	const metadata = createMetadata({});
	const log: FakeHost["log"] = [];
	const silent = new Set<string>();
	const processes: FakeHost["processes"] = new Map();
	let kernel = createKernel();
	let boots = 0;
	// Whether /proc and /sys have fallen behind the kernel.
	let isStale = true;

	const { fs, open } = createGuestFs({
		disk,
		operations,
		refresh: () => {
			if (isStale)
				writeKernelFiles(disk, {
					kernel,
					bootId: `00000000-0000-4000-8000-${String(boots).padStart(12, "0")}`,
					processes,
				});
			isStale = false;
		},
		setSysctl: (key, value) => {
			isStale = true;
			return kernel.sysctls.has(key) && Boolean(kernel.sysctls.set(key, value));
		},
		closed: (fd) => {
			if (programs.lock && "fd" in programs.lock && programs.lock.fd === fd)
				programs.lock = undefined;
		},
	});
	const programs: ProgramHost = {
		get kernel() {
			isStale = true;
			return kernel;
		},
		disk,
		operations,
		clock,
		open,
		lock: undefined,
		service: { state: "active", job: undefined },
		missing: new Set(),
		hanging: new Set(),
	};

	function appear(nic: Nic): void {
		programs.kernel.plug({ name: nic.name, mac: nic.mac });
		// udev sets what /etc/sysctl.conf says of a link when it appears.
		applySysctls(programs, nic.name);
	}
	function publish(): void {
		metadata.tree = metadataTree(
			"ins-3xample1",
			nics.filter((nic) => nic.listed),
		);
	}
	const nic = (name: string) => nics.find((one) => one.name === name) as Nic;

	async function boot(): Promise<void> {
		boots += 1;
		kernel = createKernel();
		kernel.plug({
			name: "lo",
			mac: "00:00:00:00:00:00",
			type: 772,
			mtu: 65_536,
			driver: undefined,
		});
		for (const one of nics) appear(one);
		programs.lock = undefined;
		programs.service = { state: "active", job: undefined };
		disk.fs.mkdirSync("/run/systemd/system", { recursive: true });
		if (!(await startNetwork(programs))) programs.service.state = "failed";
		operations.reset();
	}

	// After the agent's death nothing of it goes on: its promises stay open for ever.
	function whileAlive<T>(work: () => T | Promise<T>): Promise<T> {
		return new Promise((resolve, reject) => {
			if (operations.isStopped()) return;
			Promise.resolve()
				.then(work)
				.then(
					(value) => !operations.isStopped() && resolve(value),
					(error) => !operations.isStopped() && reject(error),
				);
		});
	}

	const system: System = {
		fs,
		run: (argv, runOptions) =>
			whileAlive(() => runProgram(programs, argv, runOptions)),
		http: (url) =>
			whileAlive(() =>
				lookUpRoute(kernel, { to: "169.254.0.23" })
					? metadata.get(url)
					: { kind: "failed", reason: "ENETUNREACH", reset: false },
			),
		nudge: (from, to) =>
			whileAlive(() => {
				const route = kernel.links.some((link) =>
					link.addresses.some(({ ip }) => ip === from),
				)
					? lookUpRoute(kernel, { to, from })
					: undefined;
				if (route?.type === "unicast" && route.dev)
					programs.kernel.neighbours.set(
						`${route.via ?? to} ${route.dev}`,
						!silent.has(route.dev),
					);
			}),
		clock: {
			nowMs: clock.nowMs,
			sleep: (ms) => whileAlive(() => clock.sleep(ms)),
			random: clock.random,
		},
		log: (level, message) => log.push({ level, message }),
		uid: () => 0,
		templates,
	};

	installGuest(disk, nic("eth0"));
	for (const [path, content] of Object.entries(options.files ?? {}))
		disk.write(path, content);
	for (const eni of options.enis ?? []) nics.push(nicOf(eni));
	publish();
	await boot();
	disk.syncAll();

	return {
		system,
		get kernel() {
			return programs.kernel;
		},
		disk,
		clock,
		operations,
		metadata,
		programs,
		silent,
		processes,
		log,
		plug: (eni) => {
			nics.push(nicOf(eni));
			appear(nic(eni.name));
			publish();
			return nic(eni.name);
		},
		unplug: (name) => {
			programs.kernel.unplug(name);
			nics.splice(nics.indexOf(nic(name)), 1);
			publish();
		},
		addLink: (link) => {
			programs.kernel.setLink(programs.kernel.plug(link), true);
		},
		assign: (name, ip) => {
			nic(name).addresses.push(ip);
			publish();
		},
		release: (name, ip) => {
			nic(name).addresses = nic(name).addresses.filter((one) => one !== ip);
			publish();
		},
		type: async (line) => {
			const own = {
				kernel: programs.kernel,
				disk,
				clock,
				operations: createOperations(),
			};
			const [word, argument = "", ...rest] = line.split(" ");
			if (word === "ifup" || word === "ifdown")
				await (word === "ifup" ? ifup : ifdown)(own, argument);
			else {
				const refusal = changeByIp(own.kernel, own.operations, [
					argument,
					...rest,
				]);
				if (refusal) throw new Error(`${line}: ${refusal.text}`);
			}
		},
		read: disk.read,
		write: (path, content, attributes) => {
			disk.write(path, content, attributes);
			disk.syncAll();
		},
		snapshot: () => describeFiles(disk, "/etc") + describeKernel(kernel),
		record: () => describeRecord(disk),
		endProcess: () => {
			operations.revive();
			for (const fd of [...open.keys()]) fs.closeSync(fd);
		},
		reboot: async (loss = { bytes: "kept", entries: "kept" }) => {
			operations.revive();
			for (const fd of [...open.keys()]) fs.closeSync(fd);
			disk.lose(loss);
			await boot();
		},
	};
}
