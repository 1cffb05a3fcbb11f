// The npm package cloudflare, pointed at a cache instead of Cloudflare: a call on each line of standard input, what came
// of it on each line of output. Its argument is where the cache is; the token stands in CLOUDFLARE_API_TOKEN.
import { createInterface } from "node:readline";
import Cloudflare from "cloudflare";

const client = new Cloudflare({ baseURL: `${process.argv[2]}/client/v4`, maxRetries: 0 });

for await (const line of createInterface({ input: process.stdin })) {
  const { call, options } = JSON.parse(line);
  const said = await client.cache[call](options).then(
    (done) => ({ done }),
    ({ name, status, errors, message }) => ({ failed: { name, status, errors, message } }),
  );
  console.log(JSON.stringify(said));
}
