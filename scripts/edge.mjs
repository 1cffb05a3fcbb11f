// Starts the worker of wrangler.toml in workerd, on this machine: for `make start`, and for the end-to-end tests.
//
//   node scripts/edge.mjs [--port N] [--host 127.0.0.1] [--var NAME=VALUE]… [--persist DIRECTORY]
//                         [--build edge/build] [--direct] [--isolates N] [--before-ledger FILE]
//
// With --isolates there are several workers that share one ledger and one Cache API, as the isolates of a data centre
// do. With --before-ledger the class LedgerProxy of that module stands between them and the ledger, which it has as LEDGER.
//
// Prints {"url": "…", "isolates": ["…"]} on standard output when it is up, and nothing else there: what the worker logs goes to
// standard error. Stops on SIGINT and SIGTERM, and when its standard input closes, so that it cannot outlive
// whoever started it.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import workerd from "workerd";
import { unstable_getMiniflareWorkerOptions } from "wrangler";

const SIGNALS = ["SIGINT", "SIGTERM"];

/** Standard output belongs to whoever started the edge. */
class LogToStandardError extends Log {
  log(message) {
    console.error(message);
  }
}

/**
 * Starts the worker; `dispose()` of what it gives back stops it. Miniflare restarts a workerd that dies, and says so.
 *
 * Requests come through a worker of Miniflare's that compresses answers and shows errors prettily, and before that through
 * two for the assets. With `direct` they come to the worker itself, which then has no assets.
 */
export async function startEdge({ port = 0, host = "127.0.0.1", vars = {}, persist, assets = true, direct = false, build = "edge/build", isolates = 1, beforeLedger } = {}) {
  for (const path of [`${build}/index.js`, `${build}/index_bg.wasm`, "edge/assets"]) {
    if (!existsSync(path)) throw new Error(`${path} is missing, the worker is not built: run make start`);
  }
  // Bindings, Durable Objects and assets come from wrangler.toml; only what is code is named here.
  const { workerOptions, externalWorkers } = unstable_getMiniflareWorkerOptions("wrangler.toml");
  const ledger = { className: "PurgeObject", scriptName: "terrace", useSQLite: true };
  const worker = {
    ...workerOptions,
    rootPath: build,
    modules: [
      { type: "ESModule", path: "index.js" },
      { type: "CompiledWasm", path: "index_bg.wasm" },
    ],
    bindings: { ...workerOptions.bindings, ...vars },
    durableObjects: { PURGE: beforeLedger ? { className: "LedgerProxy", scriptName: "ledger-proxy" } : ledger },
  };
  const proxy = {
    name: "ledger-proxy",
    modules: [{ type: "ESModule", path: beforeLedger && resolve(beforeLedger) }],
    compatibilityDate: workerOptions.compatibilityDate,
    bindings: vars,
    durableObjects: { LEDGER: ledger, SELF: { className: "LedgerProxy" } },
  };
  const others = Array.from({ length: isolates - 1 }, (_, n) => `terrace-${n + 2}`);
  process.env.TERRACE_WORKERD = workerd.default;
  process.env.MINIFLARE_WORKERD_PATH = resolve("scripts/workerd.sh");
  const handlersBefore = SIGNALS.map((signal) => process.listeners(signal));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host,
      port,
      cf: false,
      log: new LogToStandardError(LogLevel.WARN),
      logRequests: false,
      handleStructuredLogs: ({ message }) => console.error(message),
      resourcePersistencePath: persist,
      workers: [
        {
          ...worker,
          // Miniflare puts two more workers before one with assets, which a measurement would measure.
          ...(assets && !direct ? {} : { assets: undefined }),
          unsafeDirectSockets: direct ? [{ host, port: 0 }] : undefined,
          name: "terrace",
          durableObjects: beforeLedger ? { ...worker.durableObjects, OWN: ledger } : { PURGE: { ...ledger, scriptName: undefined } },
        },
        ...others.map((name) => ({ ...worker, assets: undefined, name, unsafeDirectSockets: [{ host, port: 0 }] })),
        ...(beforeLedger ? [proxy] : []),
        ...(externalWorkers ?? []),
      ],
    }),
  );
  // Miniflare would end this process at a signal, at once; the caller has more to stop than this.
  SIGNALS.forEach((signal, n) => {
    for (const handler of process.listeners(signal)) {
      if (!handlersBefore[n].includes(handler)) process.off(signal, handler);
    }
  });
  const ready = await miniflare.ready;
  const url = direct ? await miniflare.unsafeGetDirectURL("terrace") : ready;
  const otherUrls = await Promise.all(others.map((name) => miniflare.unsafeGetDirectURL(name)));
  return { url: url.origin, isolates: [url, ...otherUrls].map(({ origin }) => origin), dispose: () => miniflare.dispose() };
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      host: { type: "string", default: "127.0.0.1" },
      var: { type: "string", multiple: true, default: [] },
      persist: { type: "string" },
      build: { type: "string" },
      direct: { type: "boolean" },
      isolates: { type: "string", default: "1" },
      "before-ledger": { type: "string" },
    },
  });
  const vars = Object.fromEntries(
    values.var.map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 1) throw new Error(`--var takes NAME=VALUE, not ${pair}`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
  const { port, host, persist, build, direct, isolates, "before-ledger": beforeLedger } = values;
  const starting = startEdge({ port: Number(port), host, vars, persist, build, direct, isolates: Number(isolates), beforeLedger });
  let stopping;
  const stop = () => {
    stopping ??= starting
      .then((edge) => edge.dispose())
      .catch(() => {})
      .then(() => process.exit(0));
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  process.stdin.on("end", stop).on("close", stop).resume();
  const edge = await starting;
  console.log(JSON.stringify({ url: edge.url, isolates: edge.isolates }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`edge: ${error.message}`);
    process.exit(1);
  });
}
