import { writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { codePath, keptCode, scriptOf } from "./compiled-code.js";
import { mainName } from "./main-name.js";

// Compiles src/main.ts where the agent is installed, by the Node that will run it: a run that has nothing to do spends
// a twentieth of its time on that. Not in the package: the bytes are that Node's, and others each time they are made.

const file = `${__dirname}/${mainName}`;
// All its functions, not only those that run when it is loaded. V8 takes no code that was made with other flags than its own.
setFlagsFromString("--no-lazy");
const script = scriptOf(file);
setFlagsFromString("--lazy");
// In place: half of it is not taken for all.
writeFileSync(codePath(file), keptCode(script.createCachedData()), {
	mode: 0o644,
});
