// node check.mjs REPORT.html [SCREENSHOT_FOLDER]: opens a report in a browser and tries what a reader does. Exits 1 when something is wrong.
// CHROMIUM names the browser, LIMIT_MS how long opening may take, SLOWDOWN how many times slower the processor is made for that,
// ONLY_TIME=1 ends after that measurement, SMALL=1 takes a page that is no report, CASE is the id of the case on the screenshots.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const [file, folder] = process.argv.slice(2);
if (!file) { console.error("usage: node check.mjs REPORT.html [SCREENSHOT_FOLDER]"); process.exit(2); }
const address = pathToFileURL(resolve(file)).href;
const limit = Number(process.env.LIMIT_MS || 2000);
const slowdown = Number(process.env.SLOWDOWN || 1);
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// Line ends, tabs, variation selectors and the joiner inside an emoji are left as they are.
const HIDDEN = "(?![\\n\\t\\ufe00-\\ufe0f\\u200d])[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Noncharacter_Code_Point}\\p{Default_Ignorable_Code_Point}]";

const wrong = [];
const expect = (holds, text) => { if (!holds) { wrong.push(text); console.log(`✗ ${text}`); } };
const told = (text) => console.log(`  ${text}`);

function browserPath() {
  const name = process.env.CHROMIUM || "chromium";
  return name.includes("/") ? name : execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
}

function checkWords() {
  if (!existsSync(join(here, "words.json"))) return;
  const words = JSON.parse(readFileSync(join(here, "words.json"), "utf8"));
  const script = readFileSync(join(here, "load.js"), "utf8") + readFileSync(join(here, "script.js"), "utf8"), page = readFileSync(join(here, "page.html"), "utf8");
  const used = new Set([...script.matchAll(/\bt\("([a-z_0-9]+)"/g), ...page.matchAll(/data-t="([a-z_0-9]+)"/g)].map((m) => m[1]).concat("language_name"));
  const [en, zh] = [Object.keys(words.en), Object.keys(words.zh)];
  expect(JSON.stringify(en) === JSON.stringify(zh), "both languages have the same keys");
  for (const key of used) expect(en.includes(key), `unknown word ${key}`);
  for (const key of en) expect(used.has(key), `word ${key} is never used`);
  const names = (text) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join();
  for (const key of en) expect(names(words.en[key]) === names(words.zh[key]), `word ${key} has other values in Chinese`);
  expect(!/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage|sessionStorage|fetch\(|XMLHttp|import\(/.test(script), "the script uses no forbidden function");
  for (const [name, text, most] of [["the scripts", script, 800], ["style.css", readFileSync(join(here, "style.css"), "utf8"), 250]]) {
    expect(text.split("\n").length - 1 <= most, `${name} has at most ${most} lines`);
  }
}

const browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function open(hash = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) expect(false, `console: ${m.text().slice(0, 300)}`); });
  page.on("pageerror", (e) => expect(false, `script error: ${e.message}`));
  page.on("dialog", (d) => { expect(false, "a dialog appeared"); d.dismiss(); });
  page.on("request", (r) => expect(/^(file|data|blob):/.test(r.url()), `a request left the page: ${r.url().slice(0, 100)}`));
  if (options.slowdown > 1) await (await context.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: options.slowdown });
  await page.goto(address + hash, { waitUntil: "load" });
  return page;
}

async function axe(page, where) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const v of found.violations) {
    const line = `axe ${where}: ${v.impact} ${v.id}: ${v.nodes.length} × ${v.nodes[0].html.slice(0, 120)} ${(v.nodes[0].any[0]?.message || "").slice(0, 160)}`;
    if (["serious", "critical"].includes(v.impact)) expect(false, line); else told(line);
  }
}

async function shot(page, name, full = false) {
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: full });
}

