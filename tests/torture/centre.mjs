// Starts a data centre in workerd: isolates of the worker of wrangler.toml, which share one Cache API.
//
//   node tests/torture/centre.mjs --name NAME --registry DIRECTORY [--ledger NAME] [--isolates N]
//                                 [--build edge/build] [--var NAME=VALUE]…
//
// Data centres with one registry find each other by name. One that names a ledger uses the Durable Object of the data
// centre of that name, as all of them do in the network; without, it has its own. Requests come to the isolates directly.
//
// Prints {"urls": ["…"]} on standard output when it is up. Stops when its standard input closes. A workerd that dies is
// started again, on the same ports.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import workerd from "workerd";
import { unstable_getMiniflareWorkerOptions } from "wrangler";

/** Standard output belongs to whoever started the data centre. */
class LogToStandardError extends Log {
  log(message) {
    console.error(message);
  }
}

const { values } = parseArgs({
  options: {
    name: { type: "string" },
    registry: { type: "string" },
    ledger: { type: "string" },
    isolates: { type: "string", default: "1" },
    build: { type: "string", default: "edge/build" },
    var: { type: "string", multiple: true, default: [] },
  },
});
const { name, registry, ledger, build } = values;
if (!existsSync(`${build}/index_bg.wasm`)) {
  console.error(`${build} has no worker: run make torture`);
  process.exit(1);
}
process.env.TERRACE_WORKERD = workerd.default;
process.env.MINIFLARE_WORKERD_PATH = resolve("scripts/workerd.sh");

// Bindings come from wrangler.toml; only what is code is named here.
const { workerOptions } = unstable_getMiniflareWorkerOptions("wrangler.toml");
const { PURGE, ...otherObjects } = workerOptions.durableObjects;
const vars = Object.fromEntries(values.var.map((pair) => [pair.split("=")[0], pair.slice(pair.indexOf("=") + 1)]));
const names = Array.from({ length: Number(values.isolates) }, (_, number) => (number === 0 ? name : `${name}-${number}`));
const host = "127.0.0.1";
const isolate = (own) => {
  const holder = ledger ?? name;
  const object = holder === own ? PURGE : { ...PURGE, scriptName: holder };
  return {
    ...workerOptions,
    assets: undefined,
    durableObjects: { ...otherObjects, PURGE: object },
    unsafeDirectSockets: [{ host, port: 0 }],
    name: own,
    rootPath: resolve(build),
    modules: [
      { type: "ESModule", path: "index.js" },
      { type: "CompiledWasm", path: "index_bg.wasm" },
    ],
    bindings: { ...workerOptions.bindings, ...vars },
  };
};
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host,
    port: 0,
    cf: false,
    log: new LogToStandardError(LogLevel.WARN),
    logRequests: false,
    handleStructuredLogs: ({ message }) => console.error(message),
    unsafeDevRegistryPath: registry,
    workers: names.map(isolate),
  }),
);
const stop = () => {
  miniflare
    .dispose()
    .catch(() => {})
    .then(() => process.exit(0));
};
process.stdin.on("end", stop).on("close", stop).resume();
await miniflare.ready;
const urls = await Promise.all(names.map((own) => miniflare.unsafeGetDirectURL(own)));
console.log(JSON.stringify({ urls: urls.map((url) => url.origin) }));
