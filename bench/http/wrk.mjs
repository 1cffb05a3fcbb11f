// What the measurements of servers share: a free port, and wrk, whose text is read.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";

const UNITS = { us: 1e-6, ms: 1e-3, s: 1, m: 60 };

/** Runs a command to its end and gives its standard output; an error if it fails. */
export function output(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], ...options });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve(text) : reject(new Error(`${command} ended with status ${code}`))));
  });
}

/** Seconds in a tick of /proc: it is 100 a second wherever Linux runs. */
const TICK = 0.01;

/** What /proc says of a process behind its name: the third field is the first here. */
const statistics = (pid) => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
};

/** Seconds of processor time that the ended children of this process have taken. */
const ofChildren = () => {
  const fields = statistics("self");
  return TICK * (Number(fields[13]) + Number(fields[14]));
};

/** Resident bytes of a process and of all below it, and the seconds of processor time that they have taken. */
export function usage(pid) {
  const processes = new Map();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const fields = statistics(entry);
      const status = readFileSync(`/proc/${entry}/status`, "utf8");
      const bytes = 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      processes.set(Number(entry), { parent: Number(fields[1]), seconds: TICK * (Number(fields[11]) + Number(fields[12])), bytes });
    } catch {
      // It has ended meanwhile.
    }
  }
  const below = (id) => id === pid || (processes.has(id) && below(processes.get(id).parent));
  const own = [...processes].filter(([id]) => below(id)).map(([, process]) => process);
  const sum = (of) => own.reduce((total, process) => total + of(process), 0);
  return { bytes: sum(({ bytes }) => bytes), seconds: sum(({ seconds }) => seconds) };
}

/**
 * Requests per second, latencies in seconds, how many answers there were, and the seconds of processor time that wrk
 * took for each; an error if any of them was one.
 */
export async function wrk(url, { connections = 64, threads = 2, seconds = 5, script } = {}) {
  const flags = [`-t${threads}`, `-c${connections}`, `-d${seconds}s`, "--latency", "--timeout", "10s"];
  if (script) flags.push("-s", script);
  const before = ofChildren();
  const text = await output("wrk", [...flags, url]);
  const taken = ofChildren() - before;
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(text) ?? /Socket errors: (.*)/.exec(text);
  if (errors) throw new Error(`${url}: ${errors[0]}`);
  const latency = (percentile) => {
    const [, number, unit] = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s|m)`).exec(text);
    return Number(number) * UNITS[unit];
  };
  const requests = Number(/(\d+) requests in/.exec(text)[1]);
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]),
    requests,
    ofWrk: taken / requests,
    p50: latency(50),
    p99: latency(99),
  };
}

/** A port on which nobody listens. */
export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export const median = (numbers) => {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
