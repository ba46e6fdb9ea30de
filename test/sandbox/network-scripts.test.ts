import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createSandbox, type Sandbox } from "./sandbox";

// The stand-ins obey what is known of CentOS 7.2's network-scripts (initscripts 9.49.30).
const scripts = "/etc/sysconfig/network-scripts";
const subnet = "10.0.1.0/24";
const base = { DEVICE: "eth1", ONBOOT: "yes", NOZEROCONF: "yes" };

let sb: Sandbox;
beforeAll(async () => {
	sb = await createSandbox();
	await sb.write("/run/sandbox/pristine", await sb.snapshot());
	// The service restarts eth0 too; its duplicate-address probe is not what is tested.
	await sb.fault("arp-wait@eth0", "0");
});
afterAll(() => sb.close());

/** Back to a guest with eth0 only. */
afterEach(async () => {
	await sb.clearFaults();
	await sb.fault("arp-wait@eth0", "0");
	const script = `
		cd ${scripts}
		rm -f *-eth1* .ifcfg* ifcfg-eth7 ifcfg-odd; rm -rf /run/NetworkManager /run/sandbox/nm
		ip link show eth1 >/dev/null 2>&1 && ip addr flush dev eth1 scope global && ip link set eth1 down
		while read -r line; do ip rule del $line; done < <(ip rule | sed -n 's/^[0-9]*:\\tfrom 10\\./from 10./p')
		systemctl restart network`;
	await sb.guest(["bash", "-c", script]);
	await sb.clearCalls();
});

function ifcfg(values: Record<string, string>): string {
	return Object.entries({ ...base, ARPCHECK: "no", ...values })
		.map(([key, value]) => `${key}=${value}\n`)
		.join("");
}

async function writeNic(values: Record<string, string>, nic = "eth1") {
	await sb.write(`${scripts}/ifcfg-${nic}`, ifcfg(values));
}

async function addresses(nic = "eth1"): Promise<string[]> {
	const text = await sb.ip("-o", "-4", "addr", "show", "dev", nic);
	return [...text.matchAll(/inet (\S+)/g)].map(([, address]) => `${address}`);
}

const ifup = () => sb.guest(["ifup", "eth1"]);
const ifdown = () => sb.guest(["ifdown", "eth1"]);
const systemctl = (...words: string[]) => sb.guest(["systemctl", ...words]);
const rules = () => sb.ip("rule");

describe("without the NIC", () => {
	test("ifup says that it delays initialization, and fails", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		const { exitCode, stdout } = await ifup();
		expect(exitCode).toBe(1);
		expect(stdout).toContain(
			"Device eth1 does not seem to be present, delaying initialization.",
		);
	});

	test("the network service fails, and a later restart only starts it", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		const failed = await systemctl("restart", "network");
		expect(failed.exitCode).toBe(1);
		expect((await systemctl("is-active", "network")).stdout).toBe("failed\n");

		await sb.ip("addr", "add", "10.0.1.99/32", "dev", "eth0");
		await sb.remove(`${scripts}/ifcfg-eth1`);
		expect((await systemctl("restart", "network")).exitCode).toBe(0);
		expect(await addresses("eth0")).toContain("10.0.1.99/32");
		expect((await systemctl("restart", "network")).exitCode).toBe(0);
		expect(await addresses("eth0")).not.toContain("10.0.1.99/32");
	});

	test("ifup without a file fails", async () => {
		const { exitCode, stderr } = await ifup();
		expect(exitCode).toBe(1);
		expect(stderr).toContain("configuration for eth1 not found");
	});
});

