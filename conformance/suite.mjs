// The test suite, wherever it lies: its tests, its rules for scoring, its server and its client, all used as they are.
//
// The package of npm has its code in the top directory; newer states of the suite have it in `test-engine/`.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { start } from "./process.mjs";

const PACKAGE = fileURLToPath(new URL("../node_modules/http-cache-tests", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));

/** How long the suite's server may take to listen, and a run of its client to end, in milliseconds. */
const SERVER_PATIENCE = 20_000;
const CLIENT_PATIENCE = 300_000;

/** What the suite's symbols for a result mean. */
const VERDICTS = {
  "✅": "pass",
  "⛔️": "fail",
  "⚠️": "optional-fail",
  Y: "yes",
  N: "no",
  "🔹": "setup-fail",
  "⁉️": "harness-fail",
  "⚪️": "dependency-fail",
  "↻": "retry",
  "-": "untested",
};

/** The suite in `directory`, or the package of npm. */
export async function openSuite(directory = PACKAGE) {
  const root = resolve(directory);
  if (!existsSync(join(root, "tests/index.mjs"))) throw new Error(`${root} has no tests/index.mjs: run make setup, or name a suite`);
  const engine = existsSync(join(root, "test-engine")) ? join(root, "test-engine") : root;
  const { version = "unknown" } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const scoring = ["lib/results.mjs", "lib/display.mjs"].map((path) => join(engine, path)).find(existsSync);
  const { determineTestResult } = await import(pathToFileURL(scoring));
  const groups = await testGroups(root);
  const ids = new Map(groups.flatMap((group) => group.tests.map((test) => [test.id, test])));
  const cli = [...ids.values()].filter((test) => test.browser_only !== true);
  return {
    root,
    engine,
    version,
    isPackage: root === resolve(PACKAGE),
    /** Tests that the command line runs, in the suite's order. */
    tests: cli.map((test) => ({ id: test.id, name: test.name, kind: test.kind ?? "required" })),
    /** What the suite calls a result, its dependencies honoured. */
    verdict: (id, results) => VERDICTS[determineTestResult(groups, id, results)[2]] ?? "unknown",
    /** Why a test did not pass: its own failure, or else that of what it depends on. */
    why: (id, results) => {
      const own = results[id];
      return Array.isArray(own) ? own[1] : `depends on ${(ids.get(id).depends_on ?? []).join(", ")}`;
    },
  };
}

/** The groups that the suite's command line runs: before version 1 it adds Surrogate-Control to the index itself. */
export async function testGroups(root) {
  const load = async (path) => (await import(pathToFileURL(join(root, path)))).default;
  const groups = [...(await load("tests/index.mjs"))];
  const extra = "tests/surrogate-control.mjs";
  const commandLine = join(root, "cli.mjs");
  if (existsSync(commandLine) && readFileSync(commandLine, "utf8").includes(extra)) groups.push(await load(extra));
  return groups;
}

/** The suite's server on a port of the system's choice, on loopback. */
export async function startServer(suite) {
  const scratch = mkdtempSync(join(tmpdir(), "terrace-suite-"));
  const settings = { protocol: "http", port: "0", pidfile: join(scratch, "pid") };
  const server = start(process.execPath, ["--import", pathToFileURL(join(HERE, "loopback.mjs")).href, join(suite.engine, "server/server.mjs")], {
    cwd: suite.root,
    env: { ...process.env, ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`npm_config_${name}`, value])) },
  });
  const line = await server.line(/^Listening on (http:\/\/127\.0\.0\.1:\d+)\/$/, SERVER_PATIENCE, "the suite's server");
  const stop = async () => {
    await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  };
  return { url: line[1], stop };
}

/** Runs the suite's client against `url`: results by test, as the suite's command line prints them. */
export async function runClient(suite, url, only = []) {
  const client = start(process.execPath, ["--no-warnings", join(HERE, "client.mjs"), suite.root, suite.engine, url, ...only], { cwd: suite.root });
  const line = await client.line(/^results (\{.*\})$/, CLIENT_PATIENCE, "the suite's client").finally(() => client.stop());
  return JSON.parse(line[1]);
}
