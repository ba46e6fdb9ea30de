import { readFileSync } from "node:fs";
import { Script } from "node:vm";

/** What the text of a CommonJS module is called with; src/main.ts needs no more. */
export type Module = (require: NodeJS.Require, __dirname: string) => void;

/**
 * A CommonJS module as V8 compiles it. With the code that the same V8 has made of the same text nothing is left to compile;
 * V8 looks at its own version and flags, and at the length of the text, and else compiles it all the same.
 */
export function scriptOf(file: string, code?: Buffer): Script {
	const text = readFileSync(file, "utf8");
	return new Script(`(function (require, __dirname) { ${text}\n})`, {
		filename: file,
		...(code === undefined ? {} : { cachedData: code }),
	});
}

/** Where the compiled code of a module stands. The module's name has a digest of its text: no other's is taken for it. */
export function codePath(file: string): string {
	return `${file}.code`;
}

/** Compiled code as it is kept: twice. V8 does not check its bytes, and ends the process over damaged ones (SIGTRAP, seen). */
export function keptCode(code: Buffer): Buffer {
	return Buffer.concat([code, code]);
}

/** The compiled code of a module; undefined where there is none, or where it is damaged. */
export function readCode(file: string): Buffer | undefined {
	try {
		const kept = readFileSync(codePath(file));
		const half = kept.length / 2;
		const code = kept.subarray(0, half);
		return half > 0 && code.equals(kept.subarray(half)) ? code : undefined;
	} catch {
		return undefined;
	}
}
