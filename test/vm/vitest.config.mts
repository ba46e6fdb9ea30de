import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

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
		testTimeout: 600_000,
		hookTimeout: 600_000,
	},
});
