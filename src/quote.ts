const maxLength = 60;
const maxNamed = 8;

// Control and format characters (bidirectional overrides too), surrogates, other line ends.
const steering = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text from outside as it may stand in a message: quoted, cut, and with nothing that could steer a terminal. */
export function quote(text: string): string {
	const cut =
		text.length > maxLength ? `${text.slice(0, maxLength - 3)}...` : text;
	return escapeSteering(JSON.stringify(cut));
}

/** Text with `?` for what could steer a terminal or end a line. */
export function printable(text: string): string {
	return text.replace(steering, "?");
}

// Most of what is said; the classes of characters take a millisecond to be compiled.
const plain = /^[\n\t -~]*$/;

/** The same for text of several lines: line ends and tabs stay. */
export function printableLines(text: string): string {
	if (plain.test(text)) return text;
	return text.replace(steering, (char) =>
		char === "\n" || char === "\t" ? char : "?",
	);
}

const maxListed = 20;

/** Names in a message, the first of them where there are many. */
export function listed(names: string[]): string {
	const shown = names.slice(0, maxListed).map(printable).join(", ");
	const rest = names.length - maxListed;
	return rest > 0 ? `${shown} and ${rest} more` : shown;
}

/** JSON with what could steer a terminal escaped: the same value. Line ends between tokens stay. */
export function escapeSteering(json: string): string {
	return json.replace(steering, (char) =>
		char === "\n" || char === "\t"
			? char
			: Array.from(
					{ length: char.length },
					(_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`,
				).join(""),
	);
}

/** The first few of a list that may be any length, and how many there are besides. */
export function nameFew(items: string[]): string {
	const more = items.length - maxNamed;
	return more > 0
		? `${items.slice(0, maxNamed).join(", ")} and ${more} more`
		: items.join(", ");
}
