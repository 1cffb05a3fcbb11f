// What is tested: the worker in workerd, and the shield. A target starts before an origin and says where it listens.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { start } from "./process.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const POLICY = "conformance/terrace.toml";
const BUILD = "target/conformance/edge";
const TERRACE = process.env.TERRACE_BIN || "target/release/terrace";
/** How long a target may take to listen, in milliseconds. */
const PATIENCE = 60_000;

/** The worker of wrangler.toml, built with the policy beside this file. */
export const edge = {
  name: "edge",
  title: "Terrace edge",
  missing: () => undefined,
  prepare: () => {
    const env = { ...process.env, TERRACE_POLICY: POLICY, TERRACE_EDGE_BUILD: BUILD };
    const { status } = spawnSync("bash", ["scripts/build-edge.sh"], { cwd: ROOT, env, stdio: ["ignore", "ignore", "inherit"] });
    if (status !== 0) throw new Error("the edge did not build");
  },
  start: async (origin) => {
    const worker = start(process.execPath, ["scripts/edge.mjs", "--build", BUILD, "--direct", "--var", `ORIGIN=${origin}`], { cwd: ROOT });
    const [line] = await worker.line(/^\{"url".*\}$/, PATIENCE, "the edge");
    return { url: JSON.parse(line).url, stop: worker.stop };
  },
};

/** `terrace shield`, as a service would have it in front. */
export const shield = {
  name: "shield",
  title: "Terrace shield",
  missing: () => {
    const binary = new URL(`../${TERRACE}`, import.meta.url);
    const path = TERRACE.startsWith("/") ? TERRACE : fileURLToPath(binary);
    if (!existsSync(path)) return `${TERRACE} is not built`;
    const { status } = spawnSync(path, ["shield", "--help"], { stdio: "ignore" });
    return status === 0 ? undefined : `${TERRACE} has no command \`shield\``;
  },
  start: async (origin) => {
    const proxy = start(TERRACE, ["shield", "--upstream", origin, "--listen", "127.0.0.1:0", "--policy", POLICY], { cwd: ROOT });
    const [, url] = await proxy.line(/(http:\/\/127\.0\.0\.1:[1-9]\d*)/, PATIENCE, "the shield");
    return { url, stop: proxy.stop };
  },
};
