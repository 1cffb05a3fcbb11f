// `make conformance`: the public HTTP cache tests against the edge and the shield.
//
//   node conformance/run.mjs [--target edge|shield|NAME]… [--peers] [--suite DIRECTORY] [--test ID]… [--update] [--check]
//
// Fails when a test that passed before (conformance/baseline) does not pass now, twice in a row. --update writes the
// baselines anew, --check writes nothing, --test runs single tests and prints their results. Another state of the suite
// than npm's (--suite) leaves its report and baselines in target/conformance.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { peers } from "./peers.mjs";
import { report, summary } from "./report.mjs";
import { lost, readBaseline, score, writeBaseline } from "./score.mjs";
import { openSuite, runClient, startServer } from "./suite.mjs";
import { edge, shield } from "./targets.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

async function main() {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true, default: [] },
      peers: { type: "boolean", default: false },
      suite: { type: "string" },
      test: { type: "string", multiple: true, default: [] },
      update: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
    },
  });
  const suite = await openSuite(values.suite);
  const folder = suite.isPackage ? `${ROOT}conformance` : `${ROOT}target/conformance`;
  const ours = [edge, shield].map((target) => ({ ...target, ours: true }));
  const known = [...ours, ...peers];
  const unknown = values.target.find((name) => !known.some((target) => target.name === name));
  if (unknown) throw new Error(`--target ${unknown}: there are ${known.map((target) => target.name).join(", ")}`);
  const targets = values.target.length > 0 ? known.filter((target) => values.target.includes(target.name)) : values.peers ? known : ours;

  const runs = [];
  let failed = false;
  for (const target of targets) {
    const missing = target.missing();
    if (missing) {
      console.log(`${target.title}: skipped, ${missing}`);
      continue;
    }
    target.prepare?.();
    const results = await measure(suite, target, values.test);
    if (values.test.length > 0) {
      for (const id of values.test) console.log(`${target.title}: ${id}: ${JSON.stringify(results[id])}`);
      continue;
    }
    const baseline = `${folder}/baseline/${target.name}.json`;
    const scored = await settle(suite, target, results, target.ours && !values.update ? readBaseline(baseline) : undefined);
    runs.push({ target, scored });
    console.log(summary({ target, scored }));
    for (const id of scored.lost) {
      failed = true;
      console.error(`${target.title}: ${id} passed before: ${scored.tests.find((test) => test.id === id).why}`);
    }
    if (target.ours && values.update) writeBaseline(baseline, scored);
  }
  if (runs.length > 0 && !values.check && values.target.length === 0) {
    mkdirSync(folder, { recursive: true });
    if (values.peers) writeMeasured(`${folder}/peers/measured.json`, runs);
    writeFileSync(`${folder}/results.md`, report(suite, runs, `${folder}/peers/measured.json`));
    console.log(`${folder.slice(ROOT.length)}/results.md written`);
  }
  return failed ? 1 : 0;
}

/** Keeps what the peers reached, for reports of runs without them. */
function writeMeasured(path, runs) {
  const rows = runs.filter((run) => !run.target.ours).map(({ target, scored }) => ({ title: target.title, required: scored.required, optimal: scored.optimal }));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(rows, null, 1)}\n`);
}

/** A run of the suite against a fresh server and a fresh target; of single tests, if some are named. */
async function measure(suite, target, only = []) {
  const server = await startServer(suite);
  let running;
  try {
    running = await target.start(server.url);
    return await runClient(suite, running.url, only);
  } finally {
    await running?.stop();
    await server.stop();
  }
}

/** The score. The suite's pauses are real time: what the baseline misses is asked once more, alone. */
async function settle(suite, target, results, baseline) {
  let scored = score(suite, results);
  let missed = baseline ? lost(baseline, scored) : [];
  if (missed.length > 0) {
    console.log(`${target.title}: once more: ${missed.join(", ")}`);
    scored = score(suite, { ...results, ...(await measure(suite, target, missed)) });
    missed = lost(baseline, scored);
  }
  return { ...scored, lost: missed };
}

main().then(
  (status) => process.exit(status),
  (error) => {
    console.error(`conformance: ${error.message}`);
    process.exit(1);
  },
);
