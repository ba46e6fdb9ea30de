import { describe, expect, test } from "vitest";
import { run } from "./agent";
import { addressesOn, linkText, outcomes, scripts } from "./expectations";
import { createFakeHost, type FakeHost } from "./fake-host";
import { respond } from "./metadata";
import { failWhere } from "./operations";

const eth1 = { name: "eth1", addresses: ["10.0.1.62", "10.0.1.63"] };
const further = ["10.0.1.20", "10.0.1.21", "10.0.1.22"];
const own = "10.0.1.10/24";
const config = "/etc/eni-configure/config.yaml";
const floating = "10.0.1.99/32";
const all = { all: true };
const prune = { all: true, prune: true };

function setManaged(host: FakeHost, isOn: boolean): void {
	host.write(config, `managePrimary: ${isOn}\n`);
}

/** A guest whose primary has three further private IPs in the cloud, and a floating address that the cloud does not know. */
async function guest(
	enis: { name: string; addresses: string[] }[] = [],
	managePrimary = true,
): Promise<FakeHost> {
	const host = await createFakeHost({ enis });
	setManaged(host, managePrimary);
	for (const ip of further) host.assign("eth0", ip);
	await host.type(`ip addr add ${floating} dev eth0`);
	return host;
}

async function managed(): Promise<FakeHost> {
	const host = await guest();
	expect((await run(host, "configure", "", all)).outcome).toBe("applied");
	expect(addressesOn(host, "eth0")).toEqual(on(...further));
	return host;
}

/** What stands on eth0: its own, the floating one, and these as /32. */
function on(...ips: string[]): string[] {
	return [own, floating, ...ips.map((ip) => `${ip}/32`)].sort();
}

function notesOf(notes: { link?: string; text: string }[]): string {
	return notes
		.filter(({ link }) => link === "eth0")
		.map(({ text }) => text)
		.join("\n");
}

describe("added", () => {
	test.each([
		["without any secondary", []],
		["beside a new secondary", [eth1]],
	])("%s, live and never through a file", async (_, enis) => {
		const host = await guest(enis);
		const file = host.read(`${scripts}/ifcfg-eth0`)?.content;
		const report = await run(host, "configure", "", all);
		expect(report.findings).toEqual([]);
		expect(report.interfaces.find(({ name }) => name === "eth0")).toMatchObject(
			{
				primary: true,
				outcome: "applied",
				addresses: [own, floating, ...further.map((ip) => `${ip}/32`)],
			},
		);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		expect(host.read(`${scripts}/ifcfg-eth0`)?.content).toBe(file);
		expect(
			host.operations
				.list()
				.filter(
					({ kind, target }) => kind === "command" && /eth0/.test(target),
				),
		).toEqual([]);
		if (enis.length > 0)
			expect(addressesOn(host, "eth1")).toEqual([
				"10.0.1.62/24",
				"10.0.1.63/32",
			]);
	});

	test("a second run does nothing and writes nothing", async () => {
		const host = await managed();
		const snapshot = host.snapshot();
		const second = await run(host, "configure", "", all);
		expect({ outcome: second.outcome, steps: second.steps }).toEqual({
			outcome: "unchanged",
			steps: [],
		});
		expect(notesOf(second.notes)).toBe("");
		expect(host.operations.list()).toEqual([]);
		expect(host.snapshot()).toBe(snapshot);
	});

	test("`plan` shows it and does nothing", async () => {
		const host = await guest();
		const before = host.snapshot();
		const plan = await run(host, "plan", "", all);
		expect(outcomes(plan)).toEqual({ eth0: "planned" });
		expect(plan.steps.map(({ summary }) => summary)).toEqual(
			further.map((ip) => `ip addr add ${ip}/32 brd ${ip} label eth0 dev eth0`),
		);
		expect(host.snapshot()).toBe(before);
	});

	test("again, after a reboot or after somebody deleted one", async () => {
		const host = await managed();
		await host.type("ip addr del 10.0.1.21/32 dev eth0");
		expect(outcomes(await run(host, "configure", "", all)).eth0).toBe(
			"applied",
		);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		await host.reboot();
		expect(addressesOn(host, "eth0")).toEqual([own]);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(
			[own, ...further.map((ip) => `${ip}/32`)].sort(),
		);
	});

	test("not where the setting is off, or a run names NICs", async () => {
		const host = await guest([eth1], false);
		const off = await run(host, "configure", "", all);
		expect(notesOf(off.notes)).toContain("reported, not configured");
		expect(addressesOn(host, "eth0")).toEqual(on());
		setManaged(host, true);
		await run(host, "configure", "eth1");
		expect(addressesOn(host, "eth0")).toEqual(on());
	});

	test("an unchanged secondary is not called applied for it", async () => {
		const host = await guest([eth1]);
		await run(host, "configure", "eth1");
		expect(outcomes(await run(host, "configure", "", all))).toEqual({
			eth0: "applied",
			eth1: "unchanged",
		});
	});

	test("`restart: service` is not for the primary's addresses, and `restart: none` leaves them alone", async () => {
		const host = await guest([eth1]);
		await run(host, "configure", "eth1");
		await run(host, "configure", "", { ...all, restart: "none" });
		expect(addressesOn(host, "eth0")).toEqual(on());
		await run(host, "configure", "", { ...all, restart: "service" });
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		expect(
			host.operations.list().filter(({ kind }) => kind === "command"),
		).toEqual([]);
	});

	test("a restart of the service drops them, and they are there again at its end", async () => {
		const host = await managed();
		host.plug(eth1);
		const report = await run(host, "configure", "", {
			...all,
			restart: "service",
			force: true,
		});
		expect(report.exitCode).toBe(0);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});
});

