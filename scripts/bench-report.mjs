// Writes bench/results.md from what the benchmarks measured: medians, the limits they are held against, and ratios
// to the peers that ran beside them. `make bench` runs it last.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";

const LIMITS = {
  "ledger/verdict, 8 scopes, 10,000 marks": 100,
  "http/decide on a stored response": 1_000,
  "key/format": 300,
  "key/encode": 300,
  "catch-up/100,000 records": 1e9,
};
const PEERS = [
  { name: "memory hit, typed", ours: "memory hit/terrace, typed", peer: "memory hit/moka, no lifetime", wanted: "" },
  { name: "memory hit, typed", ours: "memory hit/terrace, typed", peer: "memory hit/moka, its own lifetime", wanted: "≤ 0.6" },
  { name: "memory hit, typed, on each of 2 threads", ours: "memory hit/terrace, typed, on each of 2 threads", peer: "memory hit/terrace, typed", wanted: "≤ 1.5" },
  {
    name: "memory hit, typed, on each of 2 threads",
    ours: "memory hit/terrace, typed, on each of 2 threads",
    peer: "memory hit/moka, its own lifetime, on each of 2 threads",
    wanted: "",
  },
  { name: "Redis hit, 64 in flight", ours: "redis hit/terrace, 64 in flight", peer: "redis hit/redis-rs GET, 64 in flight", wanted: "≤ 0.77" },
  { name: "Redis hit, alone", ours: "redis hit/terrace, 1 at once", peer: "redis hit/redis-rs GET, 1 at once", wanted: "≤ 1.1" },
  { name: "16 purges of 256 tags at once", ours: "purges taken/terrace, 16 batches of 256 tags", peer: "purges taken/raw EVALSHA, 16 of as many bytes", wanted: "" },
  { name: "64 purges of a tag at once", ours: "purges taken/terrace, 64 of one tag", peer: "purges taken/raw EVALSHA, 64 short ones", wanted: "" },
  { name: "64 Redis hits, begun at once", ours: "redis hit/terrace, 64 at once", peer: "redis hit/redis-rs GET, 64 at once", wanted: "≤ 0.77" },
];

/** Medians in nanoseconds, by `group/function`. */
function medians(folder, found = new Map()) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) continue;
    if (entry.name === "new" && existsSync(join(path, "benchmark.json"))) {
      const { full_id } = JSON.parse(readFileSync(join(path, "benchmark.json"), "utf8"));
      const { median } = JSON.parse(readFileSync(join(path, "estimates.json"), "utf8"));
      found.set(full_id, median.point_estimate);
    } else {
      medians(path, found);
    }
  }
  return found;
}

const time = (nanoseconds) =>
  nanoseconds < 1e3 ? `${nanoseconds.toFixed(1)} ns` : nanoseconds < 1e6 ? `${(nanoseconds / 1e3).toFixed(2)} µs` : `${(nanoseconds / 1e6).toFixed(2)} ms`;

/** What `wrk` saw of several servers, and the ratios of requests a second that are wanted. */
function servers(title, path, ratios) {
  if (!existsSync(path)) return [];
  const { rounds, seconds, workloads } = JSON.parse(readFileSync(path, "utf8"));
  // Processor time, where it was read, says what a server costs, whatever else the machine did meanwhile.
  const timed = workloads.some(({ targets }) => targets.some(({ ofServer }) => ofServer !== undefined));
  const row = (cells) => `| ${cells.join(" | ")} |`;
  const rule = (cells) => row(cells.map(() => "---"));
  const lines = ["", `${title}: medians of ${rounds} rounds of ${seconds} s, load and servers on the same cores.`, ""];
  const seen = ["", "server", "requests/s", "p50", "p99", ...(timed ? ["processor time a request", "of wrk besides"] : []), "resident bytes a stored object"];
  lines.push(row(seen), rule(seen));
  for (const { name, targets } of workloads) {
    for (const { target, perSecond, p50, p99, ofServer, ofWrk, bytesPerObject } of targets) {
      const bytes = bytesPerObject === undefined || target === "bare axum" ? "" : bytesPerObject.toFixed(0);
      const taken = timed ? [time(ofServer * 1e9), time(ofWrk * 1e9)] : [];
      lines.push(row([name, target, perSecond.toFixed(0), time(p50 * 1e9), time(p99 * 1e9), ...taken, bytes]));
    }
  }
  const held = ["", "ratio", "of", "wanted", ...(timed ? ["the same for each second of its processor time"] : [])];
  lines.push("", row(held), rule(held));
  for (const { workload, ours, peer, wanted } of ratios) {
    const { targets } = workloads.find(({ name }) => name === workload);
    const [own, other] = [ours, peer].map((server) => targets.find(({ target }) => target === server));
    if (own === undefined || other === undefined) continue;
    const cheaper = timed ? [(other.ofServer / own.ofServer).toFixed(2)] : [];
    lines.push(row([workload, (own.perSecond / other.perSecond).toFixed(2), `${ours} to ${peer}`, wanted, ...cheaper]));
  }
  return lines;
}

