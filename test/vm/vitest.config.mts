import { defineConfig } from "vitest/config";

// A ring of its own: it needs root, QEMU and rpm, and a few minutes.
export default defineConfig({
	test: {
		name: "vm",
		include: ["test/vm/**/*.test.ts"],
		globalSetup: ["test/vm/global-setup.ts"],
		pool: "forks",
		// One machine at a time: it has two processors, as the one that emulates it.
		maxWorkers: 1,
		testTimeout: 300_000,
		hookTimeout: 300_000,
	},
});
