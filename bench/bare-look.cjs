// What `eni-configure --all` has to find out when nothing has changed, without a library: takes the same lock in the same way,
// reads the same files, asks the metadata service the same and the kernel by the same command. `node bench/bare-look.cjs`
// as root, on Node 16 and later. What the agent reads twice or three times (links before and after the question, the record)
// is read once here.
//
// Left out is everything that it takes to decide that nothing is to be done: the output of `ip` is not parsed, no
// answer and no file is checked, no template is rendered, no hash is made, nothing is compared with anything.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const base = "http://169.254.0.23/latest/meta-data";
const state = "/var/lib/eni-configure";
const scripts = "/etc/sysconfig/network-scripts";
const net = "/sys/class/net";
const conf = "/proc/sys/net/ipv4/conf";
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

/** The text of a file; undefined where there is none. */
function read(file) {
	try {
		return fs.readFileSync(file, "latin1");
	} catch {
		return undefined;
	}
}

function list(folder) {
	try {
		return fs.readdirSync(folder);
	} catch {
		return [];
	}
}

function target(link) {
	try {
		return fs.readlinkSync(link);
	} catch {
		return undefined;
	}
}

/** What a program prints; it inherits the descriptor as its third, where one is given. */
function run(words, fd, input) {
	return new Promise((resolve, reject) => {
		const [file, ...args] = words;
		const first = input === undefined ? "ignore" : "pipe";
		const stdio = [first, "pipe", "inherit", ...(fd ? [fd] : [])];
		const child = spawn(file, args, { stdio });
		child.stdin?.end(input);
		const chunks = [];
		child.stdout.on("data", (chunk) => chunks.push(chunk));
		child.on("error", reject);
		child.on("close", (code) => {
			if (code === 0) resolve(Buffer.concat(chunks).toString("latin1"));
			else reject(new Error(`${words.join(" ")} ended with ${code}`));
		});
	});
}

function ask(leaf) {
	return new Promise((resolve, reject) => {
		const request = http.get(`${base}/${leaf}`, { agent }, (response) => {
			const chunks = [];
			response.on("data", (chunk) => chunks.push(chunk));
			response.on("end", () =>
				resolve(Buffer.concat(chunks).toString("latin1")),
			);
		});
		request.on("error", reject);
	});
}

// The record knows gateways and masks, and which instance this is: what is left to ask is the lists of addresses.
const macs = "network/interfaces/macs/";

function askFirst() {
	return Promise.all([ask("instance-id"), ask(macs)]);
}

function askLists(listing) {
	const names = listing.split("\n").filter(Boolean);
	return Promise.all(names.map((name) => ask(`${macs}${name}local-ipv4s/`)));
}

function readState() {
	const guarded = ["", "/undo", "/backup", "/parked", "/journal.json"];
	guarded.push("/undo/journal.json", "/state.json", "/lock", "/daemon.lock");
	for (const name of guarded)
		fs.lstatSync(`${state}${name}`, { throwIfNoEntry: false });
	// Temporary files of an interrupted run.
	for (const folder of [
		state,
		`${state}/undo`,
		`${state}/backup`,
		`${state}/parked`,
		scripts,
		"/etc",
	])
		list(folder);
	return [read(`${state}/state.json`), read(`${state}/journal.json`)];
}

function readHost() {
	const there = [
		"/run/NetworkManager",
		"/run/systemd/system",
		"/sys/fs/selinux/enforce",
		`${scripts}/ifup-eth`,
	];
	for (const file of there) fs.lstatSync(file, { throwIfNoEntry: false });
	return [
		read("/etc/os-release"),
		list("/etc/rc3.d"),
		list("/etc/rc.d/rc3.d"),
		list("/etc/cni/net.d"),
	];
}

function readConfig() {
	const config = read("/etc/eni-configure/config.yaml");
	const templates = ["ifcfg", "route", "rule", "sysctl"].map(
		(name) =>
			read(`/etc/eni-configure/templates/${name}.hbs`) ??
			read(path.join(__dirname, `../templates/${name}.hbs`)),
	);
	return [config, ...templates];
}

function readFiles() {
	const names = list(scripts).filter((name) =>
		/^(ifcfg|route|rule)-/.test(name),
	);
	const files = names.map((name) => {
		fs.lstatSync(`${scripts}/${name}`);
		return read(`${scripts}/${name}`);
	});
	list("/etc/sysctl.d");
	return [read("/etc/sysctl.conf"), ...files];
}

function readKernel() {
	const links = list(net);
	const values = [
		"ifindex",
		"address",
		"type",
		"flags",
		"operstate",
		"mtu",
		"uevent",
	];
	const keys = ["rp_filter", "arp_ignore", "promote_secondaries"];
	list("/etc/iproute2/rt_tables.d");
	return [
		read("/usr/share/iproute2/rt_tables"),
		read("/usr/lib/iproute2/rt_tables"),
		read("/etc/iproute2/rt_tables"),
		read("/proc/net/if_inet6"),
		read("/proc/sys/net/ipv4/ip_forward"),
		read("/proc/sys/kernel/random/boot_id"),
		...links.flatMap((link) => [
			list(`${net}/${link}`).length,
			...values.map((name) => read(`${net}/${link}/${name}`)),
			target(`${net}/${link}/device/driver`),
			target(`${net}/${link}/master`),
			read(`/run/dhclient-${link}.pid`),
		]),
		...[...links, "all", "default"].flatMap((link) =>
			keys.map((key) => read(`${conf}/${link}/${key}`)),
		),
	];
}

async function look() {
	const config = readConfig();
	const fd = fs.openSync(
		`${state}/lock`,
		fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW,
		0o644,
	);
	await run(["flock", "-n", "3"], fd);
	const first = askFirst();
	const kernel = run(
		["ip", "-o", "-4", "-batch", "-"],
		undefined,
		"addr show\nrule show\nroute show table all\n",
	);
	const [instance, listing] = await first;
	const lists = askLists(listing);
	// While these are under way.
	const seen = [readState(), readHost(), readKernel(), readFiles(), config];
	const answers = [instance, listing, ...(await lists), await kernel];
	fs.closeSync(fd);
	agent.destroy();
	const texts = [...seen.flat(), ...answers].filter(Boolean);
	process.stderr.write(`${texts.length} answers\n`);
}

look().catch((error) => {
	process.stderr.write(`${error.stack}\n`);
	process.exitCode = 1;
});
