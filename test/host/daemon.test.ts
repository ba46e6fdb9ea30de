import { expect, test } from "vitest";
import { run } from "./agent";
import { startDaemon } from "./daemon";
import { addressesOn, linkText, policyRules, routesIn } from "./expectations";
import { createFakeHost } from "./fake-host";
import { respond } from "./metadata";

const eth1 = { name: "eth1", addresses: ["10.0.2.62", "10.0.2.63"] };
const eth2 = { name: "eth2", addresses: ["10.0.3.62"] };

test("NICs that are there at the start are configured, one line each", async () => {
	const host = await createFakeHost({ enis: [eth1, eth2] });
	const primary = linkText(host, "eth0");
	const daemon = await startDaemon(host);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.63/32"]);
	expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
	expect(policyRules(host)).toHaveLength(3);
	expect(linkText(host, "eth0")).toBe(primary);
	expect(daemon.log()).toEqual([
		"info: watching for NICs, and looking every 60 s",
		expect.stringMatching(
			/^info: eth1: configured 10\.0\.2\.62\/24 and 1 more via 10\.0\.2\.1, table 1001: plugged in \(\d+ ms\)$/,
		),
		expect.stringMatching(
			/^info: eth2: configured 10\.0\.3\.62\/24 via 10\.0\.3\.1, table 1002: plugged in \(\d+ ms\)$/,
		),
	]);
	expect(await daemon.stop()).toBe(0);
});

test("an hour without anything to do writes nothing but the status, starts nothing and says nothing", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(60);
	const before = host.snapshot() + host.record();
	daemon.forget();
	host.operations.reset();
	await daemon.sleep(3600);
	expect(daemon.log()).toEqual([]);
	expect(host.snapshot() + host.record()).toBe(before);
	const elsewhere = host.operations
		.list()
		.filter(({ target }) => !target.includes("/run/eni-configure"));
	expect(elsewhere).toEqual([]);
	expect([...host.programs.open.values()]).toEqual([
		"/var/lib/eni-configure/daemon.lock",
	]);
	expect(daemon.passes()).toHaveLength(60);
	await daemon.stop();
	expect(host.programs.open.size).toBe(0);
	expect(host.signals.watchers.size).toBe(0);
});

test("the second of two daemons ends at once with exit code 7 and leaves the first alone", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.programs.daemonLock = { pid: 777 };
	const second = await startDaemon(host);
	expect(second.ended()).toBe(7);
	expect(second.log().join()).toMatch(/a daemon runs already/);
	expect(addressesOn(host, "eth1")).toEqual([]);
});

test("a NIC that is plugged in is verified within a second", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	await daemon.sleep(7.3);
	daemon.forget();
	host.plug(eth1);
	expect(
		await daemon.until(() => /verified/.test(daemon.log().join())),
	).toBeLessThan(1000);
	expect(daemon.log()).toEqual([
		expect.stringMatching(
			/^info: eth1: configured .*: plugged in \((\d{2,3}) ms from link event to verified\)$/,
		),
	]);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.63/32"]);
	const passes = daemon.passes().length;
	await daemon.sleep(20);
	// Its own changes are heard as well: that leads to a look or two, and not to work.
	expect(daemon.passes().length - passes).toBeLessThanOrEqual(2);
	expect(daemon.log()).toHaveLength(1);
});

test("a NIC that comes before its metadata is configured a second after they are there", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	daemon.forget();
	const nic = host.plug({ ...eth1, listed: false });
	await daemon.sleep(200);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(daemon.log()).toEqual([
		expect.stringMatching(/^info: eth1: .* does not list its MAC/),
	]);
	expect(daemon.status().waiting).toEqual([
		expect.objectContaining({
			link: "eth1",
			kind: "unlisted",
			retryAt: expect.any(String),
		}),
	]);
	nic.listed = true;
	host.assign("eth0", "10.0.1.11");
	const took = await daemon.until(() => addressesOn(host, "eth1").length === 2);
	expect(took).toBeLessThan(1600);
	await daemon.sleep(5);
	expect(daemon.status().waiting).toEqual([]);
});

test("metadata that come before the NIC cost nothing, and the NIC is configured when it comes", async () => {
	const host = await createFakeHost();
	const nic = host.plug(eth1);
	host.kernel.unplug("eth1");
	const daemon = await startDaemon(host);
	await daemon.sleep(120);
	expect(daemon.status().waiting).toEqual([
		expect.objectContaining({ link: "-", mac: nic.mac, kind: "pending" }),
	]);
	const asked = host.metadata.requests.length;
	await daemon.sleep(600);
	// Ten resyncs of a handful of requests each.
	expect(host.metadata.requests.length - asked).toBeLessThan(60);
	expect(daemon.log()).toHaveLength(1);
	host.kernel.plug({ name: "eth1", mac: nic.mac });
	expect(
		await daemon.until(() => addressesOn(host, "eth1").length === 2),
	).toBeLessThan(1000);
});

