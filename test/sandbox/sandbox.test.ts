import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { explainDenied } from "./namespaces";
import { programsFolder } from "./paths";
import { createSandbox, type Sandbox } from "./sandbox";

const run = promisify(execFile);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const subnet = "10.0.1.0/24";
const macs = "network/interfaces/macs";

/** Neither gone nor a zombie that init has not looked at yet. */
async function isRunning(pid: number): Promise<boolean> {
	const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z");
	return !/\) [ZX]/.test(stat);
}

/** curl is not among what the sandbox needs: Node asks, over one kept-alive connection. */
async function fetchInGuest(sb: Sandbox, paths: string[]) {
	const script = `
		const http = require("http");
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		const get = (path) => new Promise((resolve) => {
			const request = http.get({ host: "169.254.0.23", path, agent, timeout: 300 }, (response) => {
				let body = "";
				response.on("data", (data) => { body += data; });
				response.on("error", (error) => resolve({ error: error.code, body }));
				response.on("end", () => resolve({ status: response.statusCode, body, reused: request.reusedSocket }));
			});
			request.on("timeout", () => request.destroy(Object.assign(new Error(), { code: "TIMEOUT" })));
			request.on("error", (error) => resolve({ error: error.code }));
		});
		(async () => {
			const all = [];
			for (const path of JSON.parse(process.argv[1])) all.push(await get("/latest/meta-data" + path));
			console.log(JSON.stringify(all));
			process.exit(0);
		})();`;
	const words = [process.execPath, "-e", script, JSON.stringify(paths)];
	const { stdout, stderr } = await sb.guest(words);
	if (!stdout) throw new Error(stderr);
	return JSON.parse(stdout) as {
		status?: number;
		body?: string;
		error?: string;
		reused?: boolean;
	}[];
}

describe("the guest", () => {
	let sb: Sandbox;
	beforeAll(async () => {
		sb = await createSandbox();
	});
	afterAll(() => sb.close());

	test("looks like CentOS 7 with its primary ENI configured", async () => {
		expect(await sb.read("/etc/os-release")).toContain('VERSION_ID="7"');
		expect(await sb.exists("/run/systemd/system")).toBe(true);
		expect(await sb.exists("/etc/init.d/network")).toBe(true);
		expect(await sb.sysctl("conf/all/rp_filter")).toBe("1");
		expect(await sb.sysctl("conf/eth0/rp_filter")).toBe("1");
		expect(await sb.ip("route", "show", "default")).toBe(
			"default via 10.0.1.1 dev eth0 \n",
		);
		expect(await sb.reach("10.0.1.10")).toBe(true);
		expect((await sb.guest(["systemctl", "is-active", "network"])).stdout).toBe(
			"active\n",
		);
	});

	test("sees its own links only, and its own /etc, /run and /var/lib", async () => {
		const { stdout } = await sb.guest(["ls", "/sys/class/net"]);
		expect(stdout).toBe("eth0\nlo\n");
		await sb.guest(["mkdir", "/var/lib/eni-configure"]);
		await sb.write("/etc/eni-configure/config.yaml", "x", 0o600);
		expect((await sb.stat("/etc/eni-configure/config.yaml")).mode & 0o777).toBe(
			0o600,
		);
		expect(await sb.list("/var/lib")).toEqual(["eni-configure"]);
	});

	test("runs commands without the caller's environment, bounded in time", async () => {
		const { stdout } = await sb.guest(["env"], { env: { COLOUR: "blue" } });
		expect(stdout).toContain("COLOUR=blue");
		expect(stdout).not.toContain("VITEST");
		const slow = await sb.guest(["sleep", "60"], { timeoutMs: 100 });
		expect(slow.exitCode).toBe(-1);
		expect(await sb.guest(["cat"], { input: "in" })).toMatchObject({
			stdout: "in",
		});
	});

	test("has nobody, who is not root", async () => {
		expect((await sb.asNobody(["id", "-u"])).stdout).toBe("65534\n");
		const denied = await sb.asNobody(["ip", "link", "set", "eth0", "down"]);
		expect(denied.exitCode).not.toBe(0);
	});

	test("runs the agent's bundle, and ends a daemon of it", async () => {
		const bundle = "/run/agent.cjs";
		await sb.write(
			bundle,
			"console.log(JSON.stringify(process.argv.slice(2))); if (process.argv[2] === 'daemon') setInterval(() => {}, 1000);",
		);
		const result = await sb.agent(["eth1", "--json"], { bundle });
		expect(result.json()).toEqual(["eth1", "--json"]);
		const daemon = sb.spawnAgent(["daemon"], { bundle });
		await expect.poll(() => isRunning(daemon.pid ?? 0)).toBe(true);
		daemon.kill("SIGTERM");
		expect((await daemon).signal).toBe("SIGTERM");
	});

	test("a snapshot shows a change, and none where there is none", async () => {
		const before = await sb.snapshot();
		await sleep(50);
		expect(await sb.snapshot()).toBe(before);
		await sb.ip("rule", "add", "from", "10.9.9.9", "table", "77");
		expect(await sb.snapshot()).not.toBe(before);
		await sb.ip("rule", "del", "from", "10.9.9.9", "table", "77");
		expect(await sb.snapshot()).toBe(before);
	});
});

