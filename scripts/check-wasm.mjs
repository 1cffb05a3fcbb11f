// Holds the built worker against its budget and against imports that a Worker cannot satisfy.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET = 400 * 1024; // gzipped, script and wasm together

const build = process.argv[2] ?? "edge/build";
const wasm = readFileSync(`${build}/index_bg.wasm`);
const script = readFileSync(`${build}/index.js`);
const foreign = WebAssembly.Module.imports(new WebAssembly.Module(wasm)).filter(({ module }) => module === "env");
if (foreign.length > 0) {
  console.error(`the worker imports from "env", which no Worker has: ${foreign.map(({ name }) => name).join(", ")}`);
  process.exit(1);
}
const gzipped = gzipSync(wasm, { level: 9 }).length + gzipSync(script, { level: 9 }).length;
const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
console.log(`worker: ${kib(wasm.length)} of wasm, ${kib(gzipped)} gzipped with its script, of at most ${kib(BUDGET)}`);
if (gzipped > BUDGET) {
  console.error(`the worker is larger than its budget of ${kib(BUDGET)}`);
  process.exit(1);
}