test("waiting for metadata asks every second for ten minutes, then every half minute", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	host.plug({ ...eth1, listed: false });
	const counts: number[] = [];
	for (let minute = 0; minute < 20; minute += 1) {
		const before = host.metadata.requests.filter(
			(path) => path === "network/interfaces/macs/",
		).length;
		await daemon.sleep(60);
		counts.push(
			host.metadata.requests.filter(
				(path) => path === "network/interfaces/macs/",
			).length - before,
		);
	}
	const [first, second] = [counts.slice(0, 10), counts.slice(13)];
	expect(Math.min(...first)).toBeGreaterThan(50);
	expect(Math.max(...first)).toBeLessThan(66);
	expect(Math.max(...second)).toBeLessThanOrEqual(4);
	expect(Math.min(...second)).toBeGreaterThanOrEqual(2);
	// Asking is not working: a pass is made only when there is an answer.
	expect(daemon.passes().length).toBeLessThan(30);
});

test.each([
	[0, 54, 12],
	[0.5, 60, 42],
	[0.999, 66, 76.8],
])(
	"the resync comes every minute, a tenth more or less, the first one at any time: random %d",
	async (random, seconds, first) => {
		const host = await createFakeHost({ enis: [eth1] });
		host.clock.setRandom(() => random);
		const start = host.clock.nowMs();
		const daemon = await startDaemon(host);
		const at: number[] = [];
		let seen = 0;
		for (;;) {
			await daemon.until(
				() =>
					daemon.passes().filter((why) => why.includes("resync")).length > seen,
				200,
			);
			at.push((host.clock.nowMs() - start) / 1000);
			seen += 1;
			if (seen === 4) break;
		}
		expect(at[0]).toBeCloseTo(first, 0);
		for (const [index, time] of at.slice(1).entries())
			expect(time - (at[index] ?? 0)).toBeCloseTo(seconds, 0);
	},
);

test("an address assigned in the cloud comes with the next resync; no link goes down", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(40);
	daemon.forget();
	host.assign("eth1", "10.0.2.64");
	let wentDown = false;
	await daemon.until(() => {
		wentDown ||= host.kernel.link("eth1")?.up !== true;
		return addressesOn(host, "eth1").includes("10.0.2.64/32");
	}, 66);
	expect(wentDown).toBe(false);
	await daemon.sleep(1);
	expect(daemon.log()).toEqual([
		expect.stringMatching(/^info: eth1: added 10\.0\.2\.64: assigned \(/),
	]);
});

test("SIGHUP asks at once, and reads the config again; a wrong one is named and changes nothing", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(40);
	host.assign("eth1", "10.0.2.64");
	daemon.hangUp();
	expect(
		await daemon.until(() =>
			addressesOn(host, "eth1").includes("10.0.2.64/32"),
		),
	).toBeLessThan(500);
	daemon.forget();
	host.write("/etc/eni-configure/config.yaml", "rpFilter: 7\n");
	daemon.hangUp();
	await daemon.sleep(2);
	expect(daemon.log()).toEqual([
		expect.stringMatching(
			/^error: SIGHUP: .*config\.yaml.*rpFilter.*going on with the old settings$/,
		),
	]);
	expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("0");
	host.write("/etc/eni-configure/config.yaml", "rpFilter: 2\n");
	daemon.hangUp();
	await daemon.sleep(2);
	expect(host.kernel.sysctls.get("conf/all/rp_filter")).toBe("2");
});

test("a hundred hints during a pass lead to one more pass", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	daemon.forget();
	const { ifindex } = host.plug(eth1) && { ifindex: 3 };
	await daemon.until(() => daemon.passes().length === 1);
	for (let time = 0; time < 100; time += 1)
		daemon.hear(
			`${ifindex}: eth1    inet 10.0.2.62/24 brd 10.0.2.255 scope global eth1`,
		);
	await daemon.until(() => daemon.log().length === 1);
	await daemon.sleep(5);
	// The hints, and what its own last change says of itself a moment later.
	expect(daemon.passes().length).toBeLessThanOrEqual(3);
});

