/**
 * The nouns of the pipeline. Observed and desired never share a type name: what the kernel
 * shows is a Link, what the cloud says is an Eni, what the agent wants is an InterfaceSpec.
 */

/** An IPv4 address on a link as `ip -o addr` prints it, or an IPv6 address as /proc/net/if_inet6 has it. */
export interface LinkAddress {
	ip: string;
	prefix: number;
	family: 4 | 6;
	scope: string;
	/** The kernel will expire it: a DHCP lease, or an IPv6 autoconfigured address. */
	dynamic: boolean;
	label?: string;
	peer?: string;
	broadcast?: string;
}

/** A network interface as the kernel shows it, from /sys/class/net and `ip addr`. */
export interface Link {
	name: string;
	/** Lower case, colon separated; empty where the link has none. */
	mac: string;
	ifindex: number;
	/** Administratively up (IFF_UP); says nothing about the carrier. */
	up: boolean;
	operstate: string;
	mtu: number;
	/** ARPHRD_*: 1 is Ethernet, 772 loopback. */
	type: number;
	driver: string | undefined;
	devtype: string | undefined;
	master: string | undefined;
	lowers: string[];
	/** A DHCP client holds a lease for it. */
	dhcp: boolean;
	addresses: LinkAddress[];
}

/** One policy rule; `words` are what `ip -4 rule add` would need to make it again. */
export interface Rule {
	priority: number;
	from: string;
	to: string | undefined;
	table: number | undefined;
	words: string[];
}

/** One IPv4 route; `words` are what `ip -4 route add` would need to make it again (table included). */
export interface Route {
	table: number;
	type: string;
	/** CIDR in canonical form; 0.0.0.0/0 for the default. */
	dst: string;
	devs: string[];
	via: string | undefined;
	metric: number;
	proto: string | undefined;
	src: string | undefined;
	words: string[];
}

/** What a file was before a step changed it; `content` holds bytes as latin1. */
export interface FileState {
	content: string;
	mode: number;
	uid: number;
	gid: number;
}

/** A file under observation; one that cannot be read has no content, and so is not ours. */
export interface ObservedFile extends FileState {
	path: string;
	/** Why it can be neither replaced nor copied, as a sentence: too large, unreadable, a symbolic link. */
	obstacle?: string;
}

/** What decides about the backend, read without starting a process. */
export interface HostFacts {
	osId: string;
	osVersion: string;
	osName: string;
	networkScripts: boolean;
	networkServiceEnabled: boolean;
	networkManagerRunning: boolean;
	systemdRunning: boolean;
	/** SELinux is on and restorecon is there: files that are replaced get their label back by it. */
	selinux: boolean;
	/** A container network of this cloud's own owns the secondary addresses of ENIs. */
	tkeCni: string | undefined;
}

/** An ENI as the metadata service describes it, validated. */
export interface Eni {
	mac: string;
	addresses: string[];
	primaryAddress: string;
	prefix: number;
	gateway: string;
	publicIps: Record<string, string>;
}

/** The answer of the metadata service about one ENI. */
export type EniAnswer =
	| { state: "ok"; eni: Eni }
	| { state: "unsettled" | "not-found" | "error"; reason: string };

/** What the metadata service says of the machine as a whole. */
export interface CloudView {
	instanceId: string | undefined;
	primaryMac: string | undefined;
	/** Lower-case MACs the service lists; undefined when it gave no usable list. */
	listed: string[] | undefined;
	enis: Record<string, EniAnswer>;
	/** The private IPs of the primary ENI, when they were asked for. */
	primaryAddresses: string[] | undefined;
	/** The primary ENI's EIPs by private IP, when they were asked for. */
	primaryPublicIps?: Record<string, string>;
	problem: string | undefined;
	requests: number;
}

/** The part of the kernel's state that a plan can change. */
export interface KernelState {
	links: Link[];
	rules: Rule[];
	routes: Route[];
	/** /proc/sys/net/ipv4 values by key, such as `conf/eth1/rp_filter` or `ip_forward`. */
	sysctls: Record<string, string>;
}

