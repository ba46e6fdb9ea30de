import { buildPrograms } from "./build-programs";
import { createSandbox, type Sandbox } from "./sandbox";

/** The main job in front of a newcomer's eyes. Ends with exit code 1 when anything is not as shown. */
const addresses = ["10.0.1.20", "10.0.1.21", "10.0.1.22"];
const further = "10.0.1.23";
const scripts = "/etc/sysconfig/network-scripts";
const start = process.hrtime.bigint();

function say(text = ""): void {
	process.stdout.write(`${text}\n`);
}

function elapsed(): string {
	return `${(Number(process.hrtime.bigint() - start) / 1e9).toFixed(2).padStart(6)} s`;
}

function title(text: string): void {
	say(`\n== ${text}`);
}

function live(text: string): void {
	for (const line of text.trimEnd().split("\n")) say(`${elapsed()}  ${line}`);
}

function indent(text: string): void {
	for (const line of text.trimEnd().split("\n")) say(`           ${line}`);
}

function insist(condition: boolean, what: string): void {
	if (!condition) throw new Error(`not as it should be: ${what}`);
}

async function show(sandbox: Sandbox, ...argv: string[]): Promise<void> {
	indent(`$ ${argv.join(" ")}`);
	const { stdout, stderr } = await sandbox.guest(argv);
	indent(`${stdout}${stderr}` || "(nothing)");
}

/** Asks an address from afar until it answers, or not any more. */
async function ask(
	sandbox: Sandbox,
	address: string,
	isExpected: boolean,
): Promise<void> {
	const limitMs = Date.now() + 15_000;
	for (;;) {
		const timeoutMs = isExpected ? 1000 : 200;
		const answers = await sandbox.reach(address, { timeoutMs });
		if (answers === isExpected) break;
		insist(
			Date.now() < limitMs,
			`${address} ${answers ? "answers" : "does not answer"}`,
		);
	}
	live(`${sandbox.far} -> ${address}: ${isExpected ? "answers" : "no answer"}`);
}

/** The daemon in the guest; its log is shown as it comes. */
async function startDaemon(sandbox: Sandbox) {
	// DEMO_NODE: another Node for the agent than the one that runs the demonstration.
	const { DEMO_NODE: node } = process.env;
	const child = sandbox.spawnAgent(["daemon"], node ? { node } : {});
	const lines: string[] = [];
	let rest = "";
	child.stderr?.on("data", (chunk: Buffer) => {
		const parts = (rest + chunk.toString()).split("\n");
		rest = parts.pop() ?? "";
		for (const line of parts) live(line);
		lines.push(...parts);
	});
	return {
		async waitFor(pattern: RegExp, limitS: number): Promise<void> {
			const limitMs = Date.now() + limitS * 1000;
			while (!lines.some((line) => pattern.test(line))) {
				insist(child.exitCode === null, "the daemon has ended");
				insist(Date.now() < limitMs, `no line like ${pattern} in ${limitS} s`);
				await new Promise((resolve) => setTimeout(resolve, 2));
			}
		},
		lookNow: () => child.kill("SIGHUP"),
		async stop(): Promise<void> {
			child.kill("SIGTERM");
			const { exitCode } = await child;
			insist(exitCode === 0, `the daemon ended with ${exitCode}`);
		},
	};
}

async function demonstrate(sandbox: Sandbox): Promise<void> {
	title(
		"A guest with eth0 (10.0.1.10) in a VPC that drops what leaves by the wrong NIC",
	);
	indent(
		"Real kernel, real ip, namespaces of their own; your machine's network is not touched.",
	);
	const before = await sandbox.snapshot();
	const probe = await sandbox.probe("10.0.1.10");

	title("The daemon starts, as its systemd service would");
	const daemon = await startDaemon(sandbox);
	await daemon.waitFor(/watching for NICs/, 10);

	title("The operator binds an ENI with three private IPs: eth1 appears");
	await sandbox.plug({ name: "eth1", subnet: "10.0.1.0/24", addresses });
	live("plugged in; from here on nobody does anything inside the guest");
	for (const address of addresses) await ask(sandbox, address, true);
	await daemon.waitFor(/eth1: configured .*plugged in/, 10);
	await show(sandbox, "ip", "-o", "-4", "addr", "show", "eth1");
	await show(sandbox, "ip", "rule");
	await show(sandbox, "ip", "route", "show", "table", "1001");
	await show(sandbox, "cat", `${scripts}/ifcfg-eth1`);

	title("The operator assigns one more private IP");
	await sandbox.assign("eth1", further);
	live(
		"assigned; seen at the next look, within 60 s (the demonstration sends SIGHUP: now)",
	);
	daemon.lookNow();
	await ask(sandbox, further, true);
	await daemon.waitFor(/eth1: added 10\.0\.1\.23: assigned/, 10);

	title("Somebody deletes an address by hand");
	await sandbox.ip("addr", "del", "10.0.1.21/32", "dev", "eth1");
	live("$ ip addr del 10.0.1.21/32 dev eth1");
	await daemon.waitFor(/eth1: put right: 10\.0\.1\.21\/32 was missing/, 10);
	await ask(sandbox, "10.0.1.21", true);

	title("The operator releases the private IP again");
	await sandbox.release("eth1", further);
	live(
		"released; believed when the metadata service has said so twice, 30 s apart",
	);
	daemon.lookNow();
	await daemon.waitFor(/eth1: removed 10\.0\.1\.23: released/, 60);
	for (const address of addresses) await ask(sandbox, address, true);

	title("The operator unbinds the ENI");
	await sandbox.unplug("eth1");
	live("unplugged");
	await daemon.waitFor(/eth1: removed .*unplugged/, 10);
	await daemon.stop();
	const { sent, lost } = await probe.stop();
	const after = await sandbox.snapshot();
	insist(after === before, "the guest differs from what it was at the start");
	indent(
		"difference to the guest before (links, addresses, rules, routes, sysctls, files): none",
	);
	indent(`eth0 meanwhile: ${sent} probes from the far client, ${lost} lost`);
	insist(sent > 10 && lost === 0, `eth0 lost ${lost} of ${sent} probes`);
}

async function main(): Promise<void> {
	await buildPrograms();
	const sandbox = await createSandbox();
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
		process.once(signal, () => {
			say("\ninterrupted: cleaning up");
			void sandbox.close().finally(() => process.exit(130));
		});
	}
	try {
		await demonstrate(sandbox);
	} finally {
		await sandbox.close();
	}
}

main().then(
	() => say(`\nDone in ${elapsed().trim()}.`),
	(error: Error) => {
		process.stderr.write(`\n${error.message}\n`);
		process.exitCode = 1;
	},
);