test("seven NICs at once are one pass", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	daemon.forget();
	for (let number = 1; number <= 7; number += 1)
		host.plug({ name: `eth${number}`, addresses: [`10.0.${number}.62`] });
	await daemon.until(() => daemon.log().length === 7);
	const said = host.log
		.map(({ message }) => message)
		.filter((text) => /^looking: |: configured /.test(text));
	const first = said.findIndex((text) => /^eth/.test(text));
	expect(said.slice(first - 1, first + 7)).toEqual([
		expect.stringMatching(/^looking: eth1/),
		...[1, 2, 3, 4, 5, 6, 7].map((number) =>
			expect.stringMatching(`^eth${number}: configured`),
		),
	]);
	expect(daemon.passes().length).toBeLessThanOrEqual(2);
	expect(daemon.log().join("\n")).not.toMatch(/warning|error/);
	for (let number = 1; number <= 7; number += 1)
		expect(addressesOn(host, `eth${number}`)).toEqual([`10.0.${number}.62/24`]);
});

test("an ENI whose metadata hang does not delay another", async () => {
	const host = await createFakeHost();
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	const slow = host.plug(eth1);
	host.plug(eth2);
	const macs = () => host.metadata.tree as never as Tree;
	type Tree = { network: { interfaces: { macs: Record<string, object> } } };
	macs().network.interfaces.macs[slow.mac.toUpperCase()] = {
		"": "mac\nlocal-ipv4s/\nprimary-local-ipv4",
		"primary-local-ipv4": () => "hang",
		"local-ipv4s": () => "hang",
	};
	expect(
		await daemon.until(() => addressesOn(host, "eth2").length === 1),
	).toBeLessThan(1000);
	await daemon.sleep(20);
	expect(daemon.status().waiting).toEqual([
		expect.objectContaining({ link: "eth1", kind: "pending" }),
	]);
	host.assign("eth2", "10.0.3.63");
	await daemon.until(() => addressesOn(host, "eth1").length === 2, 10);
});

test("containers that come and go cost no request, no pass and no line", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(2);
	daemon.forget();
	const asked = host.metadata.requests.length;
	for (let time = 0; time < 100; time += 1) {
		host.addLink({ name: "veth12ab", mac: "02:42:ac:11:00:99" });
		await daemon.sleep(0.1);
		host.kernel.unplug("veth12ab");
	}
	expect(daemon.passes()).toEqual([]);
	expect(daemon.log()).toEqual([]);
	expect(host.metadata.requests.length).toBe(asked);
});

test("a container network that comes gets its throw routes at once", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(2);
	daemon.forget();
	host.addLink({
		name: "br-0a1b2c3d4e5f",
		mac: "02:42:ac:12:00:01",
		driver: undefined,
		devtype: "bridge",
	});
	await host.type("ip addr add 172.18.0.1/16 brd + dev br-0a1b2c3d4e5f");
	await daemon.sleep(1);
	expect(routesIn(host, 1001)).toContain("throw 172.18.0.0/16");
	await host.type("ip addr del 172.18.0.1/16 dev br-0a1b2c3d4e5f");
	await daemon.sleep(1);
	expect(routesIn(host, 1001)).not.toContain("throw 172.18.0.0/16");
	expect(daemon.log().join("\n")).not.toMatch(/put right/);
});

test("a container network that comes and goes all the time is followed all the time", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	host.addLink({
		name: "docker0",
		mac: "02:42:ac:12:00:01",
		driver: undefined,
		devtype: "bridge",
	});
	for (let time = 0; time < 10; time += 1) {
		await host.type("ip addr add 172.17.0.1/16 brd + dev docker0");
		await daemon.sleep(5);
		expect(routesIn(host, 1001)).toContain("throw 172.17.0.0/16");
		await host.type("ip addr del 172.17.0.1/16 dev docker0");
		await daemon.sleep(5);
		expect(routesIn(host, 1001)).not.toContain("throw 172.17.0.0/16");
	}
	expect(daemon.status().drift).toEqual([]);
});

test("an instance whose metadata service only comes up later converges by itself", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	host.metadata.trouble = {
		kind: "failed",
		reason: "ECONNREFUSED",
		reset: false,
	};
	const daemon = await startDaemon(host);
	await daemon.sleep(90);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(daemon.status().metadata.problem).toMatch(/cannot be read/);
	expect(daemon.status().metadata.answeredAt).toBeUndefined();
	expect(daemon.log().length).toBeLessThanOrEqual(2);
	host.metadata.trouble = undefined;
	expect(
		await daemon.until(() => addressesOn(host, "eth1").length === 2),
	).toBeLessThan(2500);
	await daemon.sleep(1);
	expect(daemon.status().metadata.problem).toBeUndefined();
});

