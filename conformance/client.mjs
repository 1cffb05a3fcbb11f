// Runs the suite's client in a process of its own: `client.mjs ROOT ENGINE URL [TEST]…` prints `results {…}`.
// The same as the suite's command line, which can run all tests or one but not some.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { testGroups } from "./suite.mjs";

const [root, engine, url, ...only] = process.argv.slice(2);

/** The `fetch` that the suite's command line uses: a package, or the platform's. */
async function suiteFetch() {
  for (const name of ["node-fetch-with-proxy", "node-fetch"]) {
    try {
      const path = createRequire(join(engine, "cli.mjs")).resolve(name);
      return (await import(pathToFileURL(path))).default;
    } catch {
      // Not a dependency of this state of the suite.
    }
  }
  return globalThis.fetch;
}

const { runTests, getResults } = await import(pathToFileURL(join(engine, "client/runner.mjs")));
const groups = await testGroups(root);
const wanted = (test) => only.length === 0 || only.includes(test.id);
await runTests(
  groups.map((group) => ({ ...group, tests: group.tests.filter(wanted) })),
  await suiteFetch(),
  false,
  url,
);
console.log(`results ${JSON.stringify(getResults())}`);
