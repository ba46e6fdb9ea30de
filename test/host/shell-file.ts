/** What a shell would know after sourcing a file of plain assignments; anything else in it is an error of the test. */
export function source(text: string): Record<string, string> {
	const values: Record<string, string> = {};
	for (const [at, line] of text.split("\n").entries()) {
		if (/^\s*(#.*)?$/.test(line)) continue;
		const match =
			/^\s*([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"`$\\]*)"|'([^']*)'|([^\s"'`$\\;|&<>()]*))\s*(?:#.*)?$/.exec(
				line,
			);
		if (!match?.[1])
			throw new Error(
				`line ${at + 1} is more shell than the fake host understands: ${line}`,
			);
		values[match[1]] = match[2] ?? match[3] ?? match[4] ?? "";
	}
	return values;
}

/** Lines which are neither blank nor a comment. */
export function linesOf(text: string): string[] {
	return text.split("\n").filter((line) => !/^\s*(#.*)?$/.test(line));
}
