import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import type { Disk } from "./image";
import { logFolder } from "./paths";
import { connect, openQmp, type Qmp } from "./qmp";

export interface CommandResult {
	stdout: string;
	stderr: string;
	exitCode: number;
}

/** A NIC's other end: a tap that exists where QEMU runs. */
export interface Tap {
	/** The tap's name, and the device's id in QEMU. */
	port: string;
	mac: string;
}

export interface Vm {
	/** Powers on with these NICs, in PCI order, and waits until it takes commands. */
	powerOn(nics: readonly Tap[]): Promise<void>;
	/**
	 * SIGKILL for QEMU: the guest's page cache and QEMU's own tables for what was not flushed are lost. What the guest had
	 * written without a flush may be there, as with a disk that wrote it early.
	 */
	cutPower(): Promise<void>;
	/** The guest powers off by itself. */
	powerOff(): Promise<void>;
	/**
	 * The guest reboots by itself; resolves when it takes commands again. A new QEMU takes it from there: one that has run
	 * for a while needs 12 s more for the same kernel.
	 */
	reboot(nics: readonly Tap[]): Promise<void>;
	/** Hot-plugs a virtio NIC; resolves with the time (ms) at which QEMU had it. */
	plug(tap: Tap): Promise<number>;
	/** Takes it away as a hypervisor does, waiting for the guest to give it up. */
	unplug(tap: Tap): Promise<void>;
	/** Runs a bash script as root. Rejects only when the machine is not there to answer. */
	run(script: string, timeoutMs?: number): Promise<CommandResult>;
	/** The same for one that must not fail: its stdout. */
	shell(script: string, timeoutMs?: number): Promise<string>;
	console(): Promise<string>;
	/** Keeps console, journal and network state for whoever looks into a failure; says where. */
	keepLogs(name: string): Promise<string>;
	isOn(): boolean;
	close(): Promise<void>;
}

export interface VmOptions {
	/** Words in front of QEMU's command line: into the namespace where the taps are. */
	prefix: string[];
	disk: Disk;
	/** For the kernel, besides ours. */
	kernelArguments?: string[];
	/** More drives, raw and read-only: /dev/vdb and on. */
	drives?: string[];
}

const bootWithinMs = 240_000;
const endWithinMs = 120_000;

