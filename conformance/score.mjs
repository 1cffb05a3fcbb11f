// Counts results by the suite's own rules, and holds them against the tests that passed before.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Tests that are scored; the suite's surveys (`check`) have no right answer. */
const SCORED = ["required", "optimal"];

/** What became of every test of a run. */
export function score(suite, results) {
  const tests = suite.tests.map((test) => {
    const verdict = suite.verdict(test.id, results);
    const passed = verdict === "pass" || verdict === "yes";
    return { ...test, verdict, passed, why: passed ? undefined : suite.why(test.id, results) };
  });
  const count = (kind) => {
    const ofKind = tests.filter((test) => test.kind === kind);
    return { passed: ofKind.filter((test) => test.passed).length, of: ofKind.length };
  };
  return {
    required: count("required"),
    optimal: count("optimal"),
    check: count("check"),
    tests,
    failed: tests.filter((test) => SCORED.includes(test.kind) && !test.passed),
    passing: tests.filter((test) => SCORED.includes(test.kind) && test.passed).map((test) => test.id),
  };
}

/** The tests of a baseline that a run did not pass. */
export function lost(baseline, scored) {
  const passing = new Set(scored.passing);
  const known = new Set(scored.tests.map((test) => test.id));
  return baseline.filter((id) => known.has(id) && !passing.has(id));
}

export function readBaseline(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

export function writeBaseline(path, scored) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify([...scored.passing].sort(), null, 1)}\n`);
}
