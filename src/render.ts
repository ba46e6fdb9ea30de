import { AgentError } from "./errors.js";
import {
	missingValue,
	readIfcfg,
	routeProblem,
	ruleProblem,
	sysctlProblem,
} from "./grammar.js";
import { ipOf, maskOfPrefix, parseCidr } from "./ipv4.js";
import type { InterfaceSpec } from "./model.js";
import { type Engine, templateProblem } from "./template-language.js";

export const templateNames = ["ifcfg", "route", "rule", "sysctl"] as const;
export type TemplateName = (typeof templateNames)[number];

// What a template may name; a misspelt {{#each}} would otherwise render nothing, without a word.
const fields: Record<TemplateName, readonly string[]> = {
	ifcfg: [
		...["name", "mac", "hwaddr", "nmControlled", "address", "prefix"],
		...["netmask", "subnet", "gateway", "further", "index"],
	],
	route: ["name", "mac", "subnet", "gateway", "table", "sources"],
	rule: ["name", "mac", "subnet", "gateway", "table", "sources"],
	sysctl: ["settings", "link", "leaf", "value"],
};

/** Template texts, and where each came from for error messages. */
export type Templates = Record<TemplateName, { text: string; origin: string }>;

/** One line of the sysctl.conf block. */
export interface SysctlSetting {
	link: string;
	leaf: string;
	value: string;
}

/** Renders text from an InterfaceSpec; knows nothing of files. */
export interface Renderer {
	ifcfg(spec: InterfaceSpec): string;
	route(spec: InterfaceSpec): string;
	rule(spec: InterfaceSpec): string;
	sysctl(settings: SysctlSetting[]): string;
}

/**
 * A renderer for the given templates, with an engine for them. Values are validated before they get here and the result
 * is checked against the file kind's grammar, whoever wrote the template: an AgentError of kind
 * `usage` names the template, the line and what was expected.
 */
export function createRenderer(templates: Templates, engine: Engine): Renderer {
	const compiled = new Map<TemplateName, (data: object) => string>();
	function render(
		name: TemplateName,
		data: object,
		problemOf: (text: string) => string | undefined,
	): string {
		const { text: source, origin } = templates[name];
		let template = compiled.get(name);
		if (!template) {
			const unfit = templateProblem(source, fields[name]);
			if (unfit) throw new AgentError("usage", `template ${origin}: ${unfit}`);
			template = engine.compile(source);
			compiled.set(name, template);
		}
		let text: string;
		try {
			text = template(data);
		} catch (error) {
			throw new AgentError(
				"usage",
				`template ${origin}: ${engine.describe(error)}`,
				error,
			);
		}
		const problem = problemOf(text);
		if (problem)
			throw new AgentError(
				"usage",
				`template ${origin} renders something unfit: ${problem}`,
			);
		return text;
	}
	return {
		ifcfg: (spec) => {
			const data = ifcfgData(spec);
			const must: Record<string, string> = {
				DEVICE: data.name,
				HWADDR: data.hwaddr,
				ONBOOT: "yes",
				BOOTPROTO: "none",
				NM_CONTROLLED: data.nmControlled,
				IPADDR: data.address,
				DEFROUTE: "no",
			};
			for (const { index, address } of data.further)
				must[`IPADDR${index}`] = address;
			return render("ifcfg", data, (text) => {
				const values = readIfcfg(text);
				return typeof values === "string"
					? values
					: (missingValue(values, must) ?? maskProblem(values, data));
			});
		},
		route: (spec) =>
			render("route", routeData(spec), (text) => routeProblem(text, spec.name)),
		rule: (spec) => render("rule", routeData(spec), ruleProblem),
		sysctl: (settings) => render("sysctl", { settings }, sysctlProblem),
	};
}

function ifcfgData(spec: InterfaceSpec) {
	const [address = "", ...further] = spec.addresses.map(ipOf);
	return {
		name: spec.name,
		mac: spec.mac,
		// Upper case and double quotes: IS30 (CentOS 7.2) greps for HWADDR that way only.
		hwaddr: spec.mac.toUpperCase(),
		nmControlled: spec.nmControlled ? "yes" : "no",
		address,
		prefix: parseCidr(spec.addresses[0] ?? "")?.prefix ?? 32,
		netmask: maskOfPrefix(parseCidr(spec.addresses[0] ?? "")?.prefix ?? 32),
		subnet: spec.subnet,
		gateway: spec.gateway,
		// Contiguous from 1: the first gap at index 2 or later ends the list silently.
		further: further.map((ip, at) => ({ index: at + 1, address: ip })),
	};
}

function routeData(spec: InterfaceSpec) {
	return {
		name: spec.name,
		mac: spec.mac,
		subnet: spec.subnet,
		gateway: spec.gateway,
		table: spec.table ?? 0,
		sources: spec.addresses.map((cidr) => `${ipOf(cidr)}/32`),
	};
}

// Without a mask of its own an address gets the classful one: 10.x gets /8. PREFIX beats NETMASK.
function maskProblem(
	values: Record<string, string>,
	data: ReturnType<typeof ifcfgData>,
): string | undefined {
	const all = [
		{ suffix: "", prefix: data.prefix },
		...data.further.map(({ index }) => ({ suffix: String(index), prefix: 32 })),
	];
	const wrong = all.find(({ suffix, prefix }) => {
		const given = values[`PREFIX${suffix}`];
		return given === undefined
			? values[`NETMASK${suffix}`] !== maskOfPrefix(prefix)
			: given !== String(prefix);
	});
	return wrong
		? `PREFIX${wrong.suffix}="${wrong.prefix}" is missing`
		: undefined;
}