describe("not added: what is somebody else's", () => {
	const held: [
		string,
		string,
		(host: FakeHost) => Promise<unknown> | unknown,
	][] = [
		[
			"it stands on another link",
			"stands on docker0",
			async (host) => {
				host.addLink({
					name: "docker0",
					mac: "02:42:ac:11:00:01",
					driver: undefined,
					devtype: "bridge",
				});
				await host.type("ip addr add 10.0.1.21/32 dev docker0");
			},
		],
		[
			"it is routed to a container",
			"is routed to docker0",
			async (host) => {
				host.addLink({
					name: "docker0",
					mac: "02:42:ac:11:00:01",
					driver: undefined,
					devtype: "bridge",
				});
				await host.type("ip route add 10.0.1.21/32 dev docker0");
			},
		],
		[
			"a pod's rule names it",
			"is named by the rule",
			(host) => host.type("ip rule add to 10.0.1.21 lookup 77 priority 1024"),
		],
		[
			"it is a gateway, even of the primary itself",
			"is the gateway of eth0",
			(host) => host.type("ip route add 10.6.0.0/16 via 10.0.1.21 dev eth0"),
		],
		[
			"its owner's file for eth0 names it",
			"stands in ifcfg-eth0:1",
			(host) =>
				host.write(
					`${scripts}/ifcfg-eth0:1`,
					"DEVICE=eth0:1\nIPADDR=10.0.1.21\nPREFIX=24\nONBOOT=yes\n",
				),
		],
		[
			"metadata gives it to another ENI as well",
			"is given to eth1 as well",
			(host) =>
				host.plug({ name: "eth1", addresses: ["10.0.1.62", "10.0.1.21"] }),
		],
	];
	test.each(held)("%s", async (_, reason, claim) => {
		const host = await guest();
		await claim(host);
		const { notes, exitCode } = await run(host, "configure", "", all);
		expect(exitCode).toBe(0);
		expect(notesOf(notes)).toContain(`10.0.1.21 ${reason}`);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.20", "10.0.1.22"));
	});

	test("one of another subnet is reported", async () => {
		const host = await guest();
		host.assign("eth0", "10.0.9.9");
		const { notes } = await run(host, "configure", "", all);
		expect(notesOf(notes)).toContain(
			"10.0.9.9 in the cloud and not in the guest (another subnet): reported",
		);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});

	test("one that stands already is its owner's: neither added nor ever taken away", async () => {
		const host = await guest();
		await host.type("ip addr add 10.0.1.21/32 dev eth0");
		await run(host, "configure", "", all);
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21"));
	});

	test("a container network of the cloud's own owns them all", async () => {
		const host = await guest();
		host.write(
			"/etc/cni/net.d/10-tke.conf",
			'{"name":"tke","type":"tke-route-eni"}',
		);
		const { notes } = await run(host, "configure", "", all);
		expect(notesOf(notes)).toContain("container network");
		expect(addressesOn(host, "eth0")).toEqual(on());
	});
});

