import { backOffKey, backOffLeftMs } from "../back-off.js";
import { exitCodes } from "../errors.js";
import { ipOf, parseCidr, subnetOf } from "../ipv4.js";
import type { InterfaceSpec, Link, Observed, Verdict } from "../model.js";
import { listed, printable } from "../quote.js";
import { addressHolder, chooseAddress, gatewayHolder } from "./address.js";
import {
	defaultRoutes,
	findPrimary,
	notCandidate,
	primaryReason,
} from "./candidate.js";
import { configuredSource, pinnedElsewhere } from "./configured.js";
import type { Address, Context } from "./context.js";
import { foreignFiles, heldAdvice } from "./foreign-files.js";
import { chooseTable, demotedMetric, throwPrefixes } from "./routing.js";

/** One NIC: the spec to bring it to, or why it is left alone. */
export function decide(
	name: string,
	context: Context,
): { spec: InterfaceSpec } | { verdict: Verdict } {
	const { observed, request, settings, recorded } = context;
	const link = observed.links.find((candidate) => candidate.name === name);
	const stop = (kind: Verdict["kind"], reason: string, exitCode: number) => ({
		verdict: { link: name, mac: link?.mac, kind, reason, exitCode },
	});
	if (request.verb === "remove") {
		const isManaged = recorded.some((managed) => managed.name === name);
		const carriesDefault = defaultRoutes(observed.routes).some((route) =>
			route.devs.includes(name),
		);
		if (isManaged && carriesDefault) {
			return stop(
				"primary",
				"carries the machine's default route: taking it down would cut the machine off; give the route back to the primary first",
				exitCodes.refused,
			);
		}
		return isManaged
			? stop("released", "is removed", exitCodes.converged)
			: stop(
					"unmanaged",
					link
						? "is not managed: nothing to remove"
						: "is not managed, and there is no such NIC",
					link ? exitCodes.converged : exitCodes.usage,
				);
	}
	if (!link)
		return stop(
			"missing",
			`there is no such NIC: the machine has ${listed(observed.links.map((other) => other.name))}`,
			exitCodes.usage,
		);
	const wrong = notCandidate(link, settings.exclude);
	if (wrong) return stop("wrong-kind", wrong, exitCodes.usage);
	const primary = primaryReason(link, observed);
	if (primary)
		return stop(
			"primary",
			primaryAdvice(link, primary, observed),
			request.targets === "all" ? exitCodes.converged : exitCodes.refused,
		);
	if (!findPrimary(observed)) {
		return stop(
			"refused",
			"which NIC is the primary is not known (no default route, and no word of it from the metadata service): nothing is touched",
			exitCodes.refused,
		);
	}
	const twins = observed.links.filter(
		(other) =>
			other.mac === link.mac &&
			notCandidate(other, settings.exclude) === undefined,
	);
	if (twins.length > 1) {
		return stop(
			"refused",
			`shares the MAC ${link.mac} with ${twins
				.filter((twin) => twin !== link)
				.map((twin) => twin.name)
				.join(", ")}: neither is touched`,
			exitCodes.refused,
		);
	}
	const entry = observed.state.interfaces[link.mac];
	if (entry?.released && request.targets === "all") {
		return stop(
			"released",
			`was ${entry.managed ? "rolled back" : "removed"}; \`eni-configure ${name}\` takes it back`,
			exitCodes.converged,
		);
	}
	const configured = configuredSource(link, settings, observed.state);
	const pinned = pinnedElsewhere(link, settings, observed.state);
	if (pinned)
		context.notes.push({
			link: name,
			text: `the config's ${name} meant the NIC ${pinned}, and this one is ${link.mac}: not used`,
		});
	if (observed.facts.tkeCni && request.targets === "all" && !configured) {
		return stop(
			"refused",
			`the container network ${observed.facts.tkeCni} owns ENIs here: name the NIC under \`interfaces:\` in the config to have it configured`,
			exitCodes.refused,
		);
	}
	const address = chooseAddress(link, configured, context);
	if ("kind" in address)
		return stop(address.kind, address.reason, address.exitCode);

	const foreign = foreignFiles(name, link.mac, observed);
	const obstacle = foreign.find((file) => file.obstacle)?.obstacle;
	if (obstacle !== undefined) {
		return stop(
			"held",
			`${printable(obstacle)}; no copy of it can be kept: move it away`,
			exitCodes.refused,
		);
	}
	if (foreign.length > 0 && !request.force)
		return stop("held", heldAdvice(name, foreign), exitCodes.refused);

	const misfit = gatewayHolder(address, context);
	if (misfit)
		return stop("held", `${misfit}: held, not configured`, exitCodes.refused);

	const held = address.addresses.flatMap((cidr) => {
		const reason = addressHolder(ipOf(cidr), link, context);
		return reason ? [{ cidr, reason }] : [];
	});
	const [first] = held;
	if (
		first &&
		(first.cidr === address.addresses[0] || address.source !== "metadata")
	) {
		return stop(
			"held",
			`${ipOf(first.cidr)} ${first.reason}: held, not configured`,
			exitCodes.refused,
		);
	}
	for (const { cidr, reason } of held)
		context.notes.push({
			link: name,
			text: `${ipOf(cidr)} ${reason}: held, not configured`,
		});

	const addresses = address.addresses.filter(
		(cidr) => !held.some((one) => one.cidr === cidr),
	);
	const spec = specOf(link, { ...address, addresses }, context);
	const waitMs = backOffLeftMs(
		backOffKey(spec, observed),
		entry?.backOff,
		observed,
	);
	if (waitMs > 0 && request.targets === "all") {
		const times = entry?.backOff?.attempts ?? 1;
		const { verdict } = stop(
			"backing-off",
			`was rolled back ${times === 1 ? "once" : `${times} times`}, and nothing has changed since: tried again in ${Math.ceil(waitMs / 1000)} s, or at once by \`eni-configure ${name}\``,
			exitCodes.rolledBack,
		);
		return { verdict: { ...verdict, retryMs: waitMs } };
	}
	return { spec };
}

