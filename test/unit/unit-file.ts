/** What a version of systemd knows of unit files. */
export interface Known {
	/** Directives by section. */
	sections: Record<string, string[]>;
	/** The values of those that take one of a few words. */
	values: Record<string, string[]>;
	/** Names that the kernel beside it knows. */
	capabilities: string[];
}

export interface Entry {
	section: string;
	key: string;
	value: string;
	line: number;
}

/** The directives of a unit file in order; lines that are none get an empty key. */
export function parseUnit(text: string): Entry[] {
	let section = "";
	return text.split("\n").flatMap((raw, at): Entry[] => {
		const line = raw.trim();
		if (line === "" || /^[#;]/.test(line)) return [];
		const header = /^\[(.+)\]$/.exec(line);
		if (header?.[1]) {
			section = header[1];
			return [];
		}
		const [, key = "", value = line] =
			/^([A-Za-z]+)\s*=\s*(.*)$/.exec(line) ?? [];
		return [{ section, key, value, line: at + 1 }];
	});
}

/** All values of a directive, in order. */
export function valuesOf(text: string, section: string, key: string): string[] {
	return parseUnit(text)
		.filter((entry) => entry.section === section && entry.key === key)
		.map(({ value }) => value);
}

const strong = ["Requires", "RequiresOverridable", "Requisite", "BindsTo"];

/** What is wrong with a unit of ours for a version of systemd, a line each. */
export function problemsOf(text: string, known: Known): string[] {
	return parseUnit(text).flatMap((entry) =>
		problem(entry, known).map((what) => `line ${entry.line}: ${what}`),
	);
}

function problem(
	{ section, key, value }: Entry,
	{ sections, values, capabilities }: Known,
): string[] {
	const own = sections[section];
	if (own === undefined) return [`[${section}] is no section of a service`];
	if (key === "") return [`${value} is no directive`];
	if (value.endsWith("\\")) return [`${key}= goes on in the next line`];
	if (!own.includes(key)) {
		const other = Object.keys(sections).find((name) =>
			sections[name]?.includes(key),
		);
		return [
			other === undefined
				? `${key}= is not known`
				: `${key}= belongs in [${other}], not in [${section}]`,
		];
	}
	const words = values[key];
	if (words && !words.includes(value))
		return [`${key}=${value} is none of ${words.join(", ")}`];
	if (key === "CapabilityBoundingSet")
		return value
			.replace(/^~/, "")
			.split(/\s+/)
			.filter((name) => !capabilities.includes(name))
			.map((name) => `${name} is not known`);
	if (strong.includes(key) && /network/i.test(value))
		return [`${key}=${value}: the network may fail, and this is to run`];
	return [];
}