// What the reader's eye must not meet, and what must not be in the document.
async function harmless(page, where) {
  const found = await page.evaluate((hidden) => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const pattern = new RegExp(hidden, "u");
    let bad = "";
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.parentElement.tagName !== "SCRIPT" && pattern.test(node.data)) bad = `${node.parentElement.className}: ${JSON.stringify(node.data.slice(0, 80))}`;
    }
    const odd = [...document.querySelectorAll("body *")].filter((n) => [...n.attributes].some((a) => a.name.startsWith("on") || /^\s*javascript:/i.test(a.value)));
    const foreign = [...document.querySelectorAll("iframe, object, embed, video, audio, base, form, svg script, link:not([rel=icon])")];
    const images = [...document.querySelectorAll("img")].filter((i) => !/^data:image\/(png|jpeg|gif|webp);/.test(i.getAttribute("src")));
    return { bad, odd: odd.length, foreign: foreign.length, images: images.length, scripts: document.scripts.length, title: pattern.test(document.title) };
  }, HIDDEN);
  expect(!found.bad && !found.title, `hidden characters are shown as escapes ${where}: ${found.bad}`);
  expect(found.odd + found.foreign + found.images === 0 && found.scripts === 3, `no foreign elements ${where}: ${JSON.stringify(found)}`);
}

async function openingTime(total) {
  const page = await open("", { slowdown });
  const ms = await page.evaluate(() => performance.getEntriesByName("list-visible")[0]?.startTime);
  const painted = await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now())))));
  told(`${total} cases: list there after ${ms?.toFixed(0)} ms, painted by ${painted.toFixed(0)} ms (processor slowed ${slowdown} ×)`);
  expect(ms <= limit, `the list is there within ${limit} ms`);
  await page.context().close();
}

// How far the page, or a part of it that cuts off what does not fit, is too narrow for what is in it.
const tooWide = (page) => page.evaluate(() => {
  const parts = [document.documentElement, ...document.querySelectorAll(".chunk, .case, .body, .inner, .label, .panel")];
  return parts.reduce((most, node) => Math.max(most, node.scrollWidth - node.clientWidth - (node.tagName === "HTML" ? 0 : 1)), 0);
});

async function everyCase(page, total) {
  await page.waitForFunction((n) => document.querySelectorAll(".case").length === n, total, { timeout: 60000 });
  const sample = await page.evaluate((most) => {
    const all = [...document.querySelectorAll(".case")].slice(0, most);
    for (const node of all) node.open = true;
    return all.length;
  }, 300);
  await page.waitForTimeout(500);
  for (let depth = 0; depth < 4; depth++) {
    await page.evaluate(() => { for (const node of document.querySelectorAll(".fold:not([open])")) node.open = true; });
    await page.waitForTimeout(300);
  }
  expect(await page.evaluate(() => document.querySelectorAll(".case[open] > .body").length) === sample, "every opened case shows its evidence");
  await harmless(page, "with everything open");
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(300);
  const wide = await tooWide(page);
  expect(wide <= 0, `with everything open on a phone nothing is wider than the window (${wide} px)`);
}

async function keyboard(page, total) {
  await page.keyboard.press("/");
  expect(await page.evaluate(() => document.activeElement.id === "search"), "/ focuses the search");
  await page.keyboard.press("Tab");
  const after = await page.evaluate(() => document.activeElement.tagName);
  expect(after === "SELECT" || after === "SUMMARY", "Tab goes on from the search");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("j");
  const first = await page.evaluate(() => [...document.querySelectorAll(".case")].indexOf(document.activeElement.closest(".case")));
  expect(first === 0, "j goes to the first case");
  if (total > 1) {
    await page.keyboard.press("j");
    expect(await page.evaluate(() => [...document.querySelectorAll(".case")].indexOf(document.activeElement.closest(".case"))) === 1, "j goes to the next case");
    await page.keyboard.press("k");
  }
  for (const key of ["Enter", "Space"]) {
    const before = await page.evaluate(() => document.activeElement.parentElement.open);
    await page.keyboard.press(key);
    expect(await page.evaluate(() => document.activeElement.parentElement.open) !== before, `${key} opens or closes a case`);
  }
  expect(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none"), "the focus is visible");
}

// Reads CSV back into rows of cells.
function cells(text) {
  const rows = [[]];
  for (const m of text.replace(/^\ufeff/, "").matchAll(/"((?:[^"]|"")*)"(,|\r\n)/g)) {
    rows.at(-1).push(m[1].replaceAll('""', '"'));
    if (m[2] !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 0);
}

