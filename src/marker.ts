import { createHash } from "node:crypto";

/**
 * Ownership of a file. Ours begins with two comment lines: what to know, then the SHA-256 of
 * every byte that follows. A valid hash means ours, whatever the content; anything else is the
 * user's. The first line must not hold `DEVICE=` or the like: CentOS 7's init script evals
 * such lines even in comments.
 */
const title =
	"# eni-configure 1: made by eni-configure; once edited it counts as yours and is left alone";

/** Puts the marker before body (latin1 text). */
export function mark(body: string): string {
	return `${title}\n# sha256 ${digest(body)}\n${body}`;
}

/** Whether content (latin1 text) is a file of ours that nobody has edited. */
export function isOurs(content: string): boolean {
	return bodyOf(content) !== undefined;
}

/** What follows a valid marker; undefined for a file that is not ours. */
export function bodyOf(content: string): string | undefined {
	const match = /^# eni-configure 1:[^\n]*\n# sha256 ([0-9a-f]{64})\n/.exec(
		content,
	);
	if (!match) return undefined;
	const body = content.slice(match[0].length);
	return digest(body) === match[1] ? body : undefined;
}

// A run asks about each file many times.
const known = new Map<string, string>();
const maxKnown = 64;

/** SHA-256 of latin1 text, in hex. */
export function digest(text: string): string {
	const before = known.get(text);
	if (before !== undefined) return before;
	const hex = createHash("sha256").update(text, "latin1").digest("hex");
	if (known.size >= maxKnown) known.clear();
	known.set(text, hex);
	return hex;
}
