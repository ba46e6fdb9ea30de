// The agent loads these on demand, which takes a time that is not the fake clock's.
import "../../src/parse-config";
import "../../src/template-compiler";
import { createClock } from "./clock";
import { type Nic, nicOf } from "./cloud";
import { createDisk } from "./disk";
import type { FakeHost, HostOptions } from "./fake-host-types";
import { installGuest, templates } from "./guest-files";
import { createGuestFs } from "./guest-fs";
import { createSystem } from "./guest-system";
import { changeByIp } from "./ip-change";
import { createKernel } from "./kernel";
import { writeKernelFiles } from "./kernel-files";
import { createMetadata, metadataTree } from "./metadata";
import { withMonitor } from "./monitor-lines";
import { ifdown, ifup } from "./network-scripts";
import { applySysctls, startNetwork } from "./network-service";
import { createOperations, operationsOfProcess } from "./operations";
import type { ProgramHost } from "./programs";
import {
	describeFiles,
	describeKernel,
	describeRecord,
	selinuxFile,
} from "./snapshot";

export type { FakeHost, HostOptions };

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
	const signals: FakeHost["signals"] = {
		stop: undefined,
		hangup: () => {},
		watchers: new Set(),
		started: 0,
	};
	let kernel = createKernel();
	let boots = 0;
	// Whether /proc and /sys have fallen behind the kernel.
	let isStale = true;

	const open = new Map<number, string>();
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
		daemonLock: undefined,
		service: { state: "active", job: undefined },
		missing: new Set(),
		hanging: new Set(),
	};

	function appear(nic: Nic): void {
		programs.kernel.plug({ name: nic.name, mac: nic.mac });
		// udev sets what /etc/sysctl.conf says of a link when it appears.
		applySysctls(programs, nic.name);
	}
	// Those who watch hear of it a moment later, and none of it twice.
	function tellWatchers(lines: string[]): void {
		for (const watcher of signals.watchers)
			void clock.sleep(1).then(() => {
				if (!signals.watchers.has(watcher)) return;
				for (const line of lines) watcher.line(line);
			});
	}
	function publish(): void {
		metadata.tree = metadataTree(
			"ins-3xample1",
			nics.filter((nic) => nic.listed),
		);
	}
	const nic = (name: string) => nics.find((one) => one.name === name) as Nic;

	async function boot(beforeNetwork?: () => Promise<unknown>): Promise<void> {
		boots += 1;
		kernel = withMonitor(createKernel(), tellWatchers);
		kernel.plug({
			name: "lo",
			mac: "00:00:00:00:00:00",
			type: 772,
			mtu: 65_536,
			driver: undefined,
		});
		for (const one of nics) appear(one);
		programs.lock = undefined;
		programs.daemonLock = undefined;
		programs.service = { state: "active", job: undefined };
		disk.fs.mkdirSync("/run/systemd/system", { recursive: true });
		if (options.selinux) disk.write(selinuxFile, "1");
		await beforeNetwork?.();
		if (beforeNetwork) endProcess();
		if (!(await startNetwork(programs))) programs.service.state = "failed";
		operations.reset();
	}

	// The agent as a process: its death is the end of all it has open, and of whatever of it still runs.
	function startProcess() {
		const own = operationsOfProcess(operations);
		const fs = createGuestFs({
			disk,
			operations: own,
			open,
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
				return (
					kernel.sysctls.has(key) && Boolean(kernel.sysctls.set(key, value))
				);
			},
			closed: (fd) => {
				for (const which of ["lock", "daemonLock"] as const) {
					const holder = programs[which];
					if (holder && "fd" in holder && holder.fd === fd)
						programs[which] = undefined;
				}
			},
		});
		const system = createSystem({
			fs,
			programs,
			operations: own,
			metadata,
			silent,
			templates,
			get processes() {
				isStale = true;
				return processes;
			},
			log: (level, message) => log.push({ level, message }),
			signals,
		});
		return { system, end: own.end };
	}
	let agent = startProcess();
	function endProcess(): void {
		for (const fd of [...open.keys()]) agent.system.fs.closeSync(fd);
		agent.end();
		operations.revive();
		signals.watchers.clear();
		agent = startProcess();
	}

	installGuest(disk, nic("eth0"));
	if (options.selinux) disk.write("/usr/sbin/restorecon", "");
	for (const [path, content] of Object.entries(options.files ?? {}))
		disk.write(path, content);
	for (const eni of options.enis ?? []) nics.push(nicOf(eni));
	publish();
	await boot();
	disk.syncAll();

	return {
		get system() {
			return agent.system;
		},
		get kernel() {
			return programs.kernel;
		},
		disk,
		clock,
		operations,
		metadata,
		programs,
		silent,
		signals,
		get processes() {
			isStale = true;
			return processes;
		},
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
		endProcess,
		reboot: async (
			loss = { bytes: "kept", entries: "kept" },
			beforeNetwork = undefined,
		) => {
			endProcess();
			disk.lose(loss);
			await boot(beforeNetwork);
		},
	};
}