describe("the VPC", () => {
	let sb: Sandbox;
	beforeAll(async () => {
		sb = await createSandbox();
	});
	afterAll(() => sb.close());

	async function configureByHand(nic: string, address: string): Promise<void> {
		await sb.ip("link", "set", nic, "up");
		await sb.ip("addr", "add", `${address}/24`, "dev", nic);
		for (const of of ["all", "eth0", nic])
			await sb.sysctl(`conf/${of}/rp_filter`, 0);
	}
	async function route(nic: string, address: string, gateway: string) {
		await sb.ip(
			"route",
			"add",
			"default",
			"via",
			gateway,
			"dev",
			nic,
			"table",
			"1001",
		);
		await sb.ip("rule", "add", "from", address, "table", "1001");
	}

	test("a plugged NIC arrives down, without address, with the ENI's MAC", async () => {
		const eni = await sb.plug({
			name: "eth1",
			subnet,
			addresses: ["10.0.1.20"],
		});
		const link = await sb.ip("-o", "link", "show", "eth1");
		expect(link).toContain(eni.mac);
		expect(link).toContain("state DOWN");
		expect(await sb.ip("-o", "addr", "show", "dev", "eth1")).toBe("");
		await sb.unplug("eth1");
		expect(await sb.exists("/sys/class/net/eth1")).toBe(false);
		// The same ENI comes back, and another one with a two-digit number.
		await sb.plug(eni);
		expect(await sb.ip("-o", "link", "show", "eth1")).toContain(eni.mac);
		await sb.plug({ name: "eth10", subnet, addresses: ["10.0.1.100"] });
		expect(await sb.exists("/sys/class/net/eth10")).toBe(true);
		await sb.unplug("eth10");
		await sb.unplug("eth1");
	});

	test("drops replies that leave by another ENI than the address's own", async () => {
		await sb.plug({ name: "eth1", subnet, addresses: ["10.0.1.20"] });
		await configureByHand("eth1", "10.0.1.20");
		expect(await sb.reach("10.0.1.20", { timeoutMs: 400 })).toBe(false);
		await route("eth1", "10.0.1.20", "10.0.1.1");
		expect(await sb.reach("10.0.1.20")).toBe(true);
		await sb.ip("rule", "del", "from", "10.0.1.20");
		await sb.unplug("eth1");
	});

	test("delivers to an ENI in another subnet, and only what is assigned", async () => {
		await sb.plug({
			name: "eth2",
			subnet: "10.0.2.0/24",
			addresses: ["10.0.2.20"],
		});
		await configureByHand("eth2", "10.0.2.20");
		await route("eth2", "10.0.2.20", "10.0.2.1");
		expect(await sb.reach("10.0.2.20")).toBe(true);

		await sb.ip("addr", "add", "10.0.2.21/32", "dev", "eth2");
		await sb.ip("rule", "add", "from", "10.0.2.21", "table", "1001");
		expect(await sb.reach("10.0.2.21", { timeoutMs: 300 })).toBe(false);
		await sb.assign("eth2", "10.0.2.21");
		expect(await sb.reach("10.0.2.21")).toBe(true);
		await sb.release("eth2", "10.0.2.21");
		expect(await sb.reach("10.0.2.21", { timeoutMs: 300 })).toBe(false);
		expect(await sb.reach("10.0.2.20")).toBe(true);
		await sb.ip("rule", "del", "from", "10.0.2.20");
		await sb.ip("rule", "del", "from", "10.0.2.21");
		await sb.unplug("eth2");
	});

	test("a neighbour in the subnet and the guest reach each other", async () => {
		await sb.client("neighbour", { subnet, address: "10.0.1.200" });
		expect(await sb.reach("10.0.1.10", { from: "neighbour" })).toBe(true);
		expect(await sb.reach("10.0.1.200", { from: "guest" })).toBe(true);
		expect(await sb.reach(sb.far, { from: "guest", source: "10.0.1.10" })).toBe(
			true,
		);
	});

	test("a silent gateway's neighbour entry fails, and comes back", async () => {
		const gateway = async () => {
			await sb.ip("neigh", "flush", "dev", "eth0");
			await sb.reach("10.0.1.1", { from: "guest", timeoutMs: 100 });
			return sb.ip("neigh", "show", "10.0.1.1", "dev", "eth0");
		};
		expect(await gateway()).toMatch(/REACHABLE|DELAY|STALE/);
		await sb.gatewaySilent("eth0", true);
		expect(await gateway()).toMatch(/INCOMPLETE|FAILED/);
		await sb.gatewaySilent("eth0", false);
		expect(await gateway()).toMatch(/REACHABLE|DELAY|STALE/);
	});

	test("a probe counts what was lost", async () => {
		const whole = await sb.probe("10.0.1.10");
		await sleep(300);
		const { sent, lost } = await whole.stop();
		expect(sent).toBeGreaterThan(15);
		expect(lost).toBe(0);

		const broken = await sb.probe("10.0.1.10");
		await sleep(100);
		await sb.carrier("eth0", false);
		await sleep(200);
		await sb.carrier("eth0", true);
		await sleep(100);
		const result = await broken.stop();
		expect(result.lost).toBeGreaterThan(10);
		expect(result.lost).toBeLessThan(result.sent - 5);
		expect(result.longestOutageMs).toBeGreaterThan(100);
	});

	test("a container reaches the guest's address and is reached from it", async () => {
		const container = await sb.container("docker0");
		expect(await sb.reach("10.0.1.10", { from: "docker0" })).toBe(true);
		expect(
			await sb.reach(container, { from: "guest", source: "10.0.1.10" }),
		).toBe(true);
	});
});

