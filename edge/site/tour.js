// The tour on the home page: the same five steps that the command line prints, with what the caches said to each.

const PRODUCTS = 5_000;
const $ = (id) => document.getElementById(id);

/** Sends one request and reports what came back. The policy keeps these pages out of the browser's own cache. */
async function ask(method, path, body) {
  const began = performance.now();
  const response = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const milliseconds = performance.now() - began;
  if (!response.ok) {
    throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 200)}`);
  }
  return { data: JSON.parse(text), milliseconds, status: response.headers.get("cache-status") ?? "none" };
}

const price = (cents) => (cents === undefined ? "" : `$${(cents / 100).toFixed(2)}`);

function row(step, request, answer) {
  const line = document.createElement("tr");
  const hit = /(^|,)\s*Terrace\s*;\s*hit/i.test(answer.status);
  line.className = hit ? "hit" : "miss";
  const cells = [step, request, price(answer.data.price_cents), `${answer.milliseconds.toFixed(1)} ms`, answer.status];
  cells.forEach((text, place) => {
    const cell = document.createElement("td");
    const holder = place === 1 || place === 4 ? document.createElement("code") : cell;
    holder.textContent = text;
    if (holder !== cell) cell.append(holder);
    line.append(cell);
  });
  $("steps").append(line);
  light(hit ? ["browser", "edge"] : ["browser", "edge", "memory", "redis", "source"]);
}

/** Lights the tiers that a request passed; the last one answered. */
function light(tiers) {
  for (const box of document.querySelectorAll("[data-tier]")) {
    box.classList.toggle("reached", tiers.includes(box.dataset.tier));
    box.classList.toggle("answered", tiers.at(-1) === box.dataset.tier);
  }
}

async function tour() {
  const product = 1 + Math.floor(Math.random() * PRODUCTS);
  const path = `/api/products/${product}`;
  $("product").textContent = product;
  $("steps").replaceChildren();
  $("receipt").textContent = "None yet.";

  row("1. first request", `GET ${path}`, await ask("GET", path));
  const second = await ask("GET", path);
  row("2. again", `GET ${path}`, second);

  const cents = second.data.price_cents + 100;
  const changed = await ask("POST", `${path}/price`, { cents });
  row("3. new price, purged by surrogate key", `POST ${path}/price`, { ...changed, data: { price_cents: cents } });
  $("receipt").textContent = JSON.stringify(changed.data.receipt, null, 2);

  const fourth = await ask("GET", path);
  row("4. after the purge", `GET ${path}`, fourth);
  row("5. again", `GET ${path}`, await ask("GET", path));
  return fourth.data.price_cents === cents
    ? "Done: the new price is everywhere."
    : `The edge still answered ${price(fourth.data.price_cents)}.`;
}

async function run() {
  $("run").disabled = true;
  $("state").textContent = "Running…";
  try {
    $("state").textContent = await tour();
  } catch (error) {
    $("state").textContent = error.message;
  }
  $("run").disabled = false;
}

$("run").addEventListener("click", run);
run();
