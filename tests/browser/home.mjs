// Opens the home page in headless Chromium and waits until its tour is through.
//
//   node tests/browser/home.mjs URL SCREENSHOT
//
// Prints what the page shows, as one line of JSON.

import { existsSync } from "node:fs";

import { chromium } from "playwright-core";

const [url, screenshot] = process.argv.slice(2);
const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) {
  console.error("no Chromium: apt-get install chromium");
  process.exit(1);
}
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(url);
  await page.waitForFunction(() => /^Done|answered|fetch/i.test(document.getElementById("state").textContent), undefined, { timeout: 60_000 });
  await page.screenshot({ path: screenshot, fullPage: true });
  const rows = await page.$$eval("#steps tr", (lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent)));
  console.log(JSON.stringify({ state: await page.textContent("#state"), rows, receipt: await page.textContent("#receipt"), problems }));
} finally {
  await browser.close();
}