function specOf(link: Link, address: Address, context: Context): InterfaceSpec {
	const { observed, settings, recorded, primaries } = context;
	const [first = "", ...further] = address.addresses;
	const primary = parseCidr(first) ?? { ip: first, prefix: 32 };
	const subnet = subnetOf(primary.ip, primary.prefix);
	const table = chooseTable(link, observed, recorded, context.taken);
	context.taken.push(table);
	// Whoever has no rules of its own (the primary, a bridge, a NIC set up by hand) needs its route first.
	const hasRules = ({ mac }: Link) =>
		recorded.some((managed) => managed.mac === mac);
	const isShared = observed.links.some(
		(other) =>
			other.name !== link.name &&
			(primaries.includes(other) || !hasRules(other)) &&
			other.addresses.some(
				({ family, ip, prefix }) =>
					family === 4 && subnetOf(ip, prefix) === subnet,
			),
	);
	return {
		name: link.name,
		mac: link.mac,
		addresses: [first, ...further.map((cidr) => `${ipOf(cidr)}/32`)],
		subnet,
		gateway: address.gateway,
		table: settings.routing === "none" ? undefined : table,
		throws: settings.routing === "none" ? [] : throwPrefixes(observed, subnet),
		demoteMetric: isShared ? demotedMetric(table) : undefined,
		nmControlled: !observed.facts.networkManagerRunning,
		source: address.source,
	};
}

function primaryAdvice(link: Link, reason: string, observed: Observed): string {
	const mac = observed.cloud?.primaryMac ?? observed.state.primary?.mac;
	const isStolen =
		reason.includes("default route") && mac !== undefined && mac !== link.mac;
	const route = defaultRoutes(observed.routes)[0];
	return isStolen
		? `${reason}, though the primary ENI is ${mac}: never touched; give the default route back first (now: default via ${route?.via ?? "nothing"} dev ${link.name})`
		: `${reason}: the primary is never touched but for its rp_filter`;
}
