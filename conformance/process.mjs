// Child processes that say when they are ready, and that end with this one.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How long a process may take to end when asked to, in milliseconds. */
const GRACE = 5_000;
/** Last lines of its output that an error shows. */
const TAIL = 15;

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program; its output is kept for the error that says why it failed. */
export function start(program, flags, options = {}) {
  const child = spawn(program, flags, { stdio: ["pipe", "pipe", "pipe"], ...options });
  const said = [];
  const waiting = new Set();
  let failure;
  running.add(child);
  const ended = new Promise((resolve) => {
    child.once("error", (error) => {
      failure = error;
      running.delete(child);
      resolve(error.message);
    });
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve(signal ?? `status ${code}`);
    });
  });
  child.stdin.on("error", () => {});
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (text) => {
      said.push(text);
      if (said.length > 1_000) said.shift();
      for (const look of waiting) look(text);
    });
  }
  return {
    child,
    ended,
    failure: () => failure,
    output: () => said.join("\n"),
    /** The first line that matches, within so many milliseconds. */
    line: (pattern, patience, name) =>
      new Promise((resolve, reject) => {
        const fail = (how) => finish(() => reject(new Error(`${name} ${how}:\n${said.slice(-TAIL).join("\n")}`)));
        const timer = setTimeout(fail, patience, `was not ready within ${patience / 1_000} s`);
        const look = (text) => {
          const match = pattern.exec(text);
          if (match) finish(() => resolve(match));
        };
        const finish = (settle) => {
          clearTimeout(timer);
          waiting.delete(look);
          settle();
        };
        waiting.add(look);
        said.forEach(look);
        ended.then((how) => fail(`stopped (${how})`));
      }),
    /** Asks it to end, and makes it. */
    stop: async () => {
      child.stdin.end();
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), GRACE);
      await ended;
      clearTimeout(timer);
    },
  };
}