/** A machine under QEMU's software emulation, switched off, with a disk of its own over `disk`. */
export async function createVm(options: VmOptions): Promise<Vm> {
	const { prefix, disk, kernelArguments = [], drives = [] } = options;
	const folder = await mkdtemp(join(tmpdir(), "eni-configure-vm-"));
	const overlay = join(folder, "disk.qcow2");
	const consoleLog = join(folder, "console.log");
	await execa("qemu-img", [
		...["create", "-q", "-f", "qcow2", "-F", "raw"],
		...["-b", disk.image, overlay],
	]);
	await writeFile(consoleLog, "");
	let on: Running | undefined;

	interface Running {
		child: ChildProcess;
		qmp: Qmp;
		commands: Socket;
		ended: Promise<void>;
	}
	/** Commands that are out, by number. */
	const out = new Map<
		number,
		{ resolve(result: CommandResult): void; reject(error: Error): void }
	>();
	let last = 0;
	let boots = 0;

	function words(nics: readonly Tap[]): string[] {
		const kernel = [
			...["root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0"],
			// Under emulation the first lets a system call cost half, the second a process a third: at another address the same
			// code is translated anew.
			...["mitigations=off", "norandmaps"],
			...["loglevel=5", "systemd.show_status=1"],
			...kernelArguments,
		];
		return [
			...["-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "1"],
			...["-m", "1024", "-nodefaults", "-no-user-config", "-display", "none"],
			"-no-reboot",
			...["-kernel", disk.kernel, "-initrd", disk.initrd],
			...["-append", kernel.join(" ")],
			...["-drive", `file=${overlay},if=virtio,format=qcow2`],
			...drives.flatMap((file) => [
				"-drive",
				`file=${file},if=virtio,format=raw,readonly=on`,
			]),
			...["-object", "rng-random,id=random,filename=/dev/urandom"],
			...["-device", "virtio-rng-pci,rng=random"],
			...["-chardev", `file,id=console,path=${consoleLog},append=on`],
			...["-serial", "chardev:console"],
			...["-chardev", socketAt("commands"), "-serial", "chardev:commands"],
			...["-chardev", socketAt("qmp"), "-mon", "chardev=qmp,mode=control"],
			...nics.flatMap(({ port, mac }) => [
				...["-netdev", `tap,id=${port},ifname=${port},script=no,downscript=no`],
				...[
					"-device",
					`virtio-net-pci,id=${port}-nic,netdev=${port},mac=${mac}`,
				],
			]),
		];
	}
	const socketAt = (name: string) =>
		`socket,id=${name},path=${join(folder, name)},server=on,wait=off`;

	async function powerOn(nics: readonly Tap[]): Promise<void> {
		if (on) throw new Error("the machine is on already");
		const [program, ...rest] = [
			...prefix,
			"qemu-system-x86_64",
			...words(nics),
		];
		const child = spawn(program as string, rest, {
			stdio: ["ignore", "ignore", "pipe"],
		});
		let stderr = "";
		child.stderr?.on("data", (more) => {
			stderr += more;
		});
		let failed: ((error: Error) => void) | undefined;
		const died = new Promise<never>((_, reject) => {
			failed = reject;
		});
		died.catch(() => {});
		const ended = new Promise<void>((resolve) =>
			child.once("close", () => {
				on = undefined;
				failOpen(`the machine went off ${stderr}`);
				failed?.(new Error(`QEMU ended: ${stderr}`));
				resolve();
			}),
		);
		child.once("error", (error) => failed?.(error));
		const qmp = await Promise.race([openQmp(join(folder, "qmp")), died]);
		const commands = await connect(join(folder, "commands"));
		createInterface({ input: commands }).on("line", hear);
		on = { child, qmp, commands, ended };
		await Promise.race([booted(boots + 1), died]);
	}

	function hear(line: string): void {
		const [head = "", ...rest] = line.replace(/\r$/, "").split(" ");
		if (head === "@ready") {
			boots += 1;
			failOpen("the machine rebooted");
			return;
		}
		const one = out.get(Number(head.slice(1)));
		if (!head.startsWith("@") || !one) return;
		out.delete(Number(head.slice(1)));
		const [code, stdout = "-", stderr = "-"] = rest;
		one.resolve({
			stdout: decode(stdout),
			stderr: decode(stderr),
			exitCode: Number(code),
		});
	}

	function failOpen(why: string): void {
		for (const one of out.values()) one.reject(new Error(why));
		out.clear();
	}

	async function booted(number: number): Promise<void> {
		const limit = Date.now() + bootWithinMs;
		while (boots < number) {
			if (Date.now() > limit)
				throw new Error(
					`no boot within ${bootWithinMs} ms:\n${(await console()).slice(-3000)}`,
				);
			await sleep(10);
		}
	}

	function run(script: string, timeoutMs = 60_000): Promise<CommandResult> {
		const commands = on?.commands;
		if (!commands) return Promise.reject(new Error("the machine is off"));
		last += 1;
		const number = last;
		return new Promise((resolve, reject) => {
			// The guest itself ends what takes longer; this is for a guest that hangs.
			const timer = setTimeout(() => {
				out.delete(number);
				reject(
					new Error(`no answer within ${timeoutMs + 30_000} ms: ${script}`),
				);
			}, timeoutMs + 30_000);
			const done =
				<T>(then: (value: T) => void) =>
				(value: T) => {
					clearTimeout(timer);
					then(value);
				};
			out.set(number, { resolve: done(resolve), reject: done(reject) });
			commands.write(
				`${number} ${Math.ceil(timeoutMs / 1000)} ${Buffer.from(script).toString("base64")}\n`,
			);
		});
	}

	async function shell(script: string, timeoutMs?: number): Promise<string> {
		const { stdout, stderr, exitCode } = await run(script, timeoutMs);
		if (exitCode === 0) return stdout;
		throw new Error(`exit code ${exitCode} of ${script}\n${stdout}${stderr}`);
	}

	const running = (): Running => {
		if (!on) throw new Error("the machine is off");
		return on;
	};

	async function offWithin(ended: Promise<void>, child: ChildProcess) {
		let isLate = false;
		const timer = setTimeout(() => {
			isLate = true;
			child.kill("SIGKILL");
		}, endWithinMs);
		await ended;
		clearTimeout(timer);
		if (isLate) throw new Error(`not off within ${endWithinMs} ms`);
	}

	async function plug({ port, mac }: Tap): Promise<number> {
		const { qmp } = running();
		await qmp.execute("netdev_add", {
			...{ type: "tap", id: port, ifname: port },
			...{ script: "no", downscript: "no" },
		});
		const atMs = Date.now();
		await qmp.execute("device_add", {
			...{ driver: "virtio-net-pci", id: `${port}-nic` },
			...{ netdev: port, mac },
		});
		return atMs;
	}

	async function unplug({ port }: Tap): Promise<void> {
		const { qmp } = running();
		await qmp.execute("device_del", { id: `${port}-nic` });
		await qmp.event("DEVICE_DELETED", `${port}-nic`, 30_000);
		await qmp.execute("netdev_del", { id: port });
	}

	async function cutPower(): Promise<void> {
		const { child, ended } = running();
		child.kill("SIGKILL");
		await ended;
	}

	const console = () => readFile(consoleLog, "utf8");

	async function keepLogs(name: string): Promise<string> {
		await mkdir(logFolder, { recursive: true });
		const to = join(
			logFolder,
			`${name.replace(/[^\w]+/g, "-").slice(0, 100)}.log`,
		);
		const seen = on
			? await run(
					`journalctl -b --no-pager -o short-monotonic; ip addr; ip rule; ip route show table all
					ls -la /etc/sysconfig/network-scripts; tail -n +1 /etc/sysconfig/network-scripts/*-eth*
					cat /var/lib/eni-configure/*.json /run/eni-configure/status.json`,
				).catch((error) => ({ stdout: `${error}` }))
			: { stdout: "the machine is off" };
		await writeFile(to, `${await console()}\n\n${seen.stdout}`);
		return to;
	}

	return {
		powerOn,
		cutPower,
		async powerOff() {
			const { child, ended } = running();
			await run("systemctl --no-block poweroff").catch(() => {});
			await offWithin(ended, child);
		},
		async reboot(nics) {
			const { child, ended } = running();
			await run("systemctl --no-block reboot").catch(() => {});
			await offWithin(ended, child);
			await powerOn(nics);
		},
		plug,
		unplug,
		run,
		shell,
		console,
		keepLogs,
		isOn: () => on !== undefined,
		async close() {
			if (on) await cutPower();
			await rm(folder, { recursive: true, force: true });
		},
	};
}

function decode(text: string): string {
	return text === "-" ? "" : Buffer.from(text, "base64").toString("utf8");
}

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}