describe("the metadata service", () => {
	let sb: Sandbox;
	let mac: string;
	beforeAll(async () => {
		sb = await createSandbox();
		const eni = await sb.plug({
			name: "eth1",
			subnet: "10.0.2.0/26",
			addresses: ["10.0.2.20", "10.0.2.21"],
			publicIps: { "10.0.2.21": "203.0.113.7" },
			listed: false,
		});
		mac = eni.mac.toUpperCase();
	});
	afterAll(() => sb.close());

	async function bodies(...paths: string[]) {
		const answers = await fetchInGuest(sb, paths);
		return answers.map(({ status, body }) => (status === 200 ? body : status));
	}

	test("lists an ENI from the moment the cloud says so", async () => {
		const primary = `${sb.primary.mac.toUpperCase()}/`;
		expect(await bodies(`/${macs}/`)).toEqual([primary]);
		await sb.metadata.list("eth1", true);
		expect(await bodies(`/${macs}/`)).toEqual([`${primary}\n${mac}/`]);
	});

	test("gives leaves and directories as the cloud does", async () => {
		await sb.metadata.list("eth1", true);
		const at = `/${macs}/${mac}`;
		expect(
			await bodies(
				"/mac",
				"/local-ipv4",
				`${at}/primary-local-ipv4`,
				`${at}/local-ipv4s`,
				`${at}/local-ipv4s/`,
				`${at}/local-ipv4s/10.0.2.20/gateway`,
				`${at}/local-ipv4s/10.0.2.20/subnet-mask`,
				`${at}/local-ipv4s/10.0.2.21/public-ipv4`,
				`${at}/local-ipv4s/10.0.2.20/public-ipv4`,
				`/${macs}/${mac.toLowerCase()}/mac`,
			),
		).toEqual([
			sb.primary.mac.toUpperCase(),
			"10.0.1.10",
			"10.0.2.20",
			"10.0.2.20/\n10.0.2.21/",
			"10.0.2.20/\n10.0.2.21/",
			"10.0.2.1",
			"255.255.255.192",
			"203.0.113.7",
			404,
			404,
		]);
	});

	test("follows assign and release", async () => {
		await sb.metadata.list("eth1", true);
		await sb.assign("eth1", "10.0.2.22");
		const path = `/${macs}/${mac}/local-ipv4s/`;
		expect(await bodies(path)).toEqual(["10.0.2.20/\n10.0.2.21/\n10.0.2.22/"]);
		await sb.release("eth1", "10.0.2.22");
		expect(await bodies(path)).toEqual(["10.0.2.20/\n10.0.2.21/"]);
	});

	test("keeps connections alive and logs requests", async () => {
		await sb.metadata.clearRequests();
		const [, second] = await fetchInGuest(sb, ["/mac", "/mac"]);
		expect(second?.reused).toBe(true);
		expect((await sb.metadata.requests()).map(({ path }) => path)).toEqual([
			"/latest/meta-data/mac",
			"/latest/meta-data/mac",
		]);
	});

	test("goes wrong in every way asked for", async () => {
		const { override } = sb.metadata;
		await override("mac", { status: 500, body: "oops", times: 1 });
		expect(await bodies("/mac", "/local-ipv4", "/mac")).toEqual([
			500,
			"10.0.1.10",
			sb.primary.mac.toUpperCase(),
		]);
		const trouble = async (answer: Parameters<typeof override>[1]) => {
			await override("mac", answer);
			const [result] = await fetchInGuest(sb, ["/mac"]);
			return result;
		};
		expect(await trouble({ hang: true })).toEqual({ error: "TIMEOUT" });
		expect(await trouble({ reset: true })).toEqual({ error: "ECONNRESET" });
		expect(await trouble({ raw: "rubbish\r\n" })).toMatchObject({
			error: expect.stringContaining("HPE"),
		});
		expect(await trouble({ body: "52:54", truncateAt: 2 })).toEqual({
			error: "ECONNRESET",
			body: "52",
		});
		expect(await trouble({ body: "52:54", dripMs: 5 })).toMatchObject({
			body: "52:54",
		});
		await sb.metadata.clearOverrides();
	});

	test("goes down and comes back", async () => {
		await sb.metadata.refuse();
		expect(await fetchInGuest(sb, ["/mac"])).toEqual([
			{ error: "ECONNREFUSED" },
		]);
		await sb.metadata.hang();
		expect(await fetchInGuest(sb, ["/mac"])).toEqual([{ error: "TIMEOUT" }]);
		await sb.metadata.up();
		expect(await bodies("/local-ipv4")).toEqual(["10.0.1.10"]);
	});
});

