import fc from "fast-check";

/** Text that must never get into a file that root's shell reads, nor into a command. */
export const hostile: string[] = [
	"$(touch x)",
	"`touch x`",
	`\${IFS}`,
	"1.2.3.4;reboot",
	"1.2.3.4 && reboot",
	"1.2.3.4|reboot",
	'1.2.3.4"; reboot; "',
	"1.2.3.4'",
	"1.2.3.4\nONBOOT=no",
	"1.2.3.4\r\nONBOOT=no",
	"1.2.3.4\0",
	"\x00",
	"1.2.3.4\\",
	"1.2.3.4 # x",
	"１.2.3.4",
	"1.2.3.4\u2028",
	"١.٢.٣.٤",
	"💥",
	"../../etc/passwd",
	"%s%n",
	"<!doctype html><html>not found</html>",
	"{{constructor}}",
	"9".repeat(10_000),
	`1.2.3.4${" ".repeat(5_000)}`,
];

// Made once: fast-check builds a table of all characters for each.
const anything = fc.string({ unit: "binary", minLength: 1, maxLength: 40 });

/** The above as they are, or around and inside something valid; and anything else. */
export function hostileAround(
	valid: fc.Arbitrary<string>,
): fc.Arbitrary<string> {
	const poison = fc.constantFrom(
		..."$`\"'\\;|&<>(){}\n\r\0\t\u2028é*?~!#=".split(""),
	);
	return fc.oneof(
		fc.constantFrom(...hostile),
		fc
			.tuple(valid, poison, fc.nat())
			.map(
				([text, bad, at]) =>
					text.slice(0, at % (text.length + 1)) +
					bad +
					text.slice(at % (text.length + 1)),
			),
		anything,
	);
}
