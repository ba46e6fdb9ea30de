import type Handlebars from "handlebars";
import { printable, quote } from "./quote.js";

/**
 * The part of Handlebars that templates may use: fields, comments, and the blocks each, if, unless
 * and with. The rest (partials, decorators, helpers with arguments) can loop, swell, write to the
 * console or reach into prototypes, and no ifcfg file needs it. Text is checked before Handlebars
 * parses it: its parser takes minutes for deeply nested parentheses (15 000 of them: 205 s, measured).
 */
const maxTags = 1000;
const maxTagLength = 200;
const maxDepth = 8;
const maxIterations = 10_000;
const maxLoopText = 1024 * 1024;

const opening = /^#(?:each|if|unless|with)\s+(\S+)$/;
const closing = /^\/(?:each|if|unless|with)$/;
const elseTag = /^(?:else|\^|else\s+if\s+(\S+))$/;
const path = /^(?:(?:\.\.\/)*|@root\.)([A-Za-z]+(?:\.[A-Za-z]+)*)$/;
const special = /^(?:\.|\.\.|@index|@first|@last|@key)$/;

/** The first thing in a template that is not understood, as `line N: what`; undefined where all is. */
export function templateProblem(
	source: string,
	fields: readonly string[],
): string | undefined {
	let depth = 0;
	let count = 0;
	let from = 0;
	for (;;) {
		const start = source.indexOf("{{", from);
		if (start < 0) return undefined;
		const stop = tagEnd(source, start);
		const tag = source.slice(start, stop ?? start + maxTagLength);
		const problem =
			stop === undefined
				? "has no end"
				: source[start - 1] === "\\"
					? "is escaped: no such text may be rendered"
					: tagProblem(tag, fields);
		count += 1;
		const words = wordsOf(tag);
		if (opening.test(words)) depth += 1;
		if (closing.test(words)) depth -= 1;
		const excess =
			count > maxTags
				? `there are more than ${maxTags} tags`
				: depth > maxDepth
					? `blocks are nested more than ${maxDepth} deep`
					: undefined;
		if (problem || excess) {
			const line = source.slice(0, start).split("\n").length;
			return `line ${line}: ${problem ? `${quote(tag)} ${problem}` : excess}`;
		}
		from = stop as number;
	}
}

function tagEnd(source: string, start: number): number | undefined {
	const isLong = /^\{\{~?!--/.test(source.slice(start, start + 6));
	const mark = isLong ? /--~?\}\}/g : /\}\}/g;
	mark.lastIndex = start + 2;
	return mark.exec(source) ? mark.lastIndex : undefined;
}

// What stands between the braces, without the marks that take white space away.
function wordsOf(tag: string): string {
	return tag.slice(2, -2).replace(/^~|~$/g, "").trim();
}

function tagProblem(
	tag: string,
	fields: readonly string[],
): string | undefined {
	const words = wordsOf(tag);
	if (words.startsWith("!")) return undefined;
	if (tag.length > maxTagLength) return `is longer than ${maxTagLength}`;
	if (closing.test(words)) return undefined;
	const inverse = elseTag.exec(words);
	if (inverse && inverse[1] === undefined) return undefined;
	const named = opening.exec(words)?.[1] ?? inverse?.[1] ?? words;
	return isField(named, fields)
		? undefined
		: `is not understood: expected ${fields.join(", ")}, or a block of each, if, unless or with`;
}

function isField(text: string, fields: readonly string[]): boolean {
	if (special.test(text)) return true;
	const parts = path.exec(text)?.[1]?.split(".");
	return (
		parts?.every(
			(part) => fields.includes(part) || part === "this" || part === "length",
		) ?? false
	);
}

/** Compiles templates that templateProblem() has passed. */
export interface Engine {
	/** A function from data to text; it throws where the text would not end, or a field is missing. */
	compile(source: string): (data: object) => string;
	/** What such an error says, in one line. */
	describe(error: unknown): string;
}

/** What both Handlebars and its runtime alone can do. */
export type Runtime = Pick<
	typeof Handlebars,
	"createFrame" | "registerHelper" | "template"
>;

/** Handlebars' options for every template; noEscape: it would turn = into &#x3D;. Hence the checks on both sides. */
export const compileOptions = { noEscape: true, strict: true };

/**
 * An engine of a Handlebars of its own, whose loops are counted: 30 addresses nested 6 deep are 729 million turns.
 * `compile` gives Handlebars' own function for a template's text.
 */
export function createEngine(
	handlebars: Runtime,
	compile: (source: string) => Handlebars.TemplateDelegate,
): Engine {
	let turns = 0;
	let size = 0;
	handlebars.registerHelper(
		"each",
		function each(
			this: unknown,
			list: unknown,
			options: Handlebars.HelperOptions,
		): string {
			const { loc } = options as { loc?: { start: { line: number } } };
			const fail = (what: string) =>
				new Error(`${loc ? `line ${loc.start.line}: ` : ""}{{#each}} ${what}`);
			if (!Array.isArray(list)) throw fail("takes a list");
			if (list.length === 0) return options.inverse(this);
			const data = handlebars.createFrame(options.data);
			let text = "";
			for (const [index, item] of list.entries()) {
				const isFirst = index === 0;
				const isLast = index === list.length - 1;
				Object.assign(data, {
					index,
					key: index,
					first: isFirst,
					last: isLast,
				});
				turns += 1;
				if (turns > maxIterations)
					throw fail(`makes the loops take more than ${maxIterations} turns`);
				const more = options.fn(item, { data });
				size += more.length;
				if (size > maxLoopText)
					throw fail(`makes the loops render more than ${maxLoopText} bytes`);
				text += more;
			}
			return text;
		},
	);
	return {
		compile: (source) => {
			const template = compile(source);
			return (data) => {
				turns = 0;
				size = 0;
				return template(data, {
					// Said outright, else Handlebars writes a warning to the console.
					allowProtoPropertiesByDefault: false,
					allowProtoMethodsByDefault: false,
				});
			};
		},
		describe: (error) => {
			// `Parse error on line 3:`, the place in three lines, `Expecting ...`.
			const lines = String((error as Error).message).split("\n");
			const text = [lines[0], ...(lines.length > 3 ? [lines.at(-1)] : [])];
			const at = (error as { lineNumber?: number }).lineNumber;
			const place = at === undefined ? "" : `line ${at}: `;
			return `${place}${printable(text.join(" ")).slice(0, 200)}`;
		},
	};
}
