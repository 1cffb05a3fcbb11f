// `make start`: the demo's backend and the edge before it, on this machine, until Ctrl-C.
//
//   node scripts/start.mjs --backend PATH [--run COMMAND [ARGUMENT]…]
//
// With --run it runs that command against them instead of staying, and stops with its exit status.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import { startEdge } from "./edge.mjs";

const EDGE_PORT = 8787;
const BACKEND_PORT = 3000;
/** How long the backend may take to answer what it has begun, in milliseconds. */
const PATIENCE = 5_000;

/** The port, if nothing listens there, or else a free one. */
function freePort(wanted) {
  const listen = (port) =>
    new Promise((resolve, reject) => {
      const server = createServer().once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        const taken = server.address().port;
        server.close(() => resolve(taken));
      });
    });
  return listen(wanted).catch(() => listen(0));
}

/** Starts the backend and waits for the line that says where it listens. */
function startBackend(path, port, edgeUrl, token) {
  const flags = ["--listen", `127.0.0.1:${port}`, "--policy", "terrace.toml", "--edge-url", edgeUrl, "--until-stdin-closes"];
  if (process.env.REDIS_URL) flags.push("--redis", process.env.REDIS_URL);
  const child = spawn(path, flags, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, TERRACE_EDGE_TOKEN: token },
    // Ctrl-C reaches the whole process group; the backend is stopped by closing its standard input instead.
    detached: true,
  });
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? `status ${code}`)));
  const ready = new Promise((resolve, reject) => {
    child.once("error", reject);
    ended.then((how) => reject(new Error(`the backend stopped before it was up (${how})`)));
    createInterface({ input: child.stdout }).once("line", (line) => resolve(JSON.parse(line).url));
  });
  const stop = () => {
    child.stdin.end();
    setTimeout(() => child.kill("SIGKILL"), PATIENCE).unref();
    return ended;
  };
  return { ready, ended, stop };
}

function tour(edgeUrl, token) {
  const product = `${edgeUrl}/api/products/42`;
  return [
    `  1  curl -i ${product}    # miss: edge, process memory and Redis ask the database`,
    `  2  curl -i ${product}    # hit at the edge`,
    `  3  curl -i ${product}/price -H 'content-type: application/json' -d '{"cents":1234}'    # new price; the service purges product:42 everywhere`,
    `  4  curl -i ${product}    # miss, with the new price`,
    `  5  curl -i ${edgeUrl}/.terrace/purge -H 'authorization: Bearer ${token}' -d '{"surrogate_keys":["product:42"]}'    # or purge by hand: a receipt`,
  ].join("\n");
}

/** Two commands: a service in another language, and the shield before it. */
async function shield(backend) {
  const [service, port] = [await freePort(3001), await freePort(8080)];
  const terrace = join(dirname(dirname(backend)), "terrace");
  return [
    `  node origin/examples/quotes.mjs ${service}`,
    `  ${terrace} shield --upstream http://127.0.0.1:${service} --listen 127.0.0.1:${port}`,
  ].join("\n");
}

async function main() {
  const [option, path, run, ...command] = process.argv.slice(2);
  if (option !== "--backend" || !path || (run && run !== "--run") || (run && command.length === 0)) {
    throw new Error("usage: node scripts/start.mjs --backend PATH [--run COMMAND [ARGUMENT]…]");
  }
  if (!existsSync(path)) throw new Error(`${path} is not built: run make start`);
  if (process.env.REDIS_URL === "") delete process.env.REDIS_URL;

  const token = process.env.TERRACE_TOKEN || randomBytes(24).toString("hex");
  const sha256 = createHash("sha256").update(token).digest("hex");
  const edgePort = await freePort(EDGE_PORT);
  const edgeUrl = `http://127.0.0.1:${edgePort}`;

  const backend = startBackend(path, await freePort(BACKEND_PORT), edgeUrl, token);
  let edge;
  let runner;
  let stopping;
  const stop = () => {
    stopping ??= (async () => {
      await edge?.dispose();
      await backend.stop();
    })();
    return stopping;
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, async () => {
      runner?.kill(signal);
      await stop();
      process.exit(run ? 130 : 0);
    });
  }
  try {
    const backendUrl = await backend.ready;
    if (!URL.canParse(backendUrl)) throw new Error(`ORIGIN would be ${backendUrl}: the backend did not say where it listens`);
    const purgeTokens = JSON.stringify([{ name: "demo", sha256, allow: ["*"] }]);
    edge = await startEdge({ port: edgePort, vars: { ORIGIN: backendUrl, TERRACE_PURGE_TOKENS: purgeTokens } });
    backend.ended.then(async (how) => {
      if (stopping) return;
      console.error(`start: the backend stopped (${how})`);
      await stop();
      process.exit(1);
    });
    if (run) {
      const env = { ...process.env, TERRACE_EDGE_URL: edge.url, TERRACE_ORIGIN_URL: backendUrl, TERRACE_TOKEN: token };
      runner = spawn(command[0], command.slice(1), { stdio: "inherit", env });
      const code = await new Promise((resolve, reject) => runner.once("error", reject).once("exit", resolve));
      if (stopping) return;
      await stop();
      process.exit(code ?? 1);
    }
    console.log(`home page  ${edge.url}/`);
    console.log(`edge       ${edge.url}   (its ledger: ${edge.url}/.terrace/status)`);
    console.log(`backend    ${backendUrl}   (its counters: ${backendUrl}/stats)`);
    console.log(`redis      ${process.env.REDIS_URL ?? "none; give one with REDIS_URL"}\n`);
    console.log(`The tour; watch the Cache-Status field of each answer:\n${tour(edge.url, token)}\n`);
    console.log(`A service in another language, behind the shield (each line in a terminal of its own):\n${await shield(path)}\n`);
    console.log("Ctrl-C stops everything.");
  } catch (error) {
    await stop();
    throw error;
  }
}

main().catch((error) => {
  console.error(`start: ${error.message}`);
  process.exit(1);
});
