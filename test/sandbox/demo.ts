import { buildPrograms } from "./build-programs";
import { createSandbox, type Sandbox } from "./sandbox";

/** The main job in front of a newcomer's eyes. Ends with exit code 1 when anything is not as shown. */
const addresses = ["10.0.1.20", "10.0.1.21", "10.0.1.22"];
const scripts = "/etc/sysconfig/network-scripts";

interface Report {
	outcome: string;
	steps: { summary: string; ms: number }[];
	findings: object[];
	timings: Record<string, number>;
}

function say(text = ""): void {
	process.stdout.write(`${text}\n`);
}

function title(text: string): void {
	say(`\n== ${text}`);
}

function indent(text: string): void {
	for (const line of text.trimEnd().split("\n")) say(`   ${line}`);
}

function insist(condition: boolean, what: string): void {
	if (!condition) throw new Error(`not as it should be: ${what}`);
}

async function askAll(sandbox: Sandbox, isExpected: boolean): Promise<void> {
	for (const address of addresses) {
		const start = process.hrtime.bigint();
		const answers = await sandbox.reach(address, {
			timeoutMs: isExpected ? 3000 : 300,
		});
		const ms = Number(process.hrtime.bigint() - start) / 1e6;
		indent(
			`${sandbox.far} -> ${address}  ${answers ? `answered after ${ms.toFixed(1)} ms` : "no answer"}`,
		);
		insist(
			answers === isExpected,
			`${address} ${answers ? "answers" : "does not answer"}`,
		);
	}
}

async function agent(sandbox: Sandbox, args: string[]): Promise<Report> {
	say(`   $ eni-configure ${args.join(" ")}`);
	// DEMO_NODE: another Node for the agent than the one that runs the demonstration.
	const { DEMO_NODE: node } = process.env;
	const result = await sandbox.agent([...args, "--json"], node ? { node } : {});
	const report = result.json<Report>();
	for (const { summary, ms } of report.steps)
		indent(`${ms.toFixed(1).padStart(7)} ms  ${summary}`);
	const phases = Object.entries(report.timings).map(
		([phase, ms]) => `${phase.replace(/Ms$/, "")} ${ms.toFixed(0)}`,
	);
	indent(`${report.outcome}; phases in ms: ${phases.join(", ")}`);
	insist(
		result.exitCode === 0 && report.outcome === "applied",
		`${args.join(" ")}: exit code ${result.exitCode}, ${report.outcome} ${result.stderr}`,
	);
	insist(
		report.findings.length === 0,
		`findings ${JSON.stringify(report.findings)}`,
	);
	return report;
}

async function show(sandbox: Sandbox, ...argv: string[]): Promise<void> {
	say(`   $ ${argv.join(" ")}`);
	const { stdout, stderr } = await sandbox.guest(argv);
	indent(stdout + stderr);
}

async function demonstrate(sandbox: Sandbox): Promise<void> {
	title(
		"A guest with eth0 (10.0.1.10) in a VPC that drops what leaves by the wrong NIC",
	);
	indent(
		"Real kernel, real ip, namespaces of their own; your machine's network is not touched.",
	);

	title(
		"The operator binds an ENI with three private IPs: eth1 appears, and nothing happens",
	);
	await sandbox.plug({ name: "eth1", subnet: "10.0.1.0/24", addresses });
	await show(sandbox, "ip", "addr", "show", "eth1");
	await askAll(sandbox, false);
	const before = await sandbox.snapshot();

	title("Steps 5 to 8 of the product guide, in one command");
	const probe = await sandbox.probe("10.0.1.10");
	await agent(sandbox, ["eth1"]);

	title("What the guest looks like now");
	await show(sandbox, "ip", "addr", "show", "eth1");
	await show(sandbox, "ip", "rule");
	await show(sandbox, "ip", "route", "show", "table", "1001");
	for (const file of ["ifcfg", "route", "rule"])
		await show(sandbox, "cat", `${scripts}/${file}-eth1`);
	await show(sandbox, "tail", "-n", "8", "/etc/sysctl.conf");

	title("A client elsewhere in the VPC asks again");
	await askAll(sandbox, true);

	title("Taken away again");
	await agent(sandbox, ["remove", "eth1"]);
	const { sent, lost } = await probe.stop();
	const after = await sandbox.snapshot();
	insist(after === before, "the guest after remove differs from before");
	indent(
		"difference to before eth1 was configured (links, addresses, rules, routes, sysctls, files): none",
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

const start = process.hrtime.bigint();
main().then(
	() =>
		say(
			`\nDone in ${(Number(process.hrtime.bigint() - start) / 1e9).toFixed(1)} s.`,
		),
	(error: Error) => {
		process.stderr.write(`\n${error.message}\n`);
		process.exitCode = 1;
	},
);
