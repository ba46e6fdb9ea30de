import { networkOf, parsePrefix } from "./ip-math";
import { plusBroadcast } from "./kernel";
import { type KernelRoute, type RouteMode, tables } from "./kernel-routes";
import type { Kernel, KernelRule } from "./kernel-types";
import type { Operations } from "./operations";

/** What `ip` says when the kernel refuses. */
export interface Refusal {
	text: string;
	/** A word it cannot read ends the program, batch or not. */
	isFatal: boolean;
}

const refused = (answer: string | undefined): Refusal | undefined =>
	answer === undefined
		? undefined
		: { text: `RTNETLINK answers: ${answer}`, isFatal: false };
export const said = (text: string): Refusal => ({ text, isFatal: false });
export const unreadable = (text: string): Refusal => ({ text, isFatal: true });

/** Does one changing `ip` line, numbered as an operation; what the kernel or `ip` has against it, or undefined. */
export function changeByIp(
	kernel: Kernel,
	operations: Operations,
	words: string[],
): Refusal | undefined {
	if (operations.begin("ip", words.join(" ")))
		return refused("Cannot allocate memory");
	const [object, verb = "", ...rest] = words;
	if (object === "link" && verb === "set") return changeLink(kernel, rest);
	if (object === "addr" && (verb === "add" || verb === "del"))
		return changeAddress(kernel, verb, rest);
	if (object === "rule" && (verb === "add" || verb === "del"))
		return changeRule(kernel, verb, rest);
	if (object === "route") return changeRoute(kernel, verb, rest);
	return said(
		`Object "${words.slice(0, 2).join(" ")}" is unknown, try "ip help".`,
	);
}

function changeLink(kernel: Kernel, rest: string[]): Refusal | undefined {
	const [name = "", state] = rest[0] === "dev" ? rest.slice(1) : rest;
	const link = kernel.link(name);
	if (!link) return said(`Cannot find device "${name}"`);
	if (state !== "up" && state !== "down")
		return unreadable(
			`Error: either "dev" is duplicate, or "${state}" is a garbage.`,
		);
	kernel.setLink(link, state === "up");
	return undefined;
}

function changeAddress(
	kernel: Kernel,
	verb: "add" | "del",
	[cidr = "", ...rest]: string[],
): Refusal | undefined {
	const values = pairs(rest);
	const parsed = parsePrefix(cidr);
	if (!parsed || !values)
		return unreadable(
			`Error: an inet prefix is expected rather than "${cidr}".`,
		);
	const link = kernel.link(values.dev ?? "");
	if (!link) return said(`Cannot find device "${values.dev}"`);
	const [ip = "", length] = parsed.split("/");
	const prefix = Number(length);
	if (verb === "del") return refused(kernel.deleteAddress(link, ip, prefix));
	const broadcast = values.brd === "+" ? plusBroadcast(ip, prefix) : values.brd;
	const scope = (values.scope ?? "global") as "global" | "link" | "host";
	return refused(
		kernel.addAddress(link, {
			ip,
			prefix,
			broadcast,
			scope,
			label: values.label ?? link.name,
			dynamic: false,
		}),
	);
}

function changeRule(
	kernel: Kernel,
	verb: "add" | "del",
	rest: string[],
): Refusal | undefined {
	const values = pairs(rest);
	const from = parsePrefix(values?.from ?? "all");
	const to = values?.to === undefined ? undefined : parsePrefix(values.to);
	if (!values || !from)
		return unreadable(
			`Error: an inet prefix is expected rather than "${values?.from}".`,
		);
	const priority = values.priority ?? values.prio ?? values.pref;
	const table = tableNumber(values.lookup ?? values.table ?? "main");
	const rule: KernelRule = {
		priority: Number(priority ?? (kernel.rules[1]?.priority ?? 1) - 1),
		from,
		to,
		iif: values.iif,
		table,
	};
	if (verb === "add") return refused(kernel.addRule(rule));
	// Deleting compares only what is named.
	return refused(
		kernel.deleteRule({
			...(values.from ? { from } : {}),
			to,
			iif: values.iif,
			...(priority ? { priority: rule.priority } : {}),
			...(values.lookup || values.table ? { table } : {}),
		}),
	);
}

const routeTypes = [
	"unicast",
	"throw",
	"blackhole",
	"unreachable",
	"prohibit",
	"local",
	"broadcast",
];

function changeRoute(
	kernel: Kernel,
	verb: string,
	words: string[],
): Refusal | undefined {
	const rest = [...words];
	const type = routeTypes.includes(rest[0] ?? "") ? rest.shift() : undefined;
	const given = parsePrefix(rest.shift() ?? "");
	const values = pairs(rest);
	if (!given || !values)
		return unreadable(
			`Error: an inet prefix is expected rather than "${words.join(" ")}".`,
		);
	if (values.dev !== undefined && !kernel.link(values.dev))
		return said(`Cannot find device "${values.dev}"`);
	const [ip = "", prefix] = given.split("/");
	const dst = networkOf(ip, Number(prefix));
	if (dst !== given) return refused("Invalid argument");
	const route = {
		dst,
		dev: values.dev,
		via: values.via,
		src: values.src,
		table: tableNumber(values.table ?? "main"),
		metric: Number(values.metric ?? 0),
	};
	if (verb === "del")
		return refused(
			kernel.routes.remove({
				...route,
				type,
				scope: values.scope as KernelRoute["scope"],
				proto: values.proto,
			}),
		);
	const isOnLink =
		values.via === undefined && (type ?? "unicast") === "unicast";
	const whole: KernelRoute = {
		...route,
		type: type ?? "unicast",
		proto: values.proto ?? "boot",
		scope: (values.scope ??
			(isOnLink ? "link" : "global")) as KernelRoute["scope"],
	};
	return refused(kernel.routes.insert(verb as RouteMode, whole));
}

function pairs(words: string[]): Record<string, string> | undefined {
	if (words.length % 2 !== 0) return undefined;
	return Object.fromEntries(
		words.flatMap((word, at) =>
			at % 2 === 0 ? [[word, words[at + 1] ?? ""]] : [],
		),
	);
}

function tableNumber(text: string): number {
	return (tables as Record<string, number>)[text] ?? Number(text);
}