describe("with a plugged NIC", () => {
	let mac: string;
	beforeAll(async () => {
		({ mac } = await sb.plug({
			name: "eth1",
			subnet,
			addresses: ["10.0.1.20"],
		}));
	});

	test("another MAC than HWADDR makes ifup fail, case does not matter", async () => {
		await writeNic({ HWADDR: mac, IPADDR: "10.0.1.20", PREFIX: "24" });
		expect((await ifup()).exitCode).toBe(0);
		await writeNic({ HWADDR: "52:54:00:00:00:99", IPADDR: "10.0.1.20" });
		const { exitCode, stdout } = await ifup();
		expect(exitCode).toBe(1);
		expect(stdout).toContain("different MAC address than expected, ignoring");
	});

	test("the list of addresses ends at the first gap from 2 on", async () => {
		await writeNic({
			IPADDR: "10.0.1.20",
			PREFIX: "24",
			IPADDR1: "10.0.1.21",
			PREFIX1: "32",
			ARPCHECK1: "no",
			IPADDR2: "10.0.1.22",
			PREFIX2: "32",
			ARPCHECK2: "no",
			IPADDR4: "10.0.1.24",
			PREFIX4: "32",
			ARPCHECK4: "no",
		});
		expect((await ifup()).exitCode).toBe(0);
		expect(await addresses()).toEqual([
			"10.0.1.20/24",
			"10.0.1.21/32",
			"10.0.1.22/32",
		]);
	});

	test("PREFIX beats NETMASK, and without both the class decides", async () => {
		await writeNic({
			IPADDR: "10.0.1.20",
			PREFIX: "26",
			NETMASK: "255.255.255.0",
			IPADDR0: "192.168.5.5",
			ARPCHECK0: "no",
			IPADDR1: "172.16.5.5",
			ARPCHECK1: "no",
			NETMASK1: "255.255.240.0",
			IPADDR2: "10.9.9.9",
			ARPCHECK2: "no",
		});
		await ifup();
		expect((await addresses()).sort()).toEqual([
			"10.0.1.20/26",
			"10.9.9.9/8",
			"172.16.5.5/20",
			"192.168.5.5/24",
		]);
	});

	test("each new address costs a probe of 2 s, unless its ARPCHECK is exactly no", async () => {
		const timed = async () => {
			const start = Date.now();
			await ifup();
			return Date.now() - start;
		};
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		expect(await timed()).toBeLessThan(1000);
		await writeNic({
			IPADDR: "10.0.1.20",
			PREFIX: "24",
			IPADDR1: "10.0.1.21",
			PREFIX1: "32",
			ARPCHECK1: "NO",
		});
		const slow = await timed();
		expect(slow).toBeGreaterThan(1900);
		expect(slow).toBeLessThan(3500);
		expect(await timed()).toBeLessThan(1000);
	});

	test("ifup again adds what is missing, removes nothing, and repeats its rules", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(
			`${scripts}/rule-eth1`,
			"from 10.0.1.20 table 1001 pref 1001\n",
		);
		await ifup();
		await writeNic({ IPADDR: "10.0.1.21", PREFIX: "24" });
		expect((await ifup()).exitCode).toBe(0);
		expect(await addresses()).toEqual(["10.0.1.20/24", "10.0.1.21/24"]);
		const own = (await rules()).match(/1001:\tfrom 10.0.1.20 lookup 1001/g);
		expect(own).toHaveLength(2);
	});

	test("GATEWAY takes the machine's default route, unless DEFROUTE=no or it is outside", async () => {
		const defaultRoute = () => sb.ip("route", "show", "default");
		const own = await defaultRoute();
		const values = { IPADDR: "10.0.2.20", PREFIX: "24", GATEWAY: "10.0.2.1" };
		await writeNic({ ...values, DEFROUTE: "no" });
		await ifup();
		expect(await defaultRoute()).toBe(own);
		await writeNic({ ...values, GATEWAY: "10.0.3.1" });
		await ifup();
		expect(await defaultRoute()).toBe(own);
		await writeNic(values);
		await ifup();
		expect(await defaultRoute()).toBe("default via 10.0.2.1 dev eth1 \n");
	});

	test("without NOZEROCONF a NIC gets 169.254.0.0/16", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", NOZEROCONF: "" });
		await ifup();
		expect(
			await sb.ip("route", "show", "169.254.0.0/16", "dev", "eth1"),
		).toMatch(/scope link metric 10\d\d/);
	});

	test("route and rule files are words for ip, line by line", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(
			`${scripts}/route-eth1`,
			"# a comment\n\n10.0.1.0/24 dev eth1 table 1001\ndefault via 10.0.1.1 dev eth1 table 1001\n",
		);
		await sb.write(
			`${scripts}/rule-eth1`,
			"  # another\nfrom 10.0.1.20/32 table 1001 priority 1001",
		);
		expect((await ifup()).stderr).toBe("");
		expect(await sb.ip("route", "show", "table", "1001")).toBe(
			"default via 10.0.1.1 dev eth1 \n10.0.1.0/24 dev eth1 scope link \n",
		);
		expect(await rules()).toContain("1001:\tfrom 10.0.1.20 lookup 1001");
	});

	test("one ADDRESSn line makes the whole route file a script", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(
			`${scripts}/route-eth1`,
			"ADDRESS0=10.77.0.0\nNETMASK0=255.255.0.0\nGATEWAY0=10.0.1.1\ntouch /run/ran\n",
		);
		await ifup();
		expect(await sb.ip("route", "show", "10.77.0.0/16")).toContain(
			"via 10.0.1.1 dev eth1",
		);
		expect(await sb.exists("/run/ran")).toBe(true);
	});

	test("ifcfg files are sourced as root's shell does", async () => {
		await writeNic({
			IPADDR: "10.0.1.20",
			PREFIX: "24",
			X: "$(touch /run/sourced)",
		});
		await ifup();
		expect(await sb.exists("/run/sourced")).toBe(true);
	});

	test("a file is found by DEVICE in double quotes, not in single ones", async () => {
		const text = ifcfg({ IPADDR: "10.0.1.20", PREFIX: "24" });
		const file = `${scripts}/ifcfg-odd`;
		await sb.write(file, text.replace("=eth1", '="eth1"'));
		expect((await ifup()).exitCode).toBe(0);
		await sb.write(file, text.replace("=eth1", "='eth1'"));
		expect((await ifup()).exitCode).toBe(1);
	});

	test("ifdown flushes all global addresses, takes rules away and the link down", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(`${scripts}/rule-eth1`, "from 10.0.1.20 table 1001\n");
		await ifup();
		await sb.ip("addr", "add", "172.30.0.1/32", "dev", "eth1");
		expect((await ifdown()).exitCode).toBe(0);
		expect(await addresses()).toEqual([]);
		expect(await rules()).not.toContain("10.0.1.20");
		expect(await sb.ip("-o", "link", "show", "eth1")).toContain("state DOWN");
	});

	test("ifdown without ifcfg does nothing: the rules stay", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(`${scripts}/rule-eth1`, "from 10.0.1.20 table 1001\n");
		await ifup();
		await sb.remove(`${scripts}/ifcfg-eth1`);
		expect((await ifdown()).exitCode).toBe(1);
		expect(await rules()).toContain("10.0.1.20");
		expect(await addresses()).toEqual(["10.0.1.20/24"]);
	});

	test("network stop takes every interface down and forwarding away", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await ifup();
		await sb.sysctl("ip_forward", 1);
		expect((await sb.guest(["/etc/init.d/network", "stop"])).exitCode).toBe(0);
		expect(await sb.sysctl("ip_forward")).toBe("0");
		expect([...(await addresses("eth0")), ...(await addresses())]).toEqual([]);
	});

	test("network start applies sysctl.conf: the last line wins, a missing NIC is an error only", async () => {
		const file = "/etc/sysctl.conf";
		const before = await sb.read(file);
		await sb.write(
			file,
			`${before}net.ipv4.conf.eth0.rp_filter = 1\nnet.ipv4.conf.eth9.rp_filter = 0\nnet/ipv4/conf/eth0/rp_filter=2\n`,
		);
		const { exitCode, stderr } = await sb.guest([
			"/etc/init.d/network",
			"start",
		]);
		expect(exitCode).toBe(0);
		expect(stderr).toContain("conf/eth9/rp_filter: No such file");
		expect(await sb.sysctl("conf/eth0/rp_filter")).toBe("2");
		await sb.write(file, before);
		await sb.sysctl("conf/eth0/rp_filter", 1);
	});

	test("the service takes .tmp for an interface, but neither backups nor dotfiles", async () => {
		const text = ifcfg({ IPADDR: "10.0.1.20", PREFIX: "24" });
		await sb.write(`${scripts}/.ifcfg-eth1.tmp`, text);
		for (const ending of [
			"~",
			".bak",
			".orig",
			".rpmnew",
			".rpmorig",
			".rpmsave",
			":1",
		])
			await sb.write(`${scripts}/ifcfg-eth1${ending}`, text);
		await systemctl("restart", "network");
		expect(await addresses()).toEqual([]);
		await sb.write(`${scripts}/ifcfg-eth1.tmp`, text);
		await systemctl("restart", "network");
		expect(await addresses()).toEqual(["10.0.1.20/24"]);
	});

	test("the service leaves out ONBOOT=no, and brings up what does not say", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", ONBOOT: "no" });
		await systemctl("restart", "network");
		expect(await addresses()).toEqual([]);
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", ONBOOT: "" });
		await systemctl("restart", "network");
		expect(await addresses()).toEqual(["10.0.1.20/24"]);
	});

	test("the service runs what stands behind DEVICE= anywhere in a line", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", ONBOOT: "no" });
		const text = await sb.read(`${scripts}/ifcfg-eth1`);
		await sb.write(
			`${scripts}/ifcfg-eth1`,
			`NAME='x DEVICE=$(touch /run/evil)'\n${text}`,
		);
		await ifup();
		expect(await sb.exists("/run/evil")).toBe(false);
		await sb.write(
			`${scripts}/ifcfg-eth1`,
			`NAME="x DEVICE=$(touch /run/evil)"\n${text}`,
		);
		await systemctl("restart", "network");
		expect(await sb.exists("/run/evil")).toBe(true);
	});

	test("NetworkManager gets a link that it may control, and drops the rules", async () => {
		await sb.write("/run/NetworkManager/NetworkManager.pid", "1\n");
		await sb.write(`${scripts}/rule-eth1`, "from 10.0.1.20 table 1001\n");
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", NM_CONTROLLED: "yes" });
		expect((await ifup()).exitCode).toBe(0);
		expect(await addresses()).toEqual(["10.0.1.20/24"]);
		expect(await rules()).not.toContain("10.0.1.20");

		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24", NM_CONTROLLED: "no" });
		const states = async () =>
			(await sb.guest(["nmcli", "-t", "-f", "DEVICE,STATE", "device"])).stdout;
		expect(await states()).toContain("eth1:connected\n");
		await sb.guest(["nmcli", "connection", "load", `${scripts}/ifcfg-eth1`]);
		expect(await states()).toContain("eth1:unmanaged\n");
		await ifup();
		expect(await rules()).toContain("10.0.1.20");
	});

	test("nmcli fails while NetworkManager does not run", async () => {
		const { exitCode, stderr } = await sb.guest(["nmcli", "device"]);
		expect(exitCode).toBe(8);
		expect(stderr).toContain("NetworkManager is not running");
	});

	test("faults are switched on by name, for one NIC or one call", async () => {
		await writeNic({
			IPADDR: "10.0.1.20",
			PREFIX: "24",
			GATEWAY: "10.0.1.1",
			DEFROUTE: "no",
		});
		await sb.fault("ifup-fails@eth1.once");
		expect((await ifup()).exitCode).toBe(1);
		await sb.fault("ifup-adds-nothing");
		expect((await ifup()).exitCode).toBe(0);
		expect(await addresses()).toEqual([]);
		await sb.clearFaults("ifup-adds-nothing");
		await sb.fault("ifup-steals-default");
		expect((await ifup()).exitCode).toBe(0);
		expect(await sb.ip("route", "show", "default")).toContain("dev eth1");
		await sb.clearFaults();
		await sb.fault("ifup-slow", "0.4");
		const start = Date.now();
		await ifup();
		expect(Date.now() - start).toBeGreaterThan(390);
	});

	test("systemctl shows a job while one runs", async () => {
		const show = async () =>
			(
				await systemctl(
					"show",
					"-p",
					"Job",
					"-p",
					"ActiveState",
					"network.service",
				)
			).stdout;
		expect(await show()).toBe("ActiveState=active\n");
		await sb.fault("ifup-slow.once", "0.5");
		const restart = systemctl("restart", "network");
		await expect.poll(show).toMatch(/Job=\d+/);
		await restart;
		expect(await show()).toBe("ActiveState=active\n");
		await sb.fault("job-pending", "17");
		expect(await show()).toContain("Job=17\n");
	});

	test("every call is logged with its words", async () => {
		await systemctl("is-active", "network");
		await ifup();
		const calls = await sb.calls();
		expect(calls.map(({ argv }) => argv)).toEqual([
			["systemctl", "is-active", "network"],
			["ifup", "eth1"],
		]);
		expect(Math.abs((calls[0]?.timeMs ?? 0) - Date.now())).toBeLessThan(5000);
		expect(await sb.calls("ifup")).toHaveLength(1);
	});

	// Measured on CentOS 7.2's own userland behind a fabric that checks the source per port.
	test("the guide's files alone do not answer, with rules they do, until eth0 is bounced", async () => {
		const switches = ["all", "eth0", "eth1"];
		for (const of of switches) await sb.sysctl(`conf/${of}/rp_filter`, 0);
		const reached = async () => [
			await sb.reach("10.0.1.10", { timeoutMs: 300 }),
			await sb.reach("10.0.1.20", { timeoutMs: 300 }),
		];
		await writeNic({
			IPADDR: "10.0.1.20",
			NETMASK: "255.255.255.0",
			GATEWAY: "10.0.1.1",
		});
		await ifup();
		expect(await reached()).toEqual([true, false]);
		await sb.write(
			`${scripts}/route-eth1`,
			"default via 10.0.1.1 dev eth1 table 1001\n",
		);
		await sb.write(`${scripts}/rule-eth1`, "from 10.0.1.20 table 1001\n");
		await ifup();
		expect(await reached()).toEqual([true, true]);
		await sb.guest(["ifdown", "eth0"]);
		await sb.guest(["ifup", "eth0"]);
		expect(await reached()).toEqual([false, true]);
		for (const of of switches) await sb.sysctl(`conf/${of}/rp_filter`, 1);
	});

	test("an ordinary user of the guest may not", async () => {
		await writeNic({ IPADDR: "10.0.1.20", PREFIX: "24" });
		expect((await sb.asNobody(["ifup", "eth1"])).exitCode).toBe(1);
		expect(
			(await sb.asNobody(["systemctl", "restart", "network"])).exitCode,
		).toBe(4);
	});
});

test("after it all the guest is as it was", async () => {
	await sb.unplug("eth1");
	await systemctl("restart", "network");
	expect(await sb.snapshot()).toBe(await sb.read("/run/sandbox/pristine"));
});
