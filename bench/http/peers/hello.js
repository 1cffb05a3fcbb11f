// A Worker that only answers: the limit.
const body = "a".repeat(1024);
export default {
  fetch: () => new Response(body, { headers: { "cache-control": "max-age=3600" } }),
};
