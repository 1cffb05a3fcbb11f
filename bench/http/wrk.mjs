// What the measurements of servers share: a free port, and wrk, whose text is read.

import { spawn } from "node:child_process";
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

/** Requests per second, latencies in seconds, and how many answers there were; an error if any of them was one. */
export async function wrk(url, { connections = 64, threads = 2, seconds = 5, script } = {}) {
  const flags = [`-t${threads}`, `-c${connections}`, `-d${seconds}s`, "--latency", "--timeout", "10s"];
  if (script) flags.push("-s", script);
  const text = await output("wrk", [...flags, url]);
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(text) ?? /Socket errors: (.*)/.exec(text);
  if (errors) throw new Error(`${url}: ${errors[0]}`);
  const latency = (percentile) => {
    const [, number, unit] = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s|m)`).exec(text);
    return Number(number) * UNITS[unit];
  };
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]),
    requests: Number(/(\d+) requests in/.exec(text)[1]),
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
