// Measures the edge's hits beside Workers in JavaScript under the same miniflare: one written by hand on the Cache
// API, one on Hono's cache middleware, and one that only answers. Writes target/bench/edge.json.
//
//   node bench/http/edge.mjs [--rounds 3] [--seconds 5]

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { build } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

import { startEdge } from "../../scripts/edge.mjs";
import { freePort, median, wrk } from "./wrk.mjs";

const PATIENCE = 10_000;

async function startOrigin() {
  const port = await freePort();
  const child = spawn("target/release/examples/bare", ["--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "ignore", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + PATIENCE;
  while (!(await fetch(`${url}/1k`).then((response) => response.arrayBuffer(), () => null))) {
    if (Date.now() > deadline) throw new Error("the origin did not come up: is target/release/examples/bare built?");
    await new Promise((done) => setTimeout(done, 50));
  }
  return { url, dispose: async () => child.kill("SIGTERM") };
}

async function startPeer(name, bindings) {
  const path = resolve(`target/bench/peers/${name}.js`);
  await build({ entryPoints: [`bench/http/peers/${name}.js`], bundle: true, format: "esm", outfile: path });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      log: new Log(LogLevel.WARN),
      logRequests: false,
      workers: [{ name, modules: [{ type: "ESModule", path }], compatibilityDate: "2026-10-01", bindings }],
    }),
  );
  const url = (await miniflare.ready).origin;
  return { url, dispose: () => miniflare.dispose() };
}

const WORKLOADS = [
  { name: "1 KiB, from isolate memory", path: "/1k", targets: ["hello", "terrace", "cache-api", "hono"] },
  // Longer than what the edge keeps in isolate memory.
  { name: "300 KiB, from the Cache API", path: "/300k", targets: ["terrace", "cache-api", "hono"] },
];

async function main() {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "5" } } });
  const running = {};
  const results = WORKLOADS.map(({ name }) => ({ name, targets: {} }));
  const origin = await startOrigin();
  try {
    running.terrace = await startEdge({ vars: { ORIGIN: origin.url }, assets: false });
    for (const name of ["hello", "cache-api", "hono"]) running[name] = await startPeer(name, { ORIGIN: origin.url });
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const [n, { name, path, targets }] of WORKLOADS.entries()) {
        for (const target of targets) {
          const url = running[target].url + path;
          const load = { connections: 16, threads: 1 };
          await wrk(url, { ...load, seconds: 1 });
          const measured = await wrk(url, { ...load, seconds: Number(values.seconds) });
          (results[n].targets[target] ??= []).push(measured);
          console.error(`${name}, ${target}: ${measured.perSecond.toFixed(0)}/s`);
        }
      }
    }
  } finally {
    for (const { dispose } of Object.values(running)) await dispose();
    await origin.dispose();
  }
  const summary = results.map(({ name, targets }) => ({
    name,
    targets: Object.entries(targets).map(([target, rounds]) => ({
      target,
      perSecond: median(rounds.map((round) => round.perSecond)),
      p50: median(rounds.map((round) => round.p50)),
      p99: median(rounds.map((round) => round.p99)),
    })),
  }));
  mkdirSync("target/bench", { recursive: true });
  writeFileSync("target/bench/edge.json", JSON.stringify({ rounds: Number(values.rounds), seconds: Number(values.seconds), workloads: summary }, null, 2));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`bench: ${error.message}`);
    process.exit(1);
  },
);
