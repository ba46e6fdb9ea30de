import { AgentError } from "./errors.js";
import { readUserFile } from "./files.js";
import type { PartialSettings } from "./settings.js";
import type { FileSystem } from "./system.js";

const limit = 64 * 1024;

/**
 * Reads the config file. None at the default place is fine; one that was named has to be there.
 * Rejects with an AgentError of kind `usage` whose line names the file, the path in it and what was expected.
 */
export async function readConfig(
	fs: FileSystem,
	path: string,
	isRequired: boolean,
): Promise<PartialSettings> {
	const file = readUserFile(fs, path, limit);
	if (!file) {
		if (isRequired)
			throw new AgentError("usage", `${path}: there is no such file`);
		return {};
	}
	const source = decode(path, file.content);
	// As the package installs it: what reads YAML takes as long to load as half of a run.
	if (source.split("\n").every(isBlank)) return {};
	const { parseConfig } = await import("./parse-config.js");
	return parseConfig(path, source);
}

function isBlank(line: string): boolean {
	return /^[ \r]*(#.*)?$/.test(line);
}

function decode(path: string, latin1: string): string {
	const bytes = Buffer.from(latin1, "latin1");
	const source = bytes.toString("utf8");
	const isText =
		!/[^\P{Cc}\t\r\n]/u.test(source) && Buffer.from(source).equals(bytes);
	if (!isText)
		throw new AgentError(
			"usage",
			`${path}: holds bytes that are not text: expected UTF-8`,
		);
	return source;
}
