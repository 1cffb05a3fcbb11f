// Measures how many purges a second one Durable Object takes, alone and in batches, beside a Worker with a Durable Object
// that only keeps each call as a row, under the same miniflare. Writes target/bench/purge.json.
//
//   node bench/http/purge.mjs [--rounds 3] [--seconds 5]

import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

import { startEdge } from "../../scripts/edge.mjs";
import { median, wrk } from "./wrk.mjs";

const WORKLOADS = [
  { name: "single purges", tags: 1, connections: 64 },
  { name: "batches of 256 tags", tags: 256, connections: 16 },
];

/** The edge alone, without assets; nobody is told to come back later. */
async function startTerrace(token) {
  const sha256 = createHash("sha256").update(token).digest("hex");
  const vars = {
    ORIGIN: "http://127.0.0.1:1",
    TERRACE_PURGE_TOKENS: JSON.stringify([{ name: "bench", sha256, allow: ["*"] }]),
    TERRACE_PURGE_CALLS_PER_SECOND: "1000000",
    TERRACE_PURGE_BURST: "1000000",
  };
  return startEdge({ vars, assets: false });
}

async function startRows() {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      log: new Log(LogLevel.WARN),
      logRequests: false,
      workers: [
        {
          name: "row",
          modules: [{ type: "ESModule", path: resolve("bench/http/peers/row.js") }],
          compatibilityDate: "2026-10-01",
          durableObjects: { ROWS: { className: "Rows", useSQLite: true } },
        },
      ],
    }),
  );
  const url = (await miniflare.ready).origin;
  return { url, dispose: () => miniflare.dispose() };
}

async function main() {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "5" } } });
  const token = randomBytes(24).toString("hex");
  const running = {};
  const results = WORKLOADS.map(({ name, tags }) => ({ name, tags, targets: {} }));
  try {
    running.terrace = await startTerrace(token);
    running["a row a call"] = await startRows();
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const [n, { name, tags, connections }] of WORKLOADS.entries()) {
        for (const [target, { url }] of Object.entries(running)) {
          Object.assign(process.env, { PURGE_TAGS: String(tags), PURGE_TOKEN: token });
          const load = { connections, threads: 1, script: "bench/http/purge.lua" };
          await wrk(url, { ...load, seconds: 1 });
          const measured = await wrk(url, { ...load, seconds: Number(values.seconds) });
          (results[n].targets[target] ??= []).push(measured);
          console.error(`${name}, ${target}: ${(measured.perSecond * tags).toFixed(0)} tags/s in ${measured.perSecond.toFixed(0)} calls/s`);
        }
      }
    }
  } finally {
    for (const { dispose } of Object.values(running)) await dispose();
  }
  const summary = results.map(({ name, tags, targets }) => ({
    name,
    targets: Object.entries(targets).map(([target, rounds]) => {
      const perSecond = median(rounds.map((round) => round.perSecond));
      return { target, perSecond, tagsPerSecond: perSecond * tags, p50: median(rounds.map((round) => round.p50)), p99: median(rounds.map((round) => round.p99)) };
    }),
  }));
  mkdirSync("target/bench", { recursive: true });
  writeFileSync("target/bench/purge.json", JSON.stringify({ rounds: Number(values.rounds), seconds: Number(values.seconds), workloads: summary }, null, 2));
  console.log(JSON.stringify(summary));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`bench: ${error.message}`);
    process.exit(1);
  },
);
