/** See licences.mjs. */
export interface Licence {
	name: string;
	version: string;
	licence: string;
	texts: string[];
}
export function licencesOf(files: string[]): Licence[];
export function label(one: Pick<Licence, "name" | "version">): string;
