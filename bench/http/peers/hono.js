// Hono with its cache middleware.
import { Hono } from "hono";
import { cache } from "hono/cache";

const app = new Hono();
app.get("*", cache({ cacheName: "hono", cacheControl: "max-age=3600" }));
app.get("*", (context) => {
  const url = new URL(context.req.url);
  return fetch(context.env.ORIGIN + url.pathname + url.search);
});
export default app;
