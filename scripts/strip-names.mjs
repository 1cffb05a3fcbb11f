// Takes the names of functions out of the built worker: a ninth of what is uploaded, and of use only to who reads a
// stack trace. The module with them stays beside it as with-names.wasm, with the same numbers for the same functions.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";

const build = process.argv[2] ?? "edge/build";
const CUSTOM = 0;
const HEADER = 8; // magic and version (webassembly.github.io/spec/core/binary/modules.html)

const wasm = readFileSync(`${build}/index_bg.wasm`);
const kept = [wasm.subarray(0, HEADER)];
for (let at = HEADER; at < wasm.length; ) {
  const { value: length, end: body } = leb128(wasm, at + 1);
  const end = body + length;
  if (!(wasm[at] === CUSTOM && nameOf(wasm, body) === "name")) kept.push(wasm.subarray(at, end));
  at = end;
}
copyFileSync(`${build}/index_bg.wasm`, `${build}/with-names.wasm`);
writeFileSync(`${build}/index_bg.wasm`, Buffer.concat(kept));

/** The name of the custom section whose content begins at `at`. */
function nameOf(bytes, at) {
  const { value: length, end } = leb128(bytes, at);
  return bytes.toString("utf8", end, end + length);
}

/** The unsigned number that begins at `at`, and where it ends. */
function leb128(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, end: at };
  }
}