if (!existsSync("target/criterion")) {
  console.error("nothing has been measured: run make bench");
  process.exit(1);
}
const measured = medians("target/criterion");
const lines = [
  "# What the benchmarks measured",
  "",
  `Written by \`make bench\`; medians on ${cpus().length} cores of ${cpus()[0]?.model.trim() ?? "an unknown processor"}. Machines are shared and noisy: the ratios count, not the figures.`,
  "",
  "| rule | median | limit | |",
  "|---|---|---|---|",
];
for (const [name, limit] of Object.entries(LIMITS)) {
  const median = measured.get(name);
  const kept = median === undefined ? "not measured" : median <= limit ? "kept" : "**not kept**";
  lines.push(`| ${name} | ${median === undefined ? "" : time(median)} | ${time(limit)} | ${kept} |`);
}
lines.push("", "| tier | ours | peer in the same run | ratio | wanted |", "|---|---|---|---|---|");
for (const { name, ours, peer, wanted } of PEERS) {
  const [mine, theirs] = [measured.get(ours), measured.get(peer)];
  if (mine === undefined || theirs === undefined) continue;
  lines.push(`| ${name} | ${time(mine)} | ${peer.split("/")[1]}: ${time(theirs)} | ${(mine / theirs).toFixed(2)} | ${wanted} |`);
}
const memory = "target/criterion/memory.json";
if (existsSync(memory)) {
  const { entries, bytes_per_entry } = JSON.parse(readFileSync(memory, "utf8"));
  lines.push("", `Memory: ${bytes_per_entry.toFixed(0)} bytes an entry beyond the value, of ${entries} entries.`);
}
const purges = measured.get("purges taken/terrace, 16 batches of 256 tags");
if (purges !== undefined) lines.push("", `Purges over Redis: ${((16 * 256 * 1e9) / purges).toFixed(0)} tags/s in batches (≥ 20,000 wanted).`);
const seen = "target/criterion/purge_seen.json";
if (existsSync(seen)) {
  const { p50_ms, p99_ms } = JSON.parse(readFileSync(seen, "utf8"));
  lines.push("", `From a purge to another process's view: p50 ${p50_ms.toFixed(2)} ms, p99 ${p99_ms.toFixed(2)} ms (≤ 50 ms wanted).`);
}
lines.push(...servers("The shield, before a bare axum handler, and others in its place", "target/bench/shield.json", [
  { workload: "hits, 1 KiB", ours: "terrace shield", peer: "nginx", wanted: "≥ 1.1" },
  { workload: "hits, 1 KiB", ours: "terrace shield", peer: "Varnish", wanted: "≥ 1.4" },
  { workload: "hits, 1 KiB", ours: "terrace shield", peer: "bare axum", wanted: "≥ 0.75" },
  { workload: "hits, 100 KiB", ours: "terrace shield", peer: "nginx", wanted: "" },
  { workload: "hits, 100 KiB", ours: "terrace shield", peer: "Varnish", wanted: "≥ 1.5" },
  { workload: "hits, 100 KiB", ours: "terrace shield", peer: "bare axum", wanted: "" },
  { workload: "hits, 100 KiB", ours: "bare axum", peer: "Varnish", wanted: "" },
  { workload: "misses, 1 KiB", ours: "terrace shield", peer: "nginx", wanted: "" },
  { workload: "misses, 1 KiB", ours: "terrace shield", peer: "Varnish", wanted: "" },
]));
lines.push(...servers("The edge, and Workers in JavaScript under the same miniflare", "target/bench/edge.json", [
  { workload: "1 KiB, from isolate memory", ours: "terrace", peer: "hello", wanted: "" },
  { workload: "1 KiB, from isolate memory", ours: "terrace", peer: "cache-api", wanted: "≥ 2" },
  { workload: "1 KiB, from isolate memory", ours: "terrace", peer: "hono", wanted: "> 1" },
  { workload: "300 KiB, from the Cache API", ours: "terrace", peer: "cache-api", wanted: "≥ 0.9" },
  { workload: "300 KiB, from the Cache API", ours: "terrace", peer: "hono", wanted: "> 1" },
]));
lines.push(...servers("Purge calls that one Durable Object takes, and one in JavaScript that keeps each call as a row", "target/bench/purge.json", [
  { workload: "single purges", ours: "terrace", peer: "a row a call", wanted: "" },
  { workload: "batches of 256 tags", ours: "terrace", peer: "a row a call", wanted: "" },
]));
lines.push("", "All medians:", "", "| benchmark | median |", "|---|---|");
for (const [name, median] of [...measured].sort()) lines.push(`| ${name} | ${time(median)} |`);
mkdirSync("bench", { recursive: true });
writeFileSync("bench/results.md", `${lines.join("\n")}\n`);
console.log(`bench/results.md: ${measured.size} benchmarks`);
