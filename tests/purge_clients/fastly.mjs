// The npm package fastly, pointed at a cache instead of Fastly: a call on each line of standard input, what came of it on
// each line of output. Its argument is where the cache is; the token stands in FASTLY_API_TOKEN.
import { createInterface } from "node:readline";
import Fastly from "fastly";

const purges = new Fastly.PurgeApi();
// It knows one server only, so each request is turned on its way out.
Fastly.ApiClient.instance.plugins = [
  (request) => {
    request.url = request.url.replace("https://api.fastly.com", process.argv[2]);
  },
];

for await (const line of createInterface({ input: process.stdin })) {
  const { call, options } = JSON.parse(line);
  const said = await purges[call](options).then(
    (done) => ({ done }),
    ({ status, response, message }) => ({ failed: { status, body: response?.body, message } }),
  );
  console.log(JSON.stringify(said));
}
