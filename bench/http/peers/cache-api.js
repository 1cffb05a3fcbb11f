// A Worker on the Cache API as one writes it by hand.
export default {
  async fetch(request, env, context) {
    const stored = await caches.default.match(request);
    if (stored) return stored;
    const url = new URL(request.url);
    const response = await fetch(env.ORIGIN + url.pathname + url.search, { headers: request.headers });
    context.waitUntil(caches.default.put(request, response.clone()));
    return response;
  },
};
