// A tiny service in another language, for `terrace shield` to stand before: one quote a path, made anew each time.
//
//   node origin/examples/quotes.mjs [PORT]

import { createServer } from "node:http";

const port = Number(process.argv[2] ?? 3001);

createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.setHeader("Cache-Control", "max-age=60");
  response.setHeader("Surrogate-Key", "quotes");
  response.end(`Every path is a quote, and ${request.url} was made at ${new Date().toISOString()}.\n`);
}).listen(port, "127.0.0.1", () => console.log(`quotes on http://127.0.0.1:${port}`));