export interface Observed extends KernelState {
	/** Files in the network-scripts directory that describe links. */
	files: ObservedFile[];
	sysctlConf: ObservedFile | undefined;
	/** sysctl.d files that are read after /etc/sysctl.conf on this release. */
	laterSysctlFiles: ObservedFile[];
	facts: HostFacts;
	cloud: CloudView | undefined;
	state: State;
	/** Users' files kept in backup/, by the name of the copy. */
	backups: Record<string, FileState>;
	/** Names of all copies there, known or not. */
	copies: string[];
	/** Table numbers that /etc/iproute2/rt_tables gives a name: somebody uses them. */
	namedTables: number[];
	/** The kernel's random id of this boot. */
	bootId: string;
	/** Milliseconds since the boot, at the time of the look. */
	nowMs: number;
}

export type Source = "metadata" | "flags" | "config";

/** How one secondary ENI should look inside the guest. */
export interface InterfaceSpec {
	name: string;
	mac: string;
	/** The primary address first, with the subnet's prefix; further ones are /32. */
	addresses: string[];
	subnet: string;
	gateway: string;
	/** Policy-routing table and rule priority; undefined with `routing: none`. */
	table: number | undefined;
	/** Prefixes that main routes over links that are not ENIs. */
	throws: string[];
	/** Metric for the kernel's own subnet route when the primary is in the same subnet. */
	demoteMetric: number | undefined;
	nmControlled: boolean;
	source: Source;
}

/** A fact about a NIC that is not being configured, and why. */
export interface Verdict {
	link: string;
	mac: string | undefined;
	kind:
		| "pending"
		| "backing-off"
		| "held"
		| "refused"
		| "released"
		| "primary"
		| "unlisted"
		| "wrong-kind"
		| "missing"
		| "unmanaged";
	reason: string;
	exitCode: number;
	/** Milliseconds until it may be tried again, where that is known. */
	retryMs?: number;
}

/** The further private IPs of the primary ENI: they stand on its link live, and in no file. */
export interface PrimaryExtras {
	name: string;
	mac: string;
	/** What should stand, each as IP/32. */
	addresses: string[];
	/** What an earlier run added, each as IP/32: only this is ever taken away. */
	recorded: string[];
	/** Whether `managePrimary` is on. */
	isManaged: boolean;
}

export interface Desired {
	/** ENIs to bring to their spec in this run. */
	interfaces: InterfaceSpec[];
	/** What this run takes away: recorded specs without a place in `interfaces`. */
	gone: Managed[];
	/** All that the record and our valid files imply, whatever this run does with it. */
	recorded: Managed[];
	/** Managed ENIs this run does not touch; their sysctl lines stay. */
	others: Managed[];
	/** Names of managed links that are held now: their files were edited by hand. */
	held: string[];
	/** Undefined where this run does not touch them. */
	extras: PrimaryExtras | undefined;
	verdicts: Verdict[];
	/** Things worth a line that change no outcome. */
	notes: Note[];
	primary: Link | undefined;
	rpFilter: RpFilter;
	/** User-owned files that --force may replace, by path. */
	overridden: string[];
	/** Keys of steps that are left undone for now, because somebody else keeps undoing them. */
	left: string[];
}

/** Something people should know; never a reason to roll back. */
export interface Note {
	link: string | undefined;
	text: string;
}

export type RpFilter = 0 | 1 | 2;
export type Routing = "policy" | "none";
export type Restart = "auto" | "interface" | "service" | "none";

/** What our valid files and the state record say we put there. */
export interface Managed {
	name: string;
	mac: string;
	addresses: string[];
	subnet: string;
	gateway: string;
	table: number | undefined;
	throws: string[];
	demoteMetric: number | undefined;
	/** Paths of our valid files for it. */
	files: string[];
	/** It stands in the kernel only, since a run that wrote files only. */
	isLeftover?: boolean;
}

/** How a link looked before the agent first managed it. */
export interface Before {
	up: boolean;
	addresses: string[];
	routes: string[][];
	sysctls: Record<string, string>;
	bootId: string;
}

/** A user's file that --force replaced, to be given back by `remove`. */
export interface Backup {
	path: string;
	copy: string;
	mode: number;
	uid: number;
	gid: number;
}

export interface StaticSource {
	addresses: string[];
	gateway: string;
}

/** When a spec that rolled back may be tried again; another boot or another spec may be tried at once. */
export interface BackOff {
	/** The spec that failed, as text to compare with. */
	spec: string;
	/** How often in a row. */
	attempts: number;
	bootId: string;
	/** Milliseconds since that boot. */
	untilMs: number;
}

