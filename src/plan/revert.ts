import { isMainDefault } from "../desire/candidate.js";
import { isOurRule } from "../desire/managed.js";
import { ipOf } from "../ipv4.js";
import type {
	Claim,
	FileState,
	InterfaceSpec,
	KernelState,
	Link,
	Managed,
	RemoveStep,
	Route,
	Rule,
	Step,
	WriteStep,
} from "../model.js";
import { addressWords } from "./addresses.js";
import { extrasBack } from "./extras.js";
import { isLostDefault } from "./foreign.js";
import { isConnected, isSameRoute, tableRoutes } from "./table-routes.js";

/** What of a run is being undone. */
export interface RevertScope {
	/** Names of the links that failed; "all" undoes what is shared as well. */
	links: string[] | "all";
	/** Links that a command of the run may have bounced. */
	touched: string[] | "all";
	/** Time has passed since: a default route that stands somewhere else now is somebody's choice. */
	isLater?: boolean;
}

/** Everything that a run takes for ours: what it wants, what it takes away, what the record held. */
function claimed({
	interfaces,
	gone,
	recorded,
}: Claim): (Managed | InterfaceSpec)[] {
	return [...interfaces, ...gone, ...recorded];
}

function asManaged(one: Managed | InterfaceSpec): Managed {
	return { ...one, files: [] };
}

/** The part of the kernel that a run can touch: all that revertKernel() will ask of `before`. */
export function touchableKernel(
	kernel: KernelState,
	claim: Claim,
	touched: string[] | "all",
): KernelState {
	if (touched === "all") return kernel;
	const own = claimed(claim);
	const names = [...touched, ...own.map(({ name }) => name)];
	const linkNames = [...names, claim.extras?.name];
	const tables = own.map(({ table }) => table);
	const implied = own.map(asManaged);
	return {
		links: kernel.links.filter(({ name }) => linkNames.includes(name)),
		rules: kernel.rules.filter((rule) => isOurRule(rule, implied)),
		routes: kernel.routes.filter(
			(route) =>
				route.devs.some((dev) => names.includes(dev)) ||
				tables.includes(route.table) ||
				isMainDefault(route),
		),
		sysctls: {},
	};
}

/** The inverse of the file and sysctl steps that were done, newest first. */
export function revertSteps(done: Step[], scope: RevertScope): Step[] {
	return [...done].reverse().flatMap((step): Step[] => {
		if (
			scope.links !== "all" &&
			(step.link === undefined || !scope.links.includes(step.link))
		)
			return [];
		switch (step.kind) {
			case "write":
				return [
					step.before
						? putBack(step, step.before)
						: {
								kind: "remove",
								link: step.link,
								path: step.path,
								before: {
									content: step.content,
									mode: step.mode,
									uid: 0,
									gid: 0,
								},
								keepCopy: false,
							},
				];
			case "remove":
				return [putBack(step, step.before)];
			case "sysctl":
				return step.before === undefined
					? []
					: [
							{
								kind: "sysctl",
								link: step.link,
								key: step.key,
								value: step.before,
								before: step.value,
							},
						];
			default:
				return [];
		}
	});
}

function putBack(
	{ link, path }: WriteStep | RemoveStep,
	{ content, mode, uid, gid }: FileState,
): WriteStep {
	const owner = { uid, gid };
	const nothing = { before: undefined, keepCopy: false };
	return { kind: "write", link, path, content, mode, owner, ...nothing };
}

/**
 * The kernel steps back to how the failed links were before the run. What somebody else added
 * meanwhile stays; what a command of ours dropped comes back. No steps: it is as it was.
 */
