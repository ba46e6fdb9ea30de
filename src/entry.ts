#!/usr/bin/env node
import { type Module, readCode, scriptOf } from "./compiled-code.js";
import { mainName } from "./main-name.js";

// The file that is started: src/main.ts, with the code that the installation has made of it, see src/compile.ts.

const file = `${__dirname}/${mainName}`;
const main: Module = scriptOf(file, readCode(file)).runInThisContext();
main(require, __dirname);
