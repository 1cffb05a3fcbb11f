// Writes what a conformance run found, beside the figures of other caches.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const read = (path) => (existsSync(at(path)) ? JSON.parse(readFileSync(at(path), "utf8")) : {});

/** The report in Markdown, of runs `{target, scored}`; the peers that are in none stand in `measured`, if it exists. */
export function report(suite, runs, measured) {
  const lines = [
    "# What the public HTTP cache tests say",
    "",
    `Written by \`make conformance\`: ${describe(suite)}, ${suite.tests.length} tests of its command line, scored by its own code with dependencies honoured.`,
    "",
    "Both run with the policy in `conformance/terrace.toml`, which says what an operator knows of the origin: that its responses do not depend on cookies, and which languages it has (without them `vary-normalise-lang-select` is not passed: RFC 9111 §4.1 keeps its two requests apart).",
    "",
    "Its README warns, and the warning stands beside every figure here:",
    "",
    "> passing all of the tests currently means nothing -- this is not a conformance test suite, it's just the start of a conversation, and a tool to assess how a cache behaves.",
    "",
    ...table(runs, measured),
    ...possible(runs),
    ...runs.filter((run) => run.target.ours).flatMap((run) => failures(run)),
  ];
  return `${lines.join("\n")}\n`;
}

/** One line for a terminal. */
export function summary({ target, scored }) {
  const { required, optimal, check } = scored;
  return `${target.title}: ${required.passed} of ${required.of} required, ${optimal.passed} of ${optimal.of} optimal (${check.passed} of ${check.of} surveys answered yes)`;
}

const describe = (suite) => (suite.isPackage ? `the npm package \`http-cache-tests\` ${suite.version}` : `a newer state of \`http-cache-tests\` than npm has`);

function table(runs, path) {
  const [first] = runs;
  const { anchors, measured } = read("anchors.json");
  const { required, optimal } = first.scored;
  const peers = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
  const rows = [...runs.filter((run) => run.target.ours).map(({ target, scored }) => ({ title: target.title, ...scored })), ...peers];
  return [
    `| measured here | required, of ${required.of} | optimal, of ${optimal.of} | both, of ${required.of + optimal.of} |`,
    "|---|---|---|---|",
    ...rows.map((row) => `| ${row.title} | ${row.required.passed} | ${row.optimal.passed} | ${row.required.passed + row.optimal.passed} |`),
    "",
    "The other caches are measured by `make conformance PEERS=1`, from Debian's packages with the configurations in `conformance/peers`.",
    "",
    measured,
    "",
    "| measured elsewhere | required, of 160 | optimal, of 105 | both, of 265 |",
    "|---|---|---|---|",
    ...anchors.map((row) => `| ${row.join(" | ")} |`),
    "",
  ];
}

/** Why a test that did not pass can not be passed by a cache that keeps to the RFCs. */
const AGAINST = {
  rfc: "ask for what an RFC rules out",
  itself: "contradict themselves",
  platform: "cannot be reached in a Worker",
};

/** What is left of the tests when those that cannot be passed are set aside, each with its reason further down. */
function possible(runs) {
  const reasons = read("reasons.json");
  const rows = runs.filter((run) => run.target.ours).flatMap(({ target, scored }) =>
    ["required", "optimal"].map((kind) => {
      const failed = scored.failed.filter((test) => test.kind === kind);
      const set = Object.keys(AGAINST).map((against) => failed.filter((test) => reasons[test.id]?.against === against).length);
      const { passed, of } = scored[kind];
      const left = of - set.reduce((sum, count) => sum + count, 0);
      return `| ${target.title}, ${kind} | ${[of, ...set].join(" | ")} | ${passed} of ${left} (${((100 * passed) / left).toFixed(1)} %) |`;
    }),
  );
  return [
    "The suite's own score counts all tests. Of those that are not passed here, each with its reason below:",
    "",
    `| | tests | ${Object.values(AGAINST).join(" | ")} | passed of the others |`,
    `|---|---|${Object.keys(AGAINST).map(() => "---|").join("")}---|`,
    ...rows,
    "",
  ];
}

function failures({ target, scored }) {
  const reasons = read("reasons.json");
  const lines = [`## ${target.title}: tests not passed`, ""];
  for (const kind of ["required", "optimal"]) {
    const failed = scored.failed.filter((test) => test.kind === kind);
    lines.push(failed.length === 0 ? `Every ${kind} test passes.` : `${failed.length} of the ${kind} tests:`, "");
    for (const test of failed) {
      const reason = reasons[test.id]?.[target.name] ?? reasons[test.id]?.all;
      lines.push(`- \`${test.id}\`: ${plain(test.name)}`);
      lines.push(`  - the suite: ${test.verdict}, ${test.why}`);
      lines.push(`  - why: ${reason ?? "not explained yet"}`);
    }
    if (failed.length > 0) lines.push("");
  }
  return lines;
}

/** A test's name without its links and without what changes from run to run. */
const plain = (name) => name.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
