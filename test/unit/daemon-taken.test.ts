import { expect, test } from "vitest";
import { heldNow } from "../../src/daemon/taken.js";

const lock = { fd: 3, release: () => {} };
const way = { to: "10.0.0.1", link: "eth0" };
const taken = { lock, shown: "0:\tfrom all\n", way, atMs: 1000, heard: 7 };
const quiet = { nowMs: 1099, heard: 7, isDeaf: false, isAsking: false };

test("what the kernel showed with the lock is gone by where nothing has happened since", () => {
	expect(heldNow(taken, quiet)).toEqual({ lock, shown: taken.shown, way });
});

test.each([
	["a line of the monitor has come", { heard: 8 }],
	["no monitor runs", { isDeaf: true }],
	["the metadata service has not answered yet", { isAsking: true }],
	["it was too long ago", { nowMs: 1100 }],
])("and is not where %s", (_, since) => {
	expect(heldNow(taken, { ...quiet, ...since })).toEqual({ lock });
});
