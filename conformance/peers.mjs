// Other caches from Debian's packages, each as an ordinary reverse proxy cache with its configuration in peers/, as a
// process of its own on loopback with its files in a temporary directory.

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { start } from "./process.mjs";

const HERE = fileURLToPath(new URL("peers", import.meta.url));
/** How long a peer may take to listen, in milliseconds, and how often that is looked at. */
const PATIENCE = 30_000;
const LOOK_AGAIN = 50;

const PEERS = [
  {
    name: "nginx",
    title: "nginx",
    program: "/usr/sbin/nginx",
    version: ["-v"],
    files: { "nginx.conf": "nginx.conf" },
    flags: (folder) => ["-p", folder, "-e", "error.log", "-c", join(folder, "nginx.conf")],
  },
  {
    name: "varnish",
    title: "Varnish",
    program: "/usr/sbin/varnishd",
    version: ["-V"],
    files: { "varnish.vcl": "varnish.vcl" },
    flags: (folder, port) => [
      ...["-F", "-j", "none", "-n", join(folder, "state"), "-T", "none", "-a", `127.0.0.1:${port}`],
      ...["-f", join(folder, "varnish.vcl"), "-s", "malloc,64M"],
      // Nothing is kept fresh or served stale that the origin does not say so of; what has a validator is validated.
      ...["-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"],
    ],
  },
  {
    name: "squid",
    title: "Squid",
    program: "/usr/sbin/squid",
    version: ["--version"],
    files: { "squid.conf": "squid.conf" },
    flags: (folder) => ["-N", "-f", join(folder, "squid.conf")],
  },
  {
    name: "httpd",
    title: "Apache httpd",
    program: "/usr/sbin/apache2",
    version: ["-v"],
    files: { "httpd.conf": "httpd.conf" },
    folders: ["cache"],
    flags: (folder) => ["-DFOREGROUND", "-d", folder, "-f", join(folder, "httpd.conf")],
  },
  {
    name: "trafficserver",
    title: "Apache Traffic Server",
    program: "/usr/bin/traffic_server",
    version: ["--version"],
    // It looks for all its files where this one says.
    files: {
      "trafficserver.runroot.yaml": "runroot.yaml",
      "trafficserver.records.config": "records.config",
      "trafficserver.remap.config": "remap.config",
      "trafficserver.ip_allow.yaml": "ip_allow.yaml",
      "trafficserver.storage.config": "storage.config",
    },
    folders: ["cache", "state"],
    user: "trafficserver",
    flags: (folder) => [`--run-root=${join(folder, "runroot.yaml")}`],
  },
];

export const peers = PEERS.map((peer) => ({
  name: peer.name,
  title: titleOf(peer),
  ours: false,
  missing: () => (existsSync(peer.program) ? undefined : `${peer.program} is not installed: scripts/setup.sh peers`),
  start: (origin) => startPeer(peer, origin),
}));

function titleOf({ title, program, version }) {
  if (!existsSync(program)) return title;
  const { stdout, stderr } = spawnSync(program, version, { encoding: "utf8" });
  const number = /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`);
  return number ? `${title} ${number[0]}` : title;
}

async function startPeer(peer, origin) {
  const folder = mkdtempSync(join(tmpdir(), `terrace-${peer.name}-`));
  // Some give up root for a user of their own, who must reach these files.
  chmodSync(folder, 0o755);
  for (const name of peer.folders ?? []) {
    mkdirSync(join(folder, name));
    chmodSync(join(folder, name), 0o777);
  }
  const port = await freePort();
  const values = { PORT: port, UPSTREAM: new URL(origin).host, UPSTREAM_PORT: new URL(origin).port, FOLDER: folder, USER: userOf(peer) };
  for (const [from, to] of Object.entries(peer.files)) {
    const text = readFileSync(join(HERE, from), "utf8").replace(/\{\{(\w+)\}\}/g, (_, name) => values[name]);
    writeFileSync(join(folder, to), text);
  }
  const running = start(peer.program, peer.flags(folder, port), { cwd: folder });
  const stop = async () => {
    await running.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await listening(port, running);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, stop };
}

/** Whom it is to run as: most refuse to be root. */
function userOf({ user }) {
  const { uid, username } = userInfo();
  return uid === 0 && user ? user : username;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Waits until somebody listens there. */
async function listening(port, running) {
  const deadline = Date.now() + PATIENCE;
  let ended;
  running.ended.then((how) => {
    ended = how;
  });
  while (!(await canConnect(port))) {
    if (ended || Date.now() > deadline) throw new Error(`it did not listen (${ended ?? "in time"}):\n${running.output()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
