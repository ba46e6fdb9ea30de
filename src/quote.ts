const maxLength = 60;
const maxNamed = 8;

/** Text from outside as it may stand in a message: quoted, cut, and with nothing that could steer a terminal. */
export function quote(text: string): string {
	const cut =
		text.length > maxLength ? `${text.slice(0, maxLength - 3)}...` : text;
	return JSON.stringify(cut).replace(
		/[\u007f-\u009f\u2028\u2029]/g,
		(char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
}

/** The first few of a list that may be any length, and how many there are besides. */
export function nameFew(items: string[]): string {
	const more = items.length - maxNamed;
	return more > 0
		? `${items.slice(0, maxNamed).join(", ")} and ${more} more`
		: items.join(", ");
}
