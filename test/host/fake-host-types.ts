import type { LogLevel, System } from "../../src/system";
import type { FakeClock } from "./clock";
import type { Nic, NicOptions } from "./cloud";
import type { Attributes, Disk, FileOnDisk, Loss } from "./disk";
import type { Signals } from "./guest-system";
import type { Kernel, KernelLink } from "./kernel-types";
import type { Metadata } from "./metadata";
import type { Operations } from "./operations";
import type { ProgramHost } from "./programs";

export interface HostOptions {
	/** eth0 with 10.0.1.10/24 by default. */
	primary?: Partial<NicOptions>;
	/** Secondary NICs that are there after the boot, unconfigured. */
	enis?: NicOptions[];
	/** SELinux is on; off by default. */
	selinux?: boolean;
	/** More files of the guest, there before it boots. */
	files?: Record<string, string>;
}

export interface FakeHost {
	/** The whole world of the agent; of another process once endProcess() or reboot() was called. */
	readonly system: System;
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
	signals: Signals;
	/** Other processes by pid. */
	readonly processes: Map<
		number,
		{
			command: string;
			open: string[];
			environment?: Record<string, string>;
			/** The pid of its parent; 1 by default. */
			parent?: number;
		}
	>;
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
	/**
	 * A power cut that takes what was not fsynced (an orderly reboot without), then a boot up to
	 * network.service. `beforeNetwork` is what runs before that: a process of its own.
	 */
	reboot(loss?: Loss, beforeNetwork?: () => Promise<unknown>): Promise<void>;
}
