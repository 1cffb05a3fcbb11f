// Measures `terrace shield` beside nginx, Varnish and a bare axum handler: the same bodies, the same cores, the
// same run, one after the other in several rounds. Writes target/bench/shield.json; bench/results.md is made of it.
//
//   node bench/http/shield.mjs [--rounds 5] [--seconds 5]

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { freePort, median, output, usage, wrk } from "./wrk.mjs";

/** How long a server may take to come up, and to go, in milliseconds. */
const PATIENCE = 10_000;

const installed = (command) => output("which", [command], { stdio: ["ignore", "pipe", "ignore"] }).then(() => true, () => false);

/** Starts a server that listens on `port`; `stop()` ends it. */
async function start(name, port, command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  let ended;
  const exit = new Promise((resolve) => child.once("exit", (code, signal) => resolve((ended = signal ?? `status ${code}`))));
  child.once("error", (error) => (ended = error.message));
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + PATIENCE;
  while (!(await fetch(`${url}/1k`).then((response) => response.arrayBuffer(), () => null))) {
    if (ended || Date.now() > deadline) throw new Error(`${name} did not come up (${ended ?? "no answer"})`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const stop = async () => {
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    await exit;
    clearTimeout(late);
  };
  return { name, url, pid: child.pid, stop };
}

async function startAll(directory) {
  const running = [];
  const add = async (...args) => running.push(await start(...args));
  const originPort = await freePort();
  await add("bare axum", originPort, "target/release/examples/bare", ["--listen", `127.0.0.1:${originPort}`]);
  const origin = `127.0.0.1:${originPort}`;
  const shieldPort = await freePort();
  const shield = ["shield", "--upstream", `http://${origin}`, "--listen", `127.0.0.1:${shieldPort}`, "--memory-mib", "1024"];
  await add("terrace shield", shieldPort, "target/release/terrace", shield);
  if (await installed("nginx")) {
    const port = await freePort();
    // Its workers must be able to write where its master does.
    const user = process.getuid() === 0 ? "user root;" : "";
    const values = { USER: user, DIRECTORY: directory, ORIGIN: originPort, PORT: port };
    const config = readFileSync("bench/http/peers/nginx.conf", "utf8").replace(/@(\w+)@/g, (_, name) => values[name]);
    writeFileSync(join(directory, "nginx.conf"), config);
    await add("nginx", port, "nginx", ["-p", directory, "-e", join(directory, "error.log"), "-c", join(directory, "nginx.conf")]);
  } else console.error("nginx is not installed: left out");
  if (await installed("varnishd")) {
    const port = await freePort();
    const flags = ["-F", "-n", join(directory, "varnish"), "-a", `127.0.0.1:${port}`, "-b", origin, "-s", "malloc,1g", "-T", "none"];
    await add("Varnish", port, "varnishd", flags);
  } else console.error("varnishd is not installed: left out");
  return running;
}

const WORKLOADS = [
  { name: "hits, 1 KiB", path: "/1k" },
  { name: "hits, 100 KiB", path: "/100k" },
  { name: "misses, 1 KiB", path: "/1k", script: "bench/http/distinct.lua" },
];

async function main() {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "5" } } });
  for (const path of ["target/release/examples/bare", "target/release/terrace"]) {
    if (!existsSync(path)) throw new Error(`${path} is not built: run make bench`);
  }
  if (!(await installed("wrk"))) throw new Error("wrk is missing: apt-get install wrk");
  const directory = mkdtempSync(join(tmpdir(), "terrace-bench-"));
  const results = WORKLOADS.map(({ name }) => ({ name, targets: {} }));
  let running = [];
  try {
    running = await startAll(directory);
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const [n, { name, path, script }] of WORKLOADS.entries()) {
        for (const target of running) {
          const url = target.url + path;
          if (!script) await wrk(url, { seconds: 1 });
          const before = usage(target.pid);
          const measured = await wrk(url, { seconds: Number(values.seconds), script });
          const after = usage(target.pid);
          measured.ofServer = (after.seconds - before.seconds) / measured.requests;
          if (script) measured.bytesPerObject = (after.bytes - before.bytes) / measured.requests;
          (results[n].targets[target.name] ??= []).push(measured);
          console.error(`${name}, ${target.name}: ${measured.perSecond.toFixed(0)}/s`);
        }
      }
    }
  } finally {
    for (const target of running.reverse()) await target.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  const summary = results.map(({ name, targets }) => ({
    name,
    targets: Object.entries(targets).map(([target, rounds]) => ({
      target,
      perSecond: median(rounds.map((round) => round.perSecond)),
      p50: median(rounds.map((round) => round.p50)),
      p99: median(rounds.map((round) => round.p99)),
      ofServer: median(rounds.map((round) => round.ofServer)),
      ofWrk: median(rounds.map((round) => round.ofWrk)),
      // The first round: later ones reuse memory that earlier ones have left.
      bytesPerObject: rounds[0].bytesPerObject,
    })),
  }));
  mkdirSync("target/bench", { recursive: true });
  writeFileSync("target/bench/shield.json", JSON.stringify({ rounds: Number(values.rounds), seconds: Number(values.seconds), workloads: summary }, null, 2));
}

main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exit(1);
});
