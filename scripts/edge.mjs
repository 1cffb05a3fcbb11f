// Starts the worker of wrangler.toml in workerd, on this machine: for `make start`, and for the end-to-end tests.
//
//   node scripts/edge.mjs [--port N] [--host 127.0.0.1] [--var NAME=VALUE]… [--persist DIRECTORY]
//                         [--build edge/build] [--direct] [--isolates N] [--before-ledger FILE]
//                         [--registry DIRECTORY --name NAME [--ledger NAME]]
//
// With --isolates there are several workers that share one ledger and one Cache API, as the isolates of a data centre
// do; with --registry it is one data centre of several. With --before-ledger the class LedgerProxy of that module stands
// between them and the ledger, which it has as LEDGER.
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
 * Starts a data centre: `isolates` of the worker, which share one Cache API and come to it directly, without assets.
 *
 * Data centres with the same `registry` find each other by `name`; one with `ledger` uses the Durable Object of the data
 * centre of that name in place of its own, as all data centres of the network do.
 */
export async function startCentre({ isolates, name, ...options }) {
  return startEdge({ ...options, direct: true, names: namesOf(isolates, name) });
}

const namesOf = (isolates, name) => Array.from({ length: isolates }, (_, n) => (n === 0 ? name : `${name}-${n + 1}`));

/**
 * Starts the worker; `dispose()` of what it gives back stops it. Miniflare restarts a workerd that dies, and says so.
 *
 * Requests come through a worker of Miniflare's that compresses answers and shows errors prettily, and before that through
 * two for the assets. With `direct` they come to the worker itself, which then has no assets.
 */
export async function startEdge({
  port = 0,
  host = "127.0.0.1",
  vars = {},
  persist,
  assets = true,
  direct = false,
  build = "edge/build",
  names = ["terrace"],
  registry,
  ledger = names[0],
  beforeLedger,
} = {}) {
  for (const path of [`${build}/index.js`, `${build}/index_bg.wasm`, "edge/assets"]) {
    if (!existsSync(path)) throw new Error(`${path} is missing, the worker is not built: run make start`);
  }
  // Bindings, Durable Objects and assets come from wrangler.toml; only what is code is named here.
  const { workerOptions, externalWorkers } = unstable_getMiniflareWorkerOptions("wrangler.toml");
  process.env.TERRACE_WORKERD = workerd.default;
  process.env.MINIFLARE_WORKERD_PATH = resolve("scripts/workerd.sh");
  /** Miniflare's own port leads to the first worker; the others have only their own. */
  const isDirect = (n) => direct || n > 0;
  const own = workerOptions.durableObjects.PURGE;
  const there = { ...own, scriptName: ledger };
  const before = { className: "LedgerProxy", scriptName: "ledger-proxy" };
  const objectsOf = (name) => {
    if (!beforeLedger) return { PURGE: name === ledger ? own : there };
    return name === ledger ? { PURGE: before, OWN: own } : { PURGE: before };
  };
  const proxy = {
    name: before.scriptName,
    modules: [{ type: "ESModule", path: beforeLedger && resolve(beforeLedger) }],
    compatibilityDate: workerOptions.compatibilityDate,
    bindings: vars,
    durableObjects: { LEDGER: there, SELF: { className: before.className } },
  };
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
      unsafeDevRegistryPath: registry,
      workers: [
        ...names.map((name, n) => ({
          ...workerOptions,
          // Miniflare puts two more workers before one with assets, which a measurement would measure.
          ...(assets && !isDirect(n) ? {} : { assets: undefined }),
          unsafeDirectSockets: isDirect(n) ? [{ host, port: 0 }] : undefined,
          durableObjects: objectsOf(name),
          name,
          rootPath: build,
          modules: [
            { type: "ESModule", path: "index.js" },
            { type: "CompiledWasm", path: "index_bg.wasm" },
          ],
          bindings: { ...workerOptions.bindings, ...vars },
        })),
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
  const urls = await Promise.all(names.map((name, n) => (isDirect(n) ? miniflare.unsafeGetDirectURL(name) : ready)));
  return { url: urls[0].origin, isolates: urls.map((url) => url.origin), dispose: () => miniflare.dispose() };
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
      registry: { type: "string" },
      name: { type: "string", default: "terrace" },
      ledger: { type: "string" },
    },
  });
  const vars = Object.fromEntries(
    values.var.map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 1) throw new Error(`--var takes NAME=VALUE, not ${pair}`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
  const { host, persist, build, direct, registry, name, ledger, "before-ledger": beforeLedger } = values;
  const options = { port: Number(values.port), host, vars, persist, build, registry, ledger, beforeLedger };
  const isolates = Number(values.isolates);
  const starting = registry
    ? startCentre({ ...options, isolates, name })
    : startEdge({ ...options, direct, names: namesOf(isolates, name) });
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
