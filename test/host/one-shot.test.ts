import { expect, test } from "vitest";
import { run } from "./agent";
import { createFakeHost } from "./fake-host";

test("x", async () => {
	const host = await createFakeHost({
		enis: [
			{ name: "eth1", addresses: ["10.0.1.62", "10.0.1.63", "10.0.1.30"] },
		],
	});
	const before = host.snapshot();
	console.log(before);
	const r = await run(host, "configure", "eth1");
	console.log(
		JSON.stringify(r, null, 1),
		host.log,
		host.operations
			.list()
			.map((o) => `${o.kind} ${o.target}`)
			.join("\n"),
	);
	console.log(host.snapshot());
	const s = await run(host, "configure", "eth1");
	console.log(JSON.stringify(s, null, 1), host.operations.list());
	expect(host.programs.open.size).toBe(0);
});
