// Starts the worker of wrangler.toml in workerd, on this machine: for `make start`, and for the end-to-end tests.
//
//   node scripts/edge.mjs [--port N] [--host 127.0.0.1] [--var NAME=VALUE]… [--persist DIRECTORY]
//
// Prints {"url": "…"} on standard output when it is up. Stops on SIGINT and SIGTERM, and when its standard input
// closes, so that it cannot outlive whoever started it.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";

/** Starts the worker; `dispose()` of what it gives back stops it. */
export async function startEdge({ port = 0, host = "127.0.0.1", vars = {}, persist } = {}) {
  if (!existsSync("edge/build/index.js")) {
    throw new Error("the worker is not built: run make start, or bash scripts/build-edge.sh");
  }
  const { workerOptions, main, externalWorkers } = unstable_getMiniflareWorkerOptions("wrangler.toml", undefined, {
    envFiles: [],
  });
  const worker = {
    ...workerOptions,
    name: "terrace",
    modules: true,
    rootPath: "edge/build",
    scriptPath: main ? "edge/build/index.js" : undefined,
    modulesRules: [
      { type: "ESModule", include: ["**/*.js"] },
      { type: "CompiledWasm", include: ["**/*.wasm"] },
    ],
    bindings: { ...workerOptions.bindings, ...vars },
  };
  const miniflare = new Miniflare({
    host,
    port,
    cf: false,
    log: new Log(LogLevel.WARN),
    handleRuntimeStdio(stdout, stderr) {
      stdout.pipe(process.stderr);
      stderr.pipe(process.stderr);
    },
    defaultPersistRoot: persist,
    cachePersist: persist ? `${persist}/cache` : false,
    durableObjectsPersist: persist ? `${persist}/objects` : false,
    workers: [worker, ...(externalWorkers ?? [])],
  });
  const url = await miniflare.ready;
  return { url: url.origin, dispose: () => miniflare.dispose() };
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      host: { type: "string", default: "127.0.0.1" },
      var: { type: "string", multiple: true, default: [] },
      persist: { type: "string" },
    },
  });
  const vars = Object.fromEntries(
    values.var.map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 1) throw new Error(`--var takes NAME=VALUE, not ${pair}`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
  const edge = await startEdge({ port: Number(values.port), host: values.host, vars, persist: values.persist });
  const stop = async () => {
    await edge.dispose();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
  process.stdin.on("end", stop).on("close", stop).resume();
  console.log(JSON.stringify({ url: edge.url }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`edge: ${error.message}`);
    process.exit(1);
  });
}
