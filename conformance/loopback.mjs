// Loaded before the suite's server (`node --import`): whatever listens without naming an address, or on all of them,
// listens on loopback only.

import net from "node:net";

const HOST = "127.0.0.1";
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function onLoopback(...given) {
  const callbacks = given.filter((argument) => typeof argument === "function");
  const [first] = given;
  if (typeof first === "object" && first !== null) {
    if (first.path !== undefined || first.fd !== undefined) return listen.apply(this, given);
    return listen.call(this, { ...first, host: HOST }, ...callbacks);
  }
  if (first !== undefined && typeof first !== "function" && Number.isNaN(Number(first))) return listen.apply(this, given);
  const port = typeof first === "function" ? 0 : Number(first ?? 0);
  return listen.call(this, { port, host: HOST }, ...callbacks);
};