test("a command on the side and the daemon agree: what was removed stays removed until the NIC is unbound", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(30);
	expect((await run(host, "remove", "eth1")).exitCode).toBe(0);
	daemon.forget();
	await daemon.sleep(600);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(daemon.log()).toEqual([
		expect.stringMatching(/^info: eth1: was removed; `eni-configure eth1`/),
	]);
	expect(daemon.status().waiting).toEqual([
		expect.objectContaining({ link: "eth1", kind: "released" }),
	]);
	host.unplug("eth1");
	await daemon.sleep(70);
	expect(host.record()).not.toContain("released");
	host.plug(eth1);
	await daemon.until(() => addressesOn(host, "eth1").length === 2);
});

test("an address given on the command line while it runs is kept by the passes", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	await run(host, "configure", "eth1", {
		address: "10.0.2.99/24",
		gateway: "10.0.2.1",
	});
	await daemon.sleep(300);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.99/24"]);
	await run(host, "configure", "eth1", { "from-metadata": true, prune: true });
	await daemon.sleep(300);
	expect(addressesOn(host, "eth1")).toEqual(["10.0.2.62/24", "10.0.2.63/32"]);
	expect(daemon.log().join("\n")).not.toMatch(/put right|warning|error/);
});

test("where the container network owns ENIs, only those named in the config are configured", async () => {
	const host = await createFakeHost({
		enis: [eth1, eth2],
		files: {
			"/etc/cni/net.d/10-tke.conf":
				'{"name": "tke", "type": "tke-route-eni"}\n',
			"/etc/eni-configure/config.yaml":
				"interfaces:\n  eth2:\n    addresses: [10.0.3.62/24]\n    gateway: 10.0.3.1\n",
		},
	});
	const daemon = await startDaemon(host);
	await daemon.sleep(300);
	expect(addressesOn(host, "eth1")).toEqual([]);
	expect(addressesOn(host, "eth2")).toEqual(["10.0.3.62/24"]);
	expect(daemon.log().filter((line) => line.includes("eth1"))).toEqual([
		expect.stringMatching(/^warning: eth1: the container network .* owns ENIs/),
	]);
	daemon.forget();
	host.plug({ name: "eth3", addresses: ["10.0.4.62"] });
	await daemon.sleep(120);
	expect(addressesOn(host, "eth3")).toEqual([]);
	expect(daemon.log()).toHaveLength(1);
});

test("an answer that never ends, a 500 and an empty list take nothing away", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const daemon = await startDaemon(host);
	await daemon.sleep(5);
	const before = host.snapshot();
	for (const trouble of [
		"hang" as const,
		respond(500, "oops"),
		respond(404, "no"),
		respond(200, ""),
		respond(200, "not available"),
	]) {
		host.metadata.trouble = trouble;
		await daemon.sleep(200);
		expect(host.snapshot()).toBe(before);
	}
	host.metadata.trouble = undefined;
	await daemon.sleep(70);
	expect(host.snapshot()).toBe(before);
});

test("a daemon whom one address of the service has answered waits for one of them a look while they are silent", async () => {
	const host = await createFakeHost({ enis: [eth1] });
	const { http } = host.system;
	const [numbers, name] = ["169.254.0.23", "metadata.tencentyun.com"];
	const asked: string[] = [];
	let good = name;
	host.system.http = async (url, limits) => {
		const { hostname } = new URL(url);
		asked.push(hostname);
		if (hostname === good) return http(url.replace(name, numbers), limits);
		await host.clock.sleep(limits.timeoutMs);
		return { kind: "failed", reason: "no answer", reset: false };
	};
	const daemon = await startDaemon(host);
	// Nobody knows yet which one it is: both are asked at once.
	await daemon.until(() => addressesOn(host, "eth1").length === 2, 5);
	asked.length = 0;
	await daemon.sleep(180);
	expect(new Set(asked)).toEqual(new Set([name]));

	good = numbers;
	host.assign("eth1", "10.0.2.64");
	await daemon.until(() => addressesOn(host, "eth1").length === 3, 130);
	asked.length = 0;
	await daemon.sleep(180);
	expect(new Set(asked)).toEqual(new Set([numbers]));

	good = "neither";
	await daemon.sleep(70);
	asked.length = 0;
	await daemon.sleep(120);
	expect(asked.sort()).toEqual([numbers, numbers, name, name]);
});
