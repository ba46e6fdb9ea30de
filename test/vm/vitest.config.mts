import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// What takes longest first, so that no worker is left with it at the end.
const longest = ["cloud-init", "power-cut", "hot-plug"];

class LongestFirst extends BaseSequencer {
	override async sort(files: TestSpecification[]) {
		const rank = ({ moduleId }: TestSpecification) => {
			const at = longest.findIndex((name) => moduleId.includes(`/${name}`));
			return at < 0 ? longest.length : at;
		};
		return [...files].sort((a, b) => rank(a) - rank(b));
	}
}

// A ring of its own: it needs root, QEMU and rpm, and a few minutes.
export default defineConfig({
	root: fileURLToPath(new URL("../..", import.meta.url)),
	test: {
		name: "vm",
		include: ["test/vm/**/*.test.ts"],
		globalSetup: ["test/vm/global-setup.ts"],
		pool: "forks",
		// Each machine has one processor.
		maxWorkers: 2,
		sequence: { sequencer: LongestFirst },
		testTimeout: 600_000,
		hookTimeout: 600_000,
	},
});