/** What state.json remembers about one MAC. */
export interface StateEntry {
	name: string;
	table?: number | undefined;
	managed?: Managed | undefined;
	/** What stands in the kernel besides, since a run that wrote files only. */
	leftover?: Managed | undefined;
	before?: Before | undefined;
	backups?: Backup[] | undefined;
	/** Left alone by --all and the daemon until it is named again, or unbound: after `remove` or `rollback`. */
	released?: boolean | undefined;
	/** A spec that rolled back is not tried again at once. */
	backOff?: BackOff | undefined;
	/** Addresses given by flags: the MAC's source until `remove` or --from-metadata. */
	flags?: StaticSource | undefined;
	/** Gateway and prefix as metadata gave them, good for one instance. */
	cache?:
		| {
				instanceId: string;
				primaryAddress: string;
				prefix: number;
				gateway: string;
		  }
		| undefined;
}

/** What state.json remembers of the primary's further private IPs. */
export interface StateExtras {
	/** The primary's. */
	mac: string;
	/** What the agent added, each as IP/32. */
	addresses: string[];
	/** The boot in which it did: what stands after another one without its doing is somebody else's. */
	bootId: string;
	/** What `managePrimary` was for the change that `rollback` undid: left alone until it is something else. */
	rolledBack?: boolean | undefined;
	backOff?: BackOff | undefined;
}

export interface State {
	version: 1;
	interfaces: Record<string, StateEntry>;
	extras?: StateExtras | undefined;
	/** The primary's MAC as metadata gave it, good for one instance. */
	primary?: { instanceId: string; mac: string } | undefined;
	/** Kernel values of the shared sysctls before the first change, by key. */
	sysctls: Record<string, string>;
	/** The rp_filter that was set, to know it again when it is taken back. */
	rpFilter?: RpFilter | undefined;
	/** The MAC that each NIC named in the config file had at its first use. */
	pinned: Record<string, string>;
}

interface StepOf<Kind extends string> {
	kind: Kind;
	/** The link it is for; undefined for what all links share. */
	link: string | undefined;
}

export interface WriteStep extends StepOf<"write"> {
	path: string;
	content: string;
	mode: number;
	before: FileState | undefined;
	/** Whose file it becomes; without it, the owner of the file it replaces, else ours. */
	owner?: { uid: number; gid: number };
	/** Keep the replaced file in backup/, because it is the user's. */
	keepCopy: boolean;
}
export interface RemoveStep extends StepOf<"remove"> {
	path: string;
	before: FileState;
	keepCopy: boolean;
}
export interface SysctlStep extends StepOf<"sysctl"> {
	key: string;
	value: string;
	before: string | undefined;
}
export interface LinkStep extends StepOf<"link"> {
	op: "up" | "down";
}
export interface AddrStep extends StepOf<"addr"> {
	op: "add" | "del";
	/** What stands after `ip addr add`, without `dev`: the CIDR first. */
	words: string[];
}
export interface RuleStep extends StepOf<"rule"> {
	op: "add" | "del";
	words: string[];
}
export interface RouteStep extends StepOf<"route"> {
	op: "add" | "append" | "prepend" | "replace" | "del";
	words: string[];
}
export interface RunStep extends StepOf<"run"> {
	argv: string[];
	timeoutMs: number;
	/** Repeat the command until one whole line of its output is this. */
	until?: string;
	/** "all" where the command can touch every link of the machine. */
	touches: string[] | "all";
}

export type Step =
	| WriteStep
	| RemoveStep
	| SysctlStep
	| LinkStep
	| AddrStep
	| RuleStep
	| RouteStep
	| RunStep;

export interface Plan {
	steps: Step[];
}

/** What counts as ours when a run is undone. */
export type Claim = Pick<Desired, "interfaces" | "gone" | "recorded"> & {
	/** There only where those of the primary are to be undone as well. */
	extras?: PrimaryExtras | undefined;
};

/**
 * A run as it has to be undone: on disk before its first step, gone once it is committed. Bytes of
 * files are base64 there and latin1 here.
 */
export interface Journal extends Claim {
	version: 1;
	/** Tells this run from every other. */
	id: string;
	bootId: string;
	command: "configure" | "remove" | "rollback";
	/** Names of the links that the run is about. */
	links: string[];
	/** Names of the links that are to be undone; "all" undoes what is shared as well. */
	scope: string[] | "all";
	/** What may have been done, in this order. */
	steps: Step[];
	/** The kernel before the run, as far as the run can touch it. */
	before: KernelState;
	/** state.json before the run; undefined where there was none. */
	record?: FileState | undefined;
	/** Names in backup/ of the copies the run makes, by the path of the file that is replaced. */
	copies: Record<string, string>;
}

