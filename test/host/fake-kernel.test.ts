import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runIp } from "./ip-command";
import { createKernel } from "./kernel";
import { createOperations } from "./operations";

// What the other tests rest on: that the fake host does as Linux 3.10 and iproute2 do.

const transcript = readFileSync(
	join(process.cwd(), "fixtures/iproute2/3.10.0/commands.txt"),
	"utf8",
);

function createBox() {
	const kernel = createKernel();
	kernel.plug({ name: "lo", mac: "00:00:00:00:00:00", type: 772 });
	kernel.plug({ name: "eth0", mac: "52:54:00:bf:b3:50" });
	kernel.plug({ name: "eth1", mac: "52:54:00:bf:b3:51" });
	const operations = createOperations();
	const ip = (line: string, input?: string) =>
		runIp(kernel, operations, ["ip", ...line.split(" ")], input);
	expect(
		ip(
			"-4 -batch -",
			"link set dev lo up\nlink set dev eth0 up\nlink set dev eth1 up\naddr add 192.168.1.62/26 brd + dev eth1 label eth1\n",
		).exitCode,
	).toBe(0);
	return { kernel, ip };
}

test("ip prints routes as iproute2 3.10 does", () => {
	const { ip } = createBox();
	const lines = [
		"throw 172.17.0.0/16 table 1001",
		"192.168.1.0/26 dev eth1 metric 2001 proto kernel scope link src 192.168.1.62",
		"192.168.1.0/26 dev eth1 scope link src 192.168.1.62 table 1001",
		"default via 192.168.1.1 dev eth1 table 1001",
	];
	for (const line of lines)
		expect(ip(`-4 route add ${line}`)).toEqual({
			exitCode: 0,
			stdout: "",
			stderr: "",
		});
	const printed = ip("-o -4 route show table all")
		.stdout.split("\n")
		.filter((line) => line !== "" && !line.includes(" table local "));
	for (const line of printed.filter((one) => !one.startsWith("default")))
		expect(transcript).toContain(`\n${line}\n`);
	expect(printed).toContain("default via 192.168.1.1 dev eth1  table 1001 ");
	expect(ip("-o -4 route get 192.168.1.5").stdout).toBe(
		"192.168.1.5 dev eth1  src 192.168.1.62 \\    cache \n",
	);
	expect(transcript).toContain(
		"192.168.1.5 dev eth1  src 192.168.1.62 \\    cache ",
	);
});

test("a batch stops at its first failing line, and with -force goes on", () => {
	const batch =
		"addr add 192.168.1.61/32 dev eth1\naddr add 192.168.1.62/26 dev eth1\naddr add 192.168.1.30/32 dev eth1\n";
	const { ip, kernel } = createBox();
	expect(ip("-4 -batch -", batch)).toEqual({
		exitCode: 1,
		stdout: "",
		stderr: "RTNETLINK answers: File exists\nCommand failed -:2\n",
	});
	expect(kernel.link("eth1")?.addresses.map((one) => one.ip)).toEqual([
		"192.168.1.62",
		"192.168.1.61",
	]);
	expect(ip("-4 -force -batch -", batch).stderr).toBe(
		"RTNETLINK answers: File exists\nCommand failed -:1\nRTNETLINK answers: File exists\nCommand failed -:2\n",
	);
	expect(kernel.link("eth1")?.addresses.map((one) => one.ip)).toEqual([
		"192.168.1.62",
		"192.168.1.61",
		"192.168.1.30",
	]);
});

test("a batch ends where routes have been shown, as it does until 4.12", () => {
	const { ip } = createBox();
	const routes = ip("-o -4 route show table all").stdout;
	const rest = "rule show\nroute get 192.168.1.5\n";
	expect(ip("-o -4 -batch -", `route show table all\n${rest}`)).toEqual({
		exitCode: 0,
		stdout: routes,
		stderr: "",
	});
});

test.each([
	[
		"-4 route add default via 203.0.113.1 dev eth1 table 1002",
		"RTNETLINK answers: Network is unreachable\n",
	],
	[
		"-4 route del throw 10.0.0.0/8 table 1001",
		"RTNETLINK answers: No such process\n",
	],
	[
		"-4 route add 10.1.0.0/16 via 192.168.1.1 table 1002 dev nosuch",
		'Cannot find device "nosuch"\n',
	],
	[
		"-4 rule del from 192.168.1.70/32 table 1001 priority 1001",
		"RTNETLINK answers: No such file or directory\n",
	],
	[
		"-4 addr del 192.168.1.99/32 dev eth1",
		"RTNETLINK answers: Cannot assign requested address\n",
	],
	["-j addr show", 'Option "-j" is unknown, try "ip -help".\n'],
])("ip %s is refused as iproute2 3.10 refuses it", (line, stderr) => {
	expect(createBox().ip(line).stderr).toBe(stderr);
	expect(transcript).toContain(stderr);
});

test("link down empties the link's routes in all tables, rules stay, and link up connects again", () => {
	const { ip, kernel } = createBox();
	ip("-4 route add default via 192.168.1.1 dev eth1 table 1001");
	ip("-4 rule add from 192.168.1.62 lookup 1001 priority 1001");
	ip("-4 rule add from 192.168.1.62 lookup 1001 priority 1001");
	ip("-4 link set dev eth1 down");
	expect(
		kernel.routes
			.all()
			.filter(({ dev, scope }) => dev === "eth1" && scope !== "host"),
	).toEqual([]);
	ip("-4 link set dev eth1 up");
	expect(
		kernel.routes
			.all()
			.filter(({ dev, table }) => dev === "eth1" && table !== 255),
	).toMatchObject([
		{ dst: "192.168.1.0/26", proto: "kernel", src: "192.168.1.62" },
	]);
	expect(kernel.rules.filter(({ table }) => table === 1001)).toHaveLength(2);
});

test("an address takes the routes along that prefer it, and the last one takes all of the link's", () => {
	const { ip, kernel } = createBox();
	const inMain = () =>
		kernel.routes
			.all()
			.filter(({ dev, table }) => dev === "eth1" && table !== 255)
			.map(({ dst }) => dst);
	ip("-4 addr add 192.168.1.30/32 dev eth1");
	ip("-4 route add 10.1.0.0/16 via 192.168.1.1 dev eth1 src 192.168.1.30");
	ip("-4 route add 10.2.0.0/16 via 192.168.1.1 dev eth1");
	ip("-4 addr del 192.168.1.30/32 dev eth1");
	expect(inMain()).toEqual(["10.2.0.0/16", "192.168.1.0/26"]);
	ip("-4 addr del 192.168.1.62/26 dev eth1");
	expect(inMain()).toEqual([]);
});