export function revertKernel(
	before: KernelState,
	now: KernelState,
	claim: Claim,
	scope: RevertScope,
): Step[] {
	const own = claimed(claim);
	const isFailed = (name: string) =>
		scope.links === "all"
			? own.some((one) => one.name === name)
			: scope.links.includes(name);
	const isOwn = (name: string) => own.some((one) => one.name === name);
	const isBounced = (name: string) =>
		scope.touched === "all" || scope.touched.includes(name);
	// A link of the run that did not fail keeps what the run gave it.
	const isTouched = (name: string) =>
		isFailed(name) || (isBounced(name) && !isOwn(name));
	const failed = own.filter((one) => isFailed(one.name));
	// Another NIC under its name is none of this run's business.
	const here = failed.filter(({ name, mac }) =>
		now.links.some((link) => link.name === name && link.mac === mac),
	);
	const tables = failed.flatMap((one) => one.table ?? []);
	const implied = failed.map(asManaged);

	const rules = difference(before.rules, now.rules, (rule) =>
		rule.words.join(" "),
	);
	const isConcerned = (route: Route) =>
		route.devs.some(isTouched) ||
		tables.includes(route.table) ||
		isMainDefault(route);
	const routes = difference(
		before.routes.filter(isConcerned),
		now.routes.filter(isConcerned),
		(route) => route.words.join(" "),
	);
	const links = before.links
		.filter((link) => isTouched(link.name))
		.map((link) => ({
			link,
			present: now.links.find(
				(one) => one.name === link.name && one.mac === link.mac,
			),
		}));
	const addresses = links.flatMap(({ link, present }) => {
		if (!present) return [];
		// Link-local IPv6 addresses come and go with the link.
		const lasting = (addresses: typeof link.addresses) =>
			addresses.filter(({ scope }) => scope !== "link");
		const changed = difference(
			lasting(link.addresses),
			lasting(present.addresses),
			({ ip, prefix }) => `${ip}/${prefix}`,
		);
		return [{ name: link.name, ...changed }];
	});
	const isOurAddress = (name: string, cidr: string) =>
		here.some((one) => one.name === name && one.addresses.includes(cidr));
	const isRecorded = (name: string, cidr: string) =>
		claim.recorded.some(
			(one) => one.name === name && one.addresses.includes(cidr),
		);
	const added = addresses.flatMap(({ name, missing }) =>
		missing
			.filter(
				({ ip, prefix }) =>
					isBounced(name) || isRecorded(name, `${ip}/${prefix}`),
			)
			.map((address) => ({ name, address })),
	);
	const removed = addresses.flatMap(({ name, extra }) =>
		extra
			.map(({ ip, prefix }) => `${ip}/${prefix}`)
			.filter((cidr) => isOurAddress(name, cidr))
			.map((cidr) => ({ name, cidr })),
	);

	const isImplied = (route: Route) =>
		failed
			.flatMap(tableRoutes)
			.some(
				(words) =>
					isSameRoute(route, words) &&
					route.devs.every((dev) => here.some(({ name }) => name === dev)),
			);
	// The route that the kernel made for one of our addresses; an address of somebody else's has its own.
	const isOurConnected = (route: Route) =>
		route.proto === "kernel" &&
		here.some(
			({ name, addresses }) =>
				route.devs.join() === name &&
				addresses.some((cidr) => ipOf(cidr) === route.src),
		);
	// A new default on a link that is none of ours is somebody else's: a DHCP client's, for one.
	const removable = routes.extra.filter(
		(route) =>
			isImplied(route) ||
			isOurConnected(route) ||
			(isMainDefault(route) &&
				!scope.isLater &&
				route.devs.some((dev) => here.some(({ name }) => name === dev))),
	);
	// What its owner took away meanwhile, without a command of ours, stays away; so does what went with its link or address.
	const isThere = (name: string) =>
		now.links.some((one) => one.name === name) &&
		links.every(({ link, present }) => link.name !== name || present);
	const hasSource = ({ src }: Route) =>
		src === undefined ||
		added.some(({ address }) => address.ip === src) ||
		now.links.some(({ name, addresses }) =>
			addresses.some(
				({ ip, prefix }) =>
					ip === src &&
					!removed.some(
						(one) => one.name === name && one.cidr === `${ip}/${prefix}`,
					),
			),
		);
	const isOursToMend = (route: Route) =>
		route.devs.every(isThere) &&
		hasSource(route) &&
		((route.devs.some(isBounced) && !isMainDefault(route)) ||
			tables.includes(route.table) ||
			// The run may have demoted it: the first of its subnet, whosever address it is for.
			(route.proto === "kernel" &&
				here.some((one) => isConnected(route, one))) ||
			(isMainDefault(route) &&
				isLostDefault(
					route,
					now.routes.filter(isMainDefault),
					removable.filter(isMainDefault),
				)));
	// Down, a link would lose what somebody else has made of it meanwhile.
	const isInUse = (link: Link) =>
		link.dhcp ||
		link.master !== undefined ||
		now.links.some(({ lowers }) => lowers.includes(link.name)) ||
		routes.extra.some(
			(route) => route.devs.includes(link.name) && !removable.includes(route),
		) ||
		addresses.some(
			(one) =>
				one.name === link.name &&
				one.extra.some(
					({ ip, prefix, dynamic, family }) =>
						!(dynamic && family === 6) &&
						!isOurAddress(link.name, `${ip}/${prefix}`),
				),
		);
	const state = (op: "up" | "down") =>
		links.flatMap(({ link, present }): Step[] =>
			present &&
			link.up !== present.up &&
			link.up === (op === "up") &&
			(op === "up" ||
				!(isInUse(present) || (scope.isLater && !isOwn(link.name))))
				? [{ kind: "link", link: link.name, op }]
				: [],
		);
	// A rule that a NIC which did not fail has lost on purpose stays away.
	const surviving = own.filter((one) => !isFailed(one.name)).map(asManaged);
	const isLostRule = (rule: Rule) =>
		isOurRule(rule, implied) ||
		(scope.touched === "all" && !isOurRule(rule, surviving));
	return [
		...rules.extra
			.filter((rule) => isOurRule(rule, implied))
			.map(
				(rule): Step => ({
					kind: "rule",
					link: undefined,
					op: "del",
					words: rule.words,
				}),
			),
		...removable.map(
			(route): Step => ({
				kind: "route",
				link: route.devs[0],
				op: "del",
				words: route.words,
			}),
		),
		...removed.map(
			({ name, cidr }): Step => ({
				kind: "addr",
				link: name,
				op: "del",
				words: [cidr],
			}),
		),
		...extrasBack(claim.extras, before, now, isBounced),
		...state("down"),
		...state("up"),
		...added.map(
			({ name, address }): Step => ({
				kind: "addr",
				link: name,
				op: "add",
				words: addressWords(address),
			}),
		),
		...inOrder(routes.missing.filter(isOursToMend), before.routes, now.routes),
		...rules.missing.filter(isLostRule).map(
			(rule): Step => ({
				kind: "rule",
				link: undefined,
				op: "add",
				words: rule.words,
			}),
		),
	];
}