async function csv(page, button, count) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.evaluate((id) => document.getElementById(id).click(), button)]);
  const rows = cells(readFileSync(await download.path(), "utf8"));
  expect(count === undefined || rows.length === count + 1, `${button}: ${rows.length} rows`);
  expect(rows.every((row) => row.length === rows[0].length), `${button}: every row has the same number of cells`);
  expect(rows.flat().every((value) => !/^[=+\-@\t\r]/.test(value)), `${button}: no cell starts like a formula`);
}

async function searching(page, id, total) {
  const shown = () => page.evaluate(() => document.getElementById("shown").textContent.match(/\d+/g).map(Number));
  await page.fill("#search", id);
  await page.waitForTimeout(400);
  const [some] = await shown();
  expect(some >= 1 && some <= total, `searching ${id} finds it`);
  await page.fill("#search", "no such text anywhere 12345");
  await page.waitForTimeout(400);
  expect((await shown())[0] === 0, "a search for nothing finds nothing");
  await page.click("#list button");
  expect((await shown())[0] === total, "all cases can be shown again");
  await page.click("#verdicts button");
  const want = Number((await page.textContent("#verdicts button")).match(/\d+/)[0]);
  expect((await shown())[0] === want, "a verdict button filters");
  await page.click("#verdicts button");
}

async function deepLink(id) {
  const page = await open(`#case=${encodeURIComponent(id)}`);
  await page.waitForTimeout(600);
  const state = await page.evaluate(() => {
    const node = document.querySelector(".case[open]");
    const box = node?.getBoundingClientRect();
    return { id: node?.querySelector(".id").textContent, inView: box && box.top >= -5 && box.top < innerHeight, body: !!node?.querySelector(".body") };
  });
  expect(state.body && state.inView, `the link to ${id.slice(0, 60)} opens and shows it: ${JSON.stringify(state).slice(0, 200)}`);
  await axe(page, "a case open");
  await shot(page, "case");
  return page;
}

async function views(bad) {
  const hash = `case=${encodeURIComponent(bad)}`;
  for (const [name, options] of [
    ["light", {}], ["dark", { colorScheme: "dark" }], ["chinese", { locale: "zh-CN" }],
    ["phone", { viewport: { width: 360, height: 740 }, hasTouch: true }], ["phone-dark-chinese", { viewport: { width: 360, height: 740 }, colorScheme: "dark", locale: "zh-CN" }],
  ]) {
    for (const part of ["", "-case", "-figures"]) {
      const page = await open(part === "-case" ? `#${hash}` : "", options);
      await page.waitForTimeout(400);
      if (part === "-figures") await page.evaluate(() => { document.getElementById("figures").open = true; document.getElementById("figures").scrollIntoView(); });
      const wide = await tooWide(page);
      expect(wide <= 0, `${name}${part}: nothing is wider than the window (${wide} px)`);
      if (part === "-figures") await page.waitForTimeout(100);
      await axe(page, name + part);
      await shot(page, name + part);
      await page.context().close();
    }
  }
}

async function tools() {
  const page = await open();
  await page.click("#language");
  expect(await page.evaluate(() => document.documentElement.lang) === "zh-CN", "the language can be changed");
  const before = await page.evaluate(() => document.documentElement.dataset.theme);
  await page.click("#theme");
  expect(await page.evaluate(() => document.documentElement.dataset.theme) !== before, "the theme can be changed");
  expect(/lang=zh/.test(page.url()) && /theme=/.test(page.url()), "both stand in the address");
  await page.reload();
  expect(await page.evaluate(() => document.documentElement.lang) === "zh-CN", "the language is kept on reload");
  await page.context().close();
}

