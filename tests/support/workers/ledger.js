// A Durable Object between the edge and its ledger, which asks the test before each call what is to become of it:
// GET LEDGER_FAULTS answers with "none", "throw", "hang" or "lose", which carries out the call and loses the answer.

import { DurableObject } from "cloudflare:workers";

export class LedgerProxy extends DurableObject {
  async fetch(request) {
    const fault = await (await fetch(this.env.LEDGER_FAULTS)).text();
    if (fault === "hang") return new Promise((resolve) => setTimeout(() => resolve(new Response(null, { status: 503 })), 60_000));
    if (fault === "throw") throw new Error("the test wants the ledger to fail");
    const body = request.method === "GET" ? undefined : await request.arrayBuffer();
    const ledger = this.env.LEDGER.get(this.env.LEDGER.idFromName("ledger"));
    const response = await ledger.fetch(request.url, { method: request.method, body });
    if (fault === "lose") throw new Error("the test wants the answer lost");
    return response;
  }
}

export default { fetch: () => new Response("not for requests", { status: 404 }) };
