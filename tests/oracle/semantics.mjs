// What the npm package http-cache-semantics says: a case on each line of standard input, its opinion on each line of output.
// No clock is read: each case says when it is.
import { createInterface } from 'node:readline';
import CachePolicy from 'http-cache-semantics';

class Policy extends CachePolicy {
  static moment = 0;

  now() {
    return Policy.moment * 1000;
  }
}

function opinion({ shared, request, response, later, received_at, elapsed }) {
  Policy.moment = received_at;
  const policy = new Policy(request, response, { shared });
  const storable = policy.storable();
  Policy.moment = received_at + elapsed;
  const { response: reused, revalidation } = policy.evaluateRequest(later);
  return {
    storable,
    age: policy.age(),
    lifetime: policy.maxAge(),
    useful_for_ms: policy.timeToLive(),
    satisfies: policy.satisfiesWithoutRevalidation(later),
    reused: reused !== undefined,
    validation: revalidation?.headers ?? null,
    fields: policy.responseHeaders(),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(opinion(JSON.parse(line)))}\n`);
}
