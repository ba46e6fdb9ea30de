import { defineConfig } from "vitest/config";

// One report over three rings: unit and host need nothing, sandbox needs a kernel with namespaces.
export default defineConfig({
	test: {
		maxWorkers: 2,
		projects: [
			{
				test: {
					name: "unit",
					include: ["test/unit/**/*.test.ts"],
					testTimeout: 60_000,
				},
			},
			{
				test: {
					name: "host",
					include: ["test/host/**/*.test.ts"],
					testTimeout: 60_000,
				},
			},
			{
				test: {
					name: "sandbox",
					include: ["test/sandbox/**/*.test.ts"],
					globalSetup: ["test/sandbox/global-setup.ts"],
					pool: "forks",
					testTimeout: 60_000,
					hookTimeout: 60_000,
				},
			},
		],
	},
});