describe("namespaces", () => {
	test("everything ends with close(), also what was left running in the guest", async () => {
		const sb = await createSandbox();
		const { stdout } = await sb.guest([
			"bash",
			"-c",
			"setsid sleep 300 >/dev/null 2>&1 & echo $!",
		]);
		await sb.close();
		await sb.close();
		// Killed by then, all of it; on a busy machine the kernel is not done with it at once.
		await expect.poll(() => isRunning(Number(stdout))).toBe(false);
		await expect.poll(() => isRunning(sb.pid)).toBe(false);
	});

	test("everything ends when the test itself is killed", async () => {
		const script = `
			const { spawn } = require("child_process");
			const child = spawn(process.execPath, [process.argv[1], "wait"], { stdio: ["ignore", "pipe", "inherit"] });
			child.stdout.once("data", (data) => { child.kill("SIGKILL"); console.log(String(data)); });`;
		const { stdout } = await run(process.execPath, [
			...["-e", script, `${programsFolder}/ordinary-user.cjs`],
		]);
		const { pid } = JSON.parse(stdout);
		await expect.poll(() => isRunning(pid)).toBe(false);
	});

	test("an ordinary user can do all of it", async () => {
		const program = [process.execPath, `${programsFolder}/ordinary-user.cjs`];
		const command =
			process.getuid?.() === 0
				? [
						"setpriv",
						"--reuid=65534",
						"--regid=65534",
						"--clear-groups",
						...program,
					]
				: program;
		const [name = "", ...words] = command;
		const { stdout } = await run(name, words);
		expect(JSON.parse(stdout)).toMatchObject({
			primaryReached: true,
			secondaryReached: true,
			links: ["eth0", "eth1", "lo"],
			mode: "600",
			nobody: 65534,
		});
		expect(JSON.parse(stdout).hostUid).not.toBe(0);
	});

	test("a host that forbids user namespaces is told which setting does", () => {
		const values: Record<string, string> = {
			"kernel.unprivileged_userns_clone": "0\n",
			"user.max_user_namespaces": "100\n",
		};
		const text = explainDenied(
			"unshare failed: Operation not permitted",
			false,
			(name) => values[name],
		);
		expect(text).toContain("Operation not permitted");
		expect(text).toContain("sysctl -w kernel.unprivileged_userns_clone=1");
		expect(text).toContain("user.max_user_namespaces is 100, which allows");
		expect(text).toContain(
			"kernel.apparmor_restrict_unprivileged_userns does not exist",
		);
	});
});