async function load(one) {
  const page = await deepLink(one.id);
  const charts = await page.locator(".case[open] svg.chart").count();
  expect(charts >= 4 + (one.load.levels.length > 1 ? 3 : 0), `the load has its curves: ${charts}`);
  expect(await page.locator(".case[open] svg.chart").evaluateAll((all) => all.every((c) => /from .+ to .+/.test(c.getAttribute("aria-label")))), "each chart says what it shows");
  await page.locator(".case[open] svg.chart").first().focus();
  await page.keyboard.press("ArrowRight");
  const first = await page.locator(".case[open] .readout").first().innerText();
  await page.keyboard.press("ArrowRight");
  const second = await page.locator(".case[open] .readout").first().innerText();
  expect(first && second && first !== second, `arrow keys move the read-out: ${first} / ${second}`);
  const rows = await page.locator(".case[open] .load-table").first().locator("tbody tr").count();
  expect(rows === one.load.levels.length, "each level has its row");
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".case[open] .load-table button").first().click()]);
  expect(/levels\.csv$/.test(file.suggestedFilename()), "the levels come as CSV");
  await axe(page, "a load");
  await page.context().close();
}

async function withoutScript() {
  const page = await open("", { javaScriptEnabled: false });
  expect(/judged/.test(await page.locator("noscript").first().innerText().catch(() => page.textContent("noscript"))), "the counts are told without script");
  await shot(page, "noscript");
  await page.context().close();
}

// Pages beside the report: they open, in both languages and themes, on a desk and on a phone.
async function small() {
  for (const [where, options] of [["on a desk", {}], ["on a phone", { viewport: { width: 390, height: 800 } }]]) {
    const page = await open("", options);
    const title = await page.locator("h1").innerText();
    await page.locator("details > summary").evaluateAll((all) => all.slice(0, 20).forEach((s) => s.click()));
    for (const turn of ["first", "second"]) {
      await axe(page, `${where}, ${turn} language and theme`);
      await harmless(page, where);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide <= 0, `nothing sticks out ${where}: ${wide} pixels`);
      await shot(page, `${turn} ${where}`, true);
      await page.click("#language");
      await page.click("#theme");
    }
    expect(await page.locator("h1").innerText() === title, "two turns of the language come back to the first");
    await page.context().close();
  }
}

try {
  if (process.env.SMALL) {
    await small();
    console.log(wrong.length === 0 ? "all fine" : `${wrong.length} wrong`);
    await browser.close();
    process.exit(wrong.length === 0 ? 0 : 1);
  }
  checkWords();
  const page = await open();
  const record = await page.evaluate(() => JSON.parse(document.getElementById("record").textContent));
  const total = record.cases.length;
  await openingTime(total);
  if (process.env.ONLY_TIME) { await browser.close(); process.exit(wrong.length === 0 ? 0 : 1); };
  await harmless(page, "at first");
  if (total > 0) {
    await keyboard(page, total);
    await searching(page, record.cases.at(-1).id.split("::")[0], total);
    await csv(page, "cases-csv", total);
    if (await page.evaluate(() => !document.getElementById("figures").hidden)) await csv(page, "latency-csv");
    await everyCase(page, total);
    const linked = await deepLink(record.cases.at(-1).id);
    if (await linked.evaluate(() => !!document.querySelector(".case[open] .copy"))) {
      await linked.click(".case[open] .copy");
      await linked.waitForTimeout(100);
      expect(await linked.evaluate(() => /Copied/.test(document.querySelector(".case[open] .copy").textContent)), "the curl line can be copied");
    }
    await linked.context().close();
    await tools();
    const loaded = record.cases.find((c) => c.load?.ticks?.length > 3);
    if (loaded) await load(loaded);
    const bad = record.cases.find((c) => c.verdict === "fail" && c.attempts?.length) || record.cases[0];
    await views(process.env.CASE || bad.id);
  }
  await withoutScript();
} finally {
  await browser.close();
}
console.log(wrong.length === 0 ? "all fine" : `${wrong.length} wrong`);
process.exit(wrong.length === 0 ? 0 : 1);