describe("a list that cannot be this machine's changes nothing", () => {
	const lists: [string, (host: FakeHost) => void][] = [
		[
			"another machine's addresses",
			(host) => {
				host.release("eth0", "10.0.1.10");
				for (const ip of further) host.release("eth0", ip);
				host.assign("eth0", "10.0.1.77");
			},
		],
		["no list of addresses", (host) => override(host, { "": "not available" })],
		["an error", (host) => override(host, () => respond(500, "oops"))],
	];
	function override(host: FakeHost, node: unknown): void {
		const { network } = host.metadata.tree as never as {
			network: { interfaces: { macs: Record<string, object> } };
		};
		const { macs } = network.interfaces;
		const [mac = ""] = Object.keys(macs);
		macs[mac] = { ...macs[mac], "local-ipv4s": node };
	}

	test.each(lists)("%s: pending, with exit 4", async (_, spoil) => {
		const host = await managed();
		spoil(host);
		const before = host.snapshot() + host.record();
		const report = await run(host, "configure", "", prune);
		expect({ exitCode: report.exitCode, eth0: outcomes(report).eth0 }).toEqual({
			exitCode: 4,
			eth0: "pending",
		});
		expect(host.snapshot() + host.record()).toBe(before);
	});

	test("another primary than the one in use", async () => {
		const host = await guest([eth1]);
		const { tree } = host.metadata;
		tree.mac = "52:54:00:BF:B3:77";
		const before = addressesOn(host, "eth0");
		const report = await run(host, "configure", "", all);
		expect(outcomes(report).eth0).toBe("pending");
		expect(addressesOn(host, "eth0")).toEqual(before);
	});
});

describe("released", () => {
	test("kept and reported without --prune, gone with it; the others and the floating one stay", async () => {
		const host = await managed();
		host.release("eth0", "10.0.1.20");
		const kept = await run(host, "configure", "", all);
		expect(notesOf(kept.notes)).toContain(
			"10.0.1.20 is no longer listed by the metadata service: kept",
		);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		const pruned = await run(host, "configure", "", prune);
		expect({ exitCode: pruned.exitCode, findings: pruned.findings }).toEqual({
			exitCode: 0,
			findings: [],
		});
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21", "10.0.1.22"));
		expect((await run(host, "configure", "", all)).outcome).toBe("unchanged");
	});

	test("one that is gone from the link, too, is not brought back", async () => {
		const host = await managed();
		host.release("eth0", "10.0.1.20");
		await host.type("ip addr del 10.0.1.20/32 dev eth0");
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21", "10.0.1.22"));
	});

	test("moved to a secondary: one run takes it from the one and gives it to the other", async () => {
		const host = await managed();
		host.release("eth0", "10.0.1.20");
		host.plug({ name: "eth1", addresses: ["10.0.1.62", "10.0.1.20"] });
		const report = await run(host, "configure", "", prune);
		expect(report.exitCode).toBe(0);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21", "10.0.1.22"));
		expect(addressesOn(host, "eth1")).toEqual(["10.0.1.20/32", "10.0.1.62/24"]);
	});
});

