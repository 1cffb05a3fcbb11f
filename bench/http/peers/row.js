// A Durable Object that keeps what it is sent as one row and answers, behind a Worker that checks nothing: the limit.
import { DurableObject } from "cloudflare:workers";

export class Rows extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, body TEXT NOT NULL)");
  }

  async fetch(request) {
    this.sql.exec("INSERT INTO rows (body) VALUES (?)", await request.text());
    await this.ctx.storage.sync();
    return new Response("ok");
  }
}

export default {
  fetch: async (request, env) => env.ROWS.get(env.ROWS.idFromName("rows")).fetch("https://rows.internal/", { method: "POST", body: await request.text() }),
};
