import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bodyOf, isOurs, mark } from "../../src/marker.js";

const bytes = fc
	.uint8Array({ maxLength: 300 })
	.map((array) => String.fromCharCode(...array));
const titleLength = mark("").indexOf("\n");

describe("whose file it is", () => {
	test("what we write is ours and holds what we wrote, whatever its bytes", () => {
		fc.assert(
			fc.property(bytes, (body) => {
				expect(isOurs(mark(body))).toBe(true);
				expect(bodyOf(mark(body))).toBe(body);
			}),
		);
	});

	test("one changed byte in the hash or the body makes it the user's", () => {
		fc.assert(
			fc.property(
				bytes,
				fc.nat(),
				fc.integer({ min: 1, max: 255 }),
				(body, position, by) => {
					const content = mark(body);
					// The first line's prose is not covered by the hash: its version is, by the pattern.
					const at = titleLength + (position % (content.length - titleLength));
					const byte = String.fromCharCode((content.charCodeAt(at) + by) % 256);
					expect(
						isOurs(content.slice(0, at) + byte + content.slice(at + 1)),
					).toBe(false);
				},
			),
		);
	});

	test("one byte added or taken away anywhere behind the first line makes it the user's", () => {
		fc.assert(
			fc.property(
				bytes,
				fc.nat(),
				fc.integer({ min: 0, max: 255 }),
				fc.boolean(),
				(body, position, byte, isAdded) => {
					const content = mark(body);
					const at = titleLength + (position % (content.length - titleLength));
					const edited = isAdded
						? content.slice(0, at) +
							String.fromCharCode(byte) +
							content.slice(at)
						: content.slice(0, at) + content.slice(at + 1);
					fc.pre(edited !== content);
					// A newline put right behind the first line shifts nothing the hash covers, and still is no marker.
					expect(isOurs(edited)).toBe(
						isAdded && byte !== 10 && at === titleLength,
					);
				},
			),
		);
	});

	test("a file cut off by a crash is not ours", () => {
		const content = mark('DEVICE="eth1"\nONBOOT="yes"\n');
		for (let length = 0; length < content.length; length += 1)
			expect(isOurs(content.slice(0, length))).toBe(false);
	});

	test("a line before the marker, CRLF line ends or a byte-order mark make it the user's", () => {
		const content = mark('DEVICE="eth1"\n');
		expect(isOurs(`\n${content}`)).toBe(false);
		expect(isOurs(`# mine\n${content}`)).toBe(false);
		expect(isOurs(content.replaceAll("\n", "\r\n"))).toBe(false);
		expect(isOurs(`\xef\xbb\xbf${content}`)).toBe(false);
	});

	test("the hash is the SHA-256 of all that follows it, as anyone can check with sha256sum", () => {
		const body = 'DEVICE="eth1"\n';
		const hash = createHash("sha256").update(body).digest("hex");
		expect(mark(body).split("\n")[1]).toBe(`# sha256 ${hash}`);
	});

	test("a file of another version of the format is not taken for ours", () => {
		expect(
			isOurs(mark("x\n").replace("# eni-configure 1:", "# eni-configure 2:")),
		).toBe(false);
	});

	test("no marker line holds what CentOS 7's init script would evaluate", () => {
		const head = mark("").split("\n");
		for (const word of ["DEVICE=", "TYPE=", "SLAVE=", "NM_CONTROLLED="])
			expect(head.filter((line) => line.includes(word))).toEqual([]);
	});
});