test("released in a run that restarts the service: not put back with what the restart dropped", async () => {
	const host = await managed();
	host.plug(eth1);
	host.release("eth0", "10.0.1.20");
	const values = { ...prune, restart: "service", force: true };
	expect((await run(host, "configure", "", values)).exitCode).toBe(0);
	expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21", "10.0.1.22"));
});

test("a NIC rolled back after a restart of the service: the released one is back, and the next run takes it", async () => {
	const host = await managed();
	host.plug(eth1);
	host.plug({ name: "eth2", addresses: ["10.0.3.62"] });
	host.release("eth0", "10.0.1.20");
	host.silent.add("eth1");
	const values = { ...prune, restart: "service", force: true };
	expect((await run(host, "configure", "", values)).exitCode).toBe(3);
	expect(addressesOn(host, "eth0")).toEqual(on(...further));
	await host.clock.sleep(61_000);
	await run(host, "configure", "", prune);
	expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21", "10.0.1.22"));
});

describe("switched off again", () => {
	test("what was added goes, and nothing else; once", async () => {
		const host = await guest([eth1]);
		const before = linkText(host, "eth0");
		await run(host, "configure", "", all);
		setManaged(host, false);
		const off = await run(host, "configure", "", all);
		expect(outcomes(off)).toEqual({ eth0: "applied", eth1: "unchanged" });
		expect(linkText(host, "eth0")).toBe(before);
		await host.type("ip addr add 10.0.1.20/32 dev eth0");
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.20"));
	});

	test("without an answer of the metadata service as well", async () => {
		const host = await managed();
		host.metadata.trouble = respond(500, "");
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on());
	});

	test("what its owner has written into ifcfg-eth0 meanwhile stays", async () => {
		const host = await managed();
		const file = host.read(`${scripts}/ifcfg-eth0`)?.content;
		host.write(
			`${scripts}/ifcfg-eth0`,
			`${file}IPADDR1=10.0.1.21\nPREFIX1=32\n`,
		);
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on("10.0.1.21"));
	});

	test("what stands after a boot without our doing stays", async () => {
		const host = await managed();
		await host.reboot();
		await host.type("ip addr add 10.0.1.21/32 dev eth0");
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual([own, "10.0.1.21/32"]);
	});

	test("a secondary's removal does not touch them", async () => {
		const host = await guest([eth1]);
		await run(host, "configure", "", all);
		const before = host.snapshot();
		await run(host, "remove", "eth0");
		expect(host.snapshot()).toBe(before);
		await run(host, "remove", "eth1");
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on());
	});
});

