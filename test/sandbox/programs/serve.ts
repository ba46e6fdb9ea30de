import { createInterface } from "node:readline";

export type Methods = Record<
	string,
	// biome-ignore lint/suspicious/noExplicitAny: what comes over the pipe is typed by the caller's side
	(params: any) => unknown
>;

/**
 * Answers calls that arrive as JSON lines on stdin, one JSON line each on stdout, and ends the
 * program when stdin ends: a helper must never outlive the test that started it, however that died.
 */
export function serve(methods: Methods): void {
	const lines = createInterface({ input: process.stdin });
	lines.on("line", (line) => void answer(methods, line));
	lines.on("close", () => process.exit(0));
	write({ ready: true });
}

async function answer(methods: Methods, line: string): Promise<void> {
	const { id, method, params } = JSON.parse(line);
	try {
		const call = methods[method];
		if (!call) throw new Error(`no method "${method}"`);
		write({ id, result: await call(params) });
	} catch (error) {
		write({ id, error: error instanceof Error ? error.message : `${error}` });
	}
}

function write(message: unknown): void {
	process.stdout.write(`${JSON.stringify(message)}\n`);
}
