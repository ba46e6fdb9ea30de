import { expect } from "vitest";
import { type Eni, type EniOptions, makeEni } from "../sandbox/eni";
import { type Cloud, openCloud, type Watch } from "./cloud";
import type { Disk } from "./image";
import { createVm, type Vm, type VmOptions } from "./vm";

export interface MachineOptions
	extends Pick<VmOptions, "kernelArguments" | "drives"> {
	disk: Disk;
	/** Bound before the machine is switched on. */
	enis?: EniOptions[];
	/** What is to be done before it is switched on. */
	prepare?: (machine: Machine) => Promise<unknown>;
}

/** A CVM in its VPC: what happens in the console happens to the ENIs, to metadata and to the machine. */
export interface Machine extends Omit<Vm, "powerOn" | "reboot"> {
	cloud: Cloud;
	primary: Eni;
	boot(): Promise<void>;
	reboot(): Promise<void>;
	/** Binds an ENI: a new port, metadata, and, while the machine is on, a hot-plugged NIC. The time (ms) of device_add. */
	bind(...options: EniOptions[]): Promise<number>;
	/** Unbinds ENIs by the names they were bound with. */
	unbind(...names: string[]): Promise<void>;
	assign(name: string, address: string): Promise<void>;
	/** The ENIs as they are, the primary first. */
	bound(): readonly Eni[];
	/** Waits until all of these answer the far client; the last look's missing ones in the error. */
	untilAnswer(addresses: readonly string[], timeoutMs?: number): Promise<void>;
	watch(addresses: readonly string[], intervalMs?: number): Watch;
	/** Waits until a script exits with 0; its last output in the error. */
	until(what: string, script: string, timeoutMs?: number): Promise<void>;
}

/** Runs body with a machine that is on, keeps its logs when it fails, and ends it. */
export async function withMachine(
	options: MachineOptions,
	body: (machine: Machine) => Promise<void>,
): Promise<void> {
	const machine = await createMachine(options);
	try {
		await options.prepare?.(machine);
		await machine.boot();
		await body(machine);
	} catch (error) {
		const { currentTestName = "machine" } = expect.getState();
		const log = await machine.keepLogs(currentTestName);
		if (error instanceof Error)
			error.message += `\nThe machine's console, journal and state: ${log}`;
		throw error;
	} finally {
		await machine.close();
	}
}

/** A machine that is off. */
export async function createMachine(options: MachineOptions): Promise<Machine> {
	const cloud = await openCloud();
	try {
		return await furnish(cloud, options);
	} catch (error) {
		await cloud.close();
		throw error;
	}
}

async function furnish(
	cloud: Cloud,
	options: MachineOptions,
): Promise<Machine> {
	const { kernelArguments = ["cloud-init=disabled"], drives = [] } = options;
	const vm = await createVm({
		prefix: cloud.prefix,
		disk: options.disk,
		kernelArguments,
		drives,
	});
	const enis: Eni[] = [];
	let made = 0;

	const primary = add({
		name: "eth0",
		subnet: "10.0.1.0/24",
		addresses: ["10.0.1.10"],
	});
	await cloud.openPort(primary);
	await cloud.serveDhcp(primary);
	await bind(...(options.enis ?? []));

	function add(options: EniOptions): Eni {
		made += 1;
		const eni = makeEni(made, options);
		enis.push(eni);
		return eni;
	}

	function find(name: string): Eni {
		const eni = enis.find((each) => each.name === name);
		if (!eni) throw new Error(`no ENI "${name}" is bound`);
		return eni;
	}

	const tapOf = (eni: Eni) => ({ port: cloud.port(eni), mac: eni.mac });

	async function bind(...more: EniOptions[]): Promise<number> {
		const bound = more.map(add);
		for (const eni of bound) await cloud.openPort(eni);
		await cloud.publish(enis);
		const times: number[] = [];
		if (vm.isOn())
			for (const eni of bound) times.push(await vm.plug(tapOf(eni)));
		return Math.min(...times);
	}

	async function unbind(...names: string[]): Promise<void> {
		const gone = names.map(find);
		for (const eni of gone) enis.splice(enis.indexOf(eni), 1);
		await cloud.publish(enis);
		if (vm.isOn()) await Promise.all(gone.map((eni) => vm.unplug(tapOf(eni))));
		for (const eni of gone) await cloud.closePort(eni);
	}

	async function untilAnswer(
		addresses: readonly string[],
		timeoutMs = 60_000,
	): Promise<void> {
		const limit = Date.now() + timeoutMs;
		for (;;) {
			const answering = await cloud.answering(addresses);
			if (answering.length === addresses.length) return;
			if (Date.now() > limit)
				throw new Error(
					`within ${timeoutMs} ms of ${addresses.join(", ")} answer ${answering.join(", ") || "none"}`,
				);
		}
	}

	return {
		...vm,
		cloud,
		primary,
		boot: () => vm.powerOn(enis.map(tapOf)),
		reboot: () => vm.reboot(enis.map(tapOf)),
		bind,
		unbind,
		async assign(name, address) {
			const eni = find(name);
			eni.addresses.push(address);
			await cloud.assign(eni, address);
			await cloud.publish(enis);
		},
		bound: () => enis,
		untilAnswer,
		watch: cloud.watch,
		async until(what, script, timeoutMs = 60_000) {
			// Asked in there, without a command over the serial port for each look.
			const looking = `until ( ${script}\n ) >/run/vm/last 2>&1; do sleep 0.3; done`;
			if ((await vm.run(looking, timeoutMs)).exitCode === 0) return;
			const last = await vm.run("cat /run/vm/last");
			throw new Error(`not within ${timeoutMs} ms: ${what}\n${last.stdout}`);
		},
		async close() {
			await vm.close();
			await cloud.close();
		},
	};
}