// Of two routes with one prefix and metric the first wins, so a missing one returns to its place.
function inOrder(missing: Route[], before: Route[], now: Route[]): Step[] {
	const textOf = (route: Route) => route.words.join(" ");
	const sameKey = (a: Route, b: Route) =>
		a.table === b.table && a.dst === b.dst && a.metric === b.metric;
	const step = (route: Route, op: "append" | "prepend"): Step => ({
		kind: "route",
		link: route.devs[0],
		op,
		words: route.words,
	});
	const isAfterKept = (route: Route) => {
		const group = before.filter((one) => sameKey(one, route));
		const kept = group.findIndex((one) =>
			now.some((present) => textOf(present) === textOf(one)),
		);
		return kept < 0 || kept < group.indexOf(route);
	};
	return [
		...missing.filter(isAfterKept).map((route) => step(route, "append")),
		...missing
			.filter((route) => !isAfterKept(route))
			.reverse()
			.map((route) => step(route, "prepend")),
	];
}

// Multisets: the same rule twice is two rules.
function difference<T>(
	before: T[],
	now: T[],
	keyOf: (item: T) => string,
): { missing: T[]; extra: T[] } {
	const surplus = (items: T[], others: T[]) => {
		const counts = new Map<string, number>();
		for (const other of others)
			counts.set(keyOf(other), (counts.get(keyOf(other)) ?? 0) + 1);
		return items.filter((item) => {
			const left = counts.get(keyOf(item)) ?? 0;
			counts.set(keyOf(item), left - 1);
			return left <= 0;
		});
	};
	return { missing: surplus(before, now), extra: surplus(now, before) };
}