/** What verify saw that differs. */
export interface Finding {
	link: string | undefined;
	kind: string;
	want: string;
	got: string;
	/** A later rung of the ladder put it right. */
	mended?: boolean;
}

/** What works on the primary: a secondary must not cost any of it. */
export interface Health {
	link: string;
	addresses: string[];
	gateway: string | undefined;
	/** The link the kernel would use for the primary's gateway. */
	gatewayLink: string | undefined;
	hasNeighbour: boolean;
}

export type Outcome =
	| "unchanged"
	| "applied"
	| "planned"
	| "pending"
	| "refused"
	| "rolled-back"
	| "rollback-failed";

/** Validated settings: defaults, then the config file, then the environment, then flags. */
export interface Settings {
	metadataUrls: string[];
	backend: "auto" | "initscripts";
	restart: Restart;
	routing: Routing;
	rpFilter: RpFilter;
	exclude: { names: string[]; macs: string[]; drivers: string[] };
	/** Static sources by lower-case MAC or by link name. */
	interfaces: Record<string, StaticSource>;
	/** Also add the primary ENI's further private IPs to the kernel, live. */
	managePrimary: boolean;
	/** How often the daemon looks when nothing has happened, in seconds. */
	resyncSeconds: number;
}

/** What this run is asked to do. */
export interface Request {
	verb: "configure" | "remove";
	/** Link names, or all secondary ENIs. */
	targets: string[] | "all";
	flags: StaticSource | undefined;
	fromMetadata: boolean;
	force: boolean;
	prune: boolean;
	dryRun: boolean;
	/** Names that --all passes over: rolled back in an earlier pass of this run. */
	skip: string[];
	/** Set by the daemon, which has been watching: what it knows besides. */
	daemon?: Watched | undefined;
}

/** What the daemon hands to a pass. */
export interface Watched {
	/** What the metadata service has said; the pass asks nothing itself. */
	cloud: CloudView;
	/** Lower-case MACs whose answer has been the same for long enough to take addresses away. */
	settled: string[];
	/** MACs that the daemon has just seen: a NIC is gone only when the pass does not see it either. */
	present: string[];
	/** MACs of NICs that the daemon has seen before, and sees no more. */
	gone: string[];
	/** Keys of steps (see stepKey) that somebody else keeps undoing: left undone for now. */
	left: string[];
	/** There will be something to do, as far as that can be told beforehand: what a change has to know first is asked at once. */
	hasNews?: boolean;
}

/**
 * What the daemon says of itself in /run/eni-configure/status.json, after each pass. Times are
 * ISO 8601.
 */
export interface DaemonStatus {
	version: 1;
	pid: number;
	/** When the process started, in clock ticks since the boot: tells it from a later one with its pid. */
	startTicks: number;
	startedAt: string;
	writtenAt: string;
	nextResyncAt: string;
	metadata: {
		/** Undefined where the last answer was complete. */
		problem?: string | undefined;
		/** The last time the service gave a list of ENIs. */
		answeredAt?: string | undefined;
	};
	lastPass: {
		at: string;
		/** What it was for: start, resync, SIGHUP, eth1, metadata... */
		trigger: string;
		outcome: Outcome;
		ms: number;
		error?: string | undefined;
	};
	lastChange?: { at: string; link?: string | undefined; text: string };
	/** NICs and listed ENIs that are not as they should be, or left alone on purpose. */
	waiting: {
		/** `-` where there is no link. */
		link: string;
		mac?: string | undefined;
		kind: Verdict["kind"];
		reason: string;
		/** When it is tried again, where that is before the next resync. */
		retryAt?: string | undefined;
	}[];
	/** Addresses that the metadata service no longer lists, until its answer has stayed the same. */
	releases: { link: string; addresses: string[]; dueAt: string }[];
	/** What had drifted and was put right, the latest last. */
	drift: {
		link?: string | undefined;
		what: string;
		times: number;
		lastAt: string;
		/** Set while somebody else keeps changing it: left alone until then. */
		leftUntil?: string | undefined;
	}[];
}
