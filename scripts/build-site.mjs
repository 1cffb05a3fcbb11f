// Makes edge/assets from edge/site: style sheets and scripts get names with a hash of their contents, so that
// they may be kept for a year, and the pages name them so.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";

const from = "edge/site";
const to = "edge/assets";

rmSync(to, { recursive: true, force: true });
mkdirSync(join(to, "assets"), { recursive: true });

const names = new Map();
for (const name of readdirSync(from).filter((name) => [".css", ".js"].includes(extname(name)))) {
  const contents = readFileSync(join(from, name));
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
  const extension = extname(name);
  const fingerprinted = `${name.slice(0, -extension.length)}.${hash}${extension}`;
  names.set(`/assets/${name}`, `/assets/${fingerprinted}`);
  writeFileSync(join(to, "assets", fingerprinted), contents);
}

for (const name of readdirSync(from).filter((name) => extname(name) === ".html")) {
  let page = readFileSync(join(from, name), "utf8");
  for (const [plain, fingerprinted] of names) page = page.replaceAll(`"${plain}"`, `"${fingerprinted}"`);
  const missing = page.match(/"\/assets\/[^".]+\.(css|js)"/);
  if (missing) throw new Error(`${from}/${name} names ${missing[0]}, which is not in ${from}`);
  writeFileSync(join(to, name), page);
}