describe("what fails is rolled back, by itself", () => {
	const refuse = (host: FakeHost, ip: string) =>
		host.operations.setFaults(
			failWhere(
				({ kind, target }) =>
					kind === "ip" && target.includes(`addr add ${ip}/32`),
			),
		);

	test("an address that cannot be added costs no secondary, and is not tried again at once", async () => {
		const host = await guest([eth1]);
		refuse(host, "10.0.1.21");
		const report = await run(host, "configure", "", all);
		expect({ exitCode: report.exitCode, ...outcomes(report) }).toEqual({
			exitCode: 3,
			eth0: "rolled-back",
			eth1: "applied",
		});
		expect(addressesOn(host, "eth0")).toEqual(on());
		expect(addressesOn(host, "eth1")).toHaveLength(2);
		host.operations.setFaults(undefined);
		const soon = await run(host, "configure", "", all);
		expect({ exitCode: soon.exitCode, eth0: outcomes(soon).eth0 }).toEqual({
			exitCode: 3,
			eth0: "pending",
		});
		await host.clock.sleep(61_000);
		expect((await run(host, "configure", "", all)).exitCode).toBe(0);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});

	test("what was rolled back is no part of the change that `rollback` undoes", async () => {
		const host = await guest([eth1]);
		refuse(host, "10.0.1.21");
		await run(host, "configure", "", all);
		host.operations.setFaults(undefined);
		expect(outcomes(await run(host, "rollback", ""))).toEqual({
			eth1: "applied",
		});
		await host.clock.sleep(61_000);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});

	test("a secondary that cannot be brought up costs the primary none of them", async () => {
		const host = await guest([eth1]);
		const before = linkText(host, "eth1");
		const sysctls = host.read("/etc/sysctl.conf")?.content;
		host.silent.add("eth1");
		const report = await run(host, "configure", "", all);
		expect({ exitCode: report.exitCode, ...outcomes(report) }).toEqual({
			exitCode: 3,
			eth0: "applied",
			eth1: "rolled-back",
		});
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		expect(linkText(host, "eth1")).toBe(before);
		expect(host.read("/etc/sysctl.conf")?.content).toBe(sysctls);
		expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("1");
		// Only what held is left to be undone.
		await run(host, "rollback", "");
		expect(addressesOn(host, "eth0")).toEqual(on());
	});

	test("damage to the primary itself still rolls everything back", async () => {
		const host = await guest([eth1]);
		await run(host, "configure", "", all);
		host.release("eth0", "10.0.1.20");
		host.assign("eth1", "10.0.1.64");
		const before = addressesOn(host, "eth1");
		host.operations.setFaults((operation) => {
			if (
				operation.kind === "ip" &&
				operation.target.includes("addr del 10.0.1.20/32")
			)
				host.kernel.link("eth0")?.addresses.shift();
			return undefined;
		});
		const report = await run(host, "configure", "", prune);
		expect(report.findings).toContainEqual(
			expect.objectContaining({ link: "eth0", kind: "primary-address" }),
		);
		expect(outcomes(report)).toEqual({
			eth0: "rolled-back",
			eth1: "rolled-back",
		});
		expect(addressesOn(host, "eth1")).toEqual(before);
		expect(addressesOn(host, "eth0")).toContain("10.0.1.20/32");
	});
});

describe("rollback", () => {
	test("takes what was added away again, and --all does not bring it back until the setting is changed", async () => {
		const host = await guest([eth1]);
		const before = host.snapshot();
		await run(host, "configure", "", all);
		const back = await run(host, "rollback", "");
		expect({ exitCode: back.exitCode, ...outcomes(back) }).toEqual({
			exitCode: 0,
			eth0: "applied",
			eth1: "applied",
		});
		expect(host.snapshot()).toBe(before);
		const again = await run(host, "configure", "", all);
		expect(notesOf(again.notes)).toContain("left alone until managePrimary");
		expect(addressesOn(host, "eth0")).toEqual(on());
		for (const isOn of [false, true]) {
			setManaged(host, isOn);
			await run(host, "configure", "", all);
		}
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});

	test("gives back what was taken away, and it stays ours", async () => {
		const host = await managed();
		host.release("eth0", "10.0.1.20");
		await run(host, "configure", "", prune);
		await run(host, "rollback", "");
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		setManaged(host, false);
		await run(host, "configure", "", all);
		expect(addressesOn(host, "eth0")).toEqual(on());
	});

	test("of a later change to a secondary leaves them", async () => {
		const host = await guest([eth1]);
		await run(host, "configure", "", all);
		host.assign("eth1", "10.0.1.64");
		await run(host, "configure", "", all);
		await run(host, "rollback", "");
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
		expect((await run(host, "configure", "", all)).exitCode).toBe(0);
		expect(addressesOn(host, "eth0")).toEqual(on(...further));
	});
});

test("a record from before this setting is read as it is", async () => {
	const host = await guest([eth1], false);
	await run(host, "configure", "", all);
	expect(host.read("/var/lib/eni-configure/state.json")?.content).not.toContain(
		"extras",
	);
	setManaged(host, true);
	await run(host, "configure", "", all);
	expect(addressesOn(host, "eth0")).toEqual(on(...further));
});
