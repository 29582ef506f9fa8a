"use strict";
// Shows the record that stands in #record. Text of the record reaches the page only as text nodes and plain attributes.
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const words = read("words");
  const record = read("record");
  const run = record.run || {};
  const cases = record.cases || [];

  // ---- state, kept in the address only ----
  let address = new URLSearchParams();
  const readAddress = () => { address = new URLSearchParams(location.hash.slice(1)); };
  function remember(key, value) {
    if (value) address.set(key, value); else address.delete(key);
    try { history.replaceState(null, "", `#${address}`); } catch { /* a frame may forbid it; the page works without */ }
  }
  const linkTo = (id) => `#${new URLSearchParams({ ...Object.fromEntries(address), case: id })}`;
  const told = document.documentElement.dataset.lang;
  const language = () => (Object.hasOwn(words, address.get("lang")) ? address.get("lang") : Object.hasOwn(words, told) ? told : (navigator.language || "").startsWith("zh") ? "zh" : "en");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => (["light", "dark"].includes(address.get("theme")) ? address.get("theme") : dark.matches ? "dark" : "light");
  const t = (key, values = {}) => words[language()][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

  // ---- text and elements ----
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]/gu;
  // True for what a reader needs as it is: line ends, tabs, and the joiners inside an emoji.
  function mayStay(c, at, text) {
    if (c === "\n" || c === "\t" || (c >= "\ufe00" && c <= "\ufe0f")) return true;
    const before = [...text.slice(Math.max(0, at - 2), at)].pop() || "";
    return c === "\u200d" && /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u.test(before) && /^\p{Extended_Pictographic}/u.test(text.slice(at + 1, at + 3));
  }
  const escaped = (c) => (c === "\r" ? "\\r" : `\\u{${c.codePointAt(0).toString(16)}}`);
  const replaced = (text, how) => String(text).replace(HIDDEN, (c, at, whole) => (mayStay(c, at, whole) ? c : how(c)));
  const visible = (text) => replaced(text, escaped);
  // For a shell: what is hidden stands inside the JSON body, where this escape means the same.
  const forShell = (text) => replaced(text, (c) => c.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""));
  // Appends a text, its hidden characters as marked escapes.
  function say(parent, text) {
    let from = 0;
    for (const hit of text.matchAll(HIDDEN)) {
      if (mayStay(hit[0], hit.index, text)) continue;
      parent.append(text.slice(from, hit.index), el("span", { class: "esc" }, escaped(hit[0])));
      from = hit.index + hit[0].length;
    }
    parent.append(from ? text.slice(from) : text);
  }

  function el(tag, props, ...children) {
    const node = ["svg", "rect", "line", "polyline", "text"].includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value || value === 0) node.setAttribute(key, value === true ? "" : visible(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child instanceof Node) node.append(child);
      else if (child || child === 0) say(node, String(child));
    }
    return node;
  }
  const button = (text, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, text);
  const note = (...parts) => el("p", { class: "note" }, parts);
  const pretty = (value) => JSON.stringify(value, null, 2);
  const given = (value) => value !== undefined && value !== null && value !== "";
  function duration(ms) {
    if (!Number.isFinite(ms)) return "";
    if (ms >= 100000) return `${Math.floor(ms / 60000)} min ${Math.floor(ms / 1000) % 60} s`;
    return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  }
  // A list of names and values, one below the other or running on; what is not there is left out.
  function facts(pairs, running = false) {
    const rows = pairs.filter(([, value]) => given(value) && value !== false).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    return rows.length > 0 && el("dl", { class: running ? "running" : "facts" }, running ? rows.map((row) => el("div", {}, row)) : rows);
  }
  // A part that is made when it is opened for the first time.
  function fold(title, make, open = false) {
    const inner = el("div", { class: "inner" });
    const fill = () => { if (!inner.firstChild) inner.append(...[make()].flat(Infinity).filter(Boolean)); };
    if (open) fill();
    return el("details", { class: "fold", open, ontoggle: fill }, el("summary", {}, title), inner);
  }
  // Text between backticks is set as code.
  const prose = (text) => String(text).split(/(`[^`]+`)/).map((part) => (/^`[^`]+`$/.test(part) ? el("code", {}, part.slice(1, -1)) : part));

  // ---- verdicts ----
  const VERDICTS = {
    fail: { sign: "✗", word: () => t("fail"), told: (n, total) => t("overall_fail", { n, total }) },
    error: { sign: "!", word: () => t("error"), told: (n, total) => t("overall_error", { n, total }) },
    inconclusive: { sign: "?", word: () => t("inconclusive"), told: (n, total) => t("overall_inconclusive", { n, total }) },
    flaky: { sign: "≈", word: () => t("flaky"), told: (n, total) => t("overall_flaky", { n, total }) },
    pass: { sign: "✓", word: () => t("pass"), told: (n, total) => t("overall_pass", { n, total }) },
    skipped: { sign: "–", word: () => t("skipped"), told: () => t("overall_nothing") },
  };
  const ORDER = Object.keys(VERDICTS);
  const OUTCOMES = { met: "pass", missed: "fail", inconclusive: "inconclusive", unjudgeable: "error" };
  const outcomeWord = { met: () => t("met"), missed: () => t("missed"), inconclusive: () => t("inconclusive"), unjudgeable: () => t("unjudgeable") };
  const known = (verdict) => (Object.hasOwn(VERDICTS, verdict) ? verdict : "error");
  const kindOf = (c) => (given(c.skipped) ? "skipped" : known(c.verdict));
  const badge = (kind, text) => el("span", { class: `badge ${kind}` }, el("span", { "aria-hidden": "true" }, VERDICTS[kind].sign), text || VERDICTS[kind].word());
  const attemptKind = ({ trials: some = [], group = [] }) =>
    ORDER.find((kind) => some.some((x) => known(x.verdict) === kind) || group.some((f) => OUTCOMES[f.outcome] === kind)) || "error";

  // ---- figures over the whole run ----
  function exchangesOf(c) {
    const all = [];
    for (const a of c.attempts || []) for (const x of a.trials || []) for (const turn of x.turns || []) if (turn.exchange) all.push(turn.exchange);
    return all;
  }
  const METRICS = { ttft: () => t("ttft"), ttfo: () => t("ttfo"), tpot: () => t("tpot"), e2e: () => t("e2e") };
  const totals = summarise();
  function summarise() {
    const sum = { counts: {}, judged: 0, requests: 0, failed: 0, again: 0, failures: {}, prompt: 0, completion: 0, values: {} };
    for (const c of cases) {
      const kind = kindOf(c);
      sum.counts[kind] = (sum.counts[kind] || 0) + 1;
      if (kind === "skipped") continue;
      sum.judged += 1;
      for (const { usage, timing, failure, status, transport_retries: again } of exchangesOf(c)) {
        sum.requests += 1;
        sum.again += (again || []).length;
        sum.prompt += usage?.prompt_tokens || 0;
        sum.completion += usage?.completion_tokens || 0;
        if (failure) {
          const name = failure.kind === "http" ? `http ${status}` : failure.kind;
          sum.failed += 1;
          sum.failures[name] = (sum.failures[name] || 0) + 1;
        }
        for (const metric in failure ? {} : METRICS) {
          const value = timing?.[`${metric}_ms`];
          if (Number.isFinite(value)) (sum.values[metric] ||= []).push(value);
        }
      }
    }
    return sum;
  }
  function figures(metric, values) {
    const v = Float64Array.from(values).sort();
    const at = (q) => v[Math.max(0, Math.ceil(q * v.length) - 1)];
    return { metric, v, n: v.length, mean: v.reduce((a, b) => a + b, 0) / v.length, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), min: v[0], max: v[v.length - 1] };
  }
  const latency = Object.keys(METRICS).filter((metric) => totals.values[metric]).map((metric) => figures(metric, totals.values[metric]));

  // ---- head of the page ----
  const target = ([name, x]) => el("div", {}, `${name}: ${x.address}`, given(x.model) && ` · ${x.model}`, ` · ${t("at_once", { n: x.concurrency })}`);
  const banner = (...parts) => el("p", { class: "banner" }, parts);
  function banners() {
    const crash = cases.find((c) => (c.why || "").startsWith("service crashed"));
    return [crash && banner(t("crashed", { id: crash.id })), !record.end && banner(t("cut_off")), record.end?.stopped && banner(t("stopped", { why: record.end.stopped }))];
  }

  function drawHead() {
    const kind = totals.judged > 0 ? ORDER.find((k) => totals.counts[k]) : "skipped";
    byId("overall").replaceChildren(el("div", {},
      el("h1", { id: "verdict" }, badge(kind), el("span", {}, VERDICTS[kind].told(totals.counts[kind] || 0, totals.judged))),
      banners(),
      facts([
        [t("run"), el("span", { class: "mono" }, run.run_id)], [t("started"), el("time", { datetime: run.started_at }, run.started_at)],
        [t("took"), duration(record.end?.took_ms)], [t("seed"), run.seed], [t("filtered_out"), record.end?.filtered_out || ""],
        ...Object.entries(run.labels || {}), ...Object.entries(run.environment || {}),
      ], true),
      facts([
        [t("targets"), Object.entries(run.targets || {}).map(target)],
        [t("requests"), totals.requests > 0 && t("requests_line", { n: totals.requests, failed: totals.failed, again: totals.again })],
        [t("failures"), Object.entries(totals.failures).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} × ${name}`).join(", ")],
        [t("tokens"), totals.prompt + totals.completion > 0 && t("tokens_line", { prompt: totals.prompt, completion: totals.completion })],
      ]),
    ));
    byId("version").textContent = visible(t("version", { version: run.version, format: run.format }));
    document.title = visible(`${VERDICTS[kind].sign} ${VERDICTS[kind].word()} · ${run.run_id || ""} · roadworthy`);
  }

  // ---- latency ----
  // Values that span more than a factor of thirty are drawn on a logarithmic axis.
  function histogram(row) {
    const bins = 30, width = 300, height = 80, counts = new Array(bins).fill(0);
    const log = row.min > 0 && row.max / row.min > 30;
    const scale = log ? Math.log : (x) => x;
    const low = scale(row.min), wide = scale(row.max) - low || 1;
    const place = (x) => (scale(x) - low) / wide;
    for (const x of row.v) counts[Math.min(bins - 1, Math.floor(place(x) * bins))] += 1;
    const top = counts.reduce((a, b) => Math.max(a, b), 1);
    const label = t("histogram", { metric: row.metric, n: row.n, min: duration(row.min), max: duration(row.max), p50: duration(row.p50) });
    const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    const bar = (i, tall) => el("rect", { class: "bin", x: (i * width) / bins, y: height - tall, width: width / bins - 0.8, height: tall });
    const line = (x, style) => el("line", { class: style, x1: x * width, x2: x * width, y1: 0, y2: height });
    counts.forEach((n, i) => n && svg.append(bar(i, Math.max(1.5, (n / top) * (height - 6)))));
    svg.append(line(place(row.p50), "line"), line(place(row.p95), "line dashed"));
    return el("figure", {}, el("figcaption", {}, METRICS[row.metric](), el("span", {}, log ? ` (${t("log_scale")})` : "")), svg,
      el("div", { class: "axis" }, el("span", {}, duration(row.min)), el("span", {}, duration(row.max))));
  }
  const COLUMNS = ["mean", "p50", "p90", "p95", "p99", "max"];
  function drawLatency() {
    const panel = byId("figures");
    panel.hidden = latency.length === 0;
    if (panel.hidden) return;
    const e2e = latency.find((row) => row.metric === "e2e") || latency[0];
    const head = [t("metric"), "n", t("mean"), "p50", "p90", "p95", "p99", t("max")].map((text) => el("th", { scope: "col" }, text));
    const lines = latency.map((row) => el("tr", {}, el("th", { scope: "row" }, row.metric), el("td", {}, row.n), COLUMNS.map((key) => el("td", {}, duration(row[key])))));
    panel.replaceChildren(
      el("summary", {}, el("h2", {}, t("latency")), el("span", { class: "note" }, t("latency_glance", { p50: duration(e2e.p50), p95: duration(e2e.p95), n: e2e.n }))),
      el("div", { class: "charts" }, latency.map(histogram)),
      note(t("latency_note"), " ", e2e.n < 100 && t("latency_few")),
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("latency") }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, lines))),
      el("p", {}, button(t("csv_latency"), latencyCsv, { id: "latency-csv" })),
    );
  }

  // ---- CSV ----
  // Spreadsheets take a cell that starts like this for a formula.
  const cell = (value) => {
    const text = String(value ?? "");
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };

  function download(name, rows) {
    const text = `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
    const link = el("a", { download: name });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  const fileName = (what) => `${String(run.run_id || "run").replace(/[^\w.-]/g, "_")}-${what}.csv`;
  const casesCsv = () => download(fileName("cases"), [
    ["id", "verdict", "scenario", "name", "layer", "tags", "target", "attempts", "trials", "took_ms", "why", "file", "line"],
    ...shown.map((c) => [c.id, kindOf(c), c.scenario, c.name, c.layer, (c.tags || []).join(" "), c.target, (c.attempts || []).length,
      (c.attempts || []).reduce((n, a) => n + (a.trials || []).length, 0), c.took_ms, c.skipped ?? c.why, c.file, c.line]),
  ]);
  const latencyRow = (row) => [row.metric, row.n, ...COLUMNS.map((key) => row[key].toFixed(3))];
  const latencyCsv = () => download(fileName("latency"), [["metric", "n", ...COLUMNS.map((key) => `${key}_ms`)], ...latency.map(latencyRow)]);

  // ---- evidence: texts and what is marked in them ----
  const PAGE = 20000;
  // A text with marked ranges; a long one is shown piece by piece.
  function longText(text, ranges = []) {
    const pre = el("pre", { tabindex: "0" });
    const more = button("", () => grow(PAGE * 10));
    let from = 0;
    const grow = (size) => {
      let to = Math.min(text.length, from + size);
      if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1])) to += 1;
      for (const [start, end] of ranges) {
        if (end <= from || start >= to) continue;
        say(pre, text.slice(from, Math.max(from, start)));
        pre.append(el("mark", {}, text.slice(Math.max(from, start), Math.min(to, end))));
        from = Math.min(to, end);
      }
      say(pre, text.slice(from, to));
      from = to;
      more.hidden = from >= text.length;
      more.textContent = t("more_characters", { n: Math.min(PAGE * 10, text.length - from) });
    };
    grow(PAGE);
    return [pre, text.length > PAGE && more];
  }
  // `diff: same[-expected-]{+came+}` in pieces.
  const diffPieces = (line) => line.replace(/^diff: /, "").split(/(\[-.*?-\]|\{\+.*?\+\})/s).filter(Boolean).map((part) =>
    (/^\[-.*-\]$/s.test(part) ? ["del", part.slice(2, -2)] : /^\{\+.*\+\}$/s.test(part) ? ["ins", part.slice(2, -2)] : ["", part]));
  // Where the inserted pieces of a diff stand in the answer; nothing when the diff does not retell it.
  function diffRanges(line, text) {
    const whole = line.replace(/… \(\d+ characters\)$/, "").replace(/(\[-(?!.*-\])|\{\+(?!.*\+\})).*$/s, "");
    const flat = text.replaceAll("\n", "⏎");
    let at = text.length - text.trimStart().length;
    const ranges = [];
    for (const [tag, piece] of diffPieces(whole)) {
      if (tag === "del") continue;
      if (!flat.startsWith(piece, at)) return [];
      if (tag === "ins") ranges.push([at, at + piece.length]);
      at += piece.length;
    }
    return ranges;
  }
  // Every place of a piece, fifty at most; a masked piece such as `138****78` is found by its ends.
  function places(piece, text) {
    const pattern = piece.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(/(?:\\\*){3,}/g, (stars) => `\\S{${stars.length / 2}}`);
    const ranges = [];
    if (piece) for (const hit of text.matchAll(new RegExp(pattern, "gu"))) if (ranges.push([hit.index, hit.index + hit[0].length]) >= 50) break;
    return ranges;
  }
  const jsonPath = (f) => (f.topic === "schema" ? [f.why, ...(f.evidence || [])].map((line) => /(?:^| at )(\$[^\s:`,]*|\/[^\s:`,]+)/.exec(line)?.[1]).find(Boolean) : undefined);
  function keyRanges(path, text) {
    const key = path.split(/[./[\]]+/).filter((part) => part && !/^[$\d*]+$/.test(part)).pop();
    const hits = key ? places(`"${key}"`, text) : [];
    return hits.length === 1 ? hits : [];
  }

  function rangesOf(f, text) {
    const ranges = [];
    for (const line of f.evidence || []) {
      const quoted = /^(?:at|quoted|no support): "(.*?)"(?: — .*)?$/s.exec(line);
      if (line.startsWith("diff: ")) ranges.push(...diffRanges(line, text));
      else if (quoted) ranges.push(...places(quoted[1], text));
    }
    if (f.why.startsWith("should not hold: ")) for (const [, piece] of f.why.matchAll(/`([^`]+)`/g)) ranges.push(...places(piece, text));
    const path = jsonPath(f);
    if (path) ranges.push(...keyRanges(path, text));
    return ranges;
  }
  // The mismatches of all findings in order, without overlap.
  function mismatches(findings, text) {
    const kept = [];
    const all = findings.filter((f) => f.outcome !== "met").flatMap((f) => rangesOf(f, text));
    for (const [start, end] of all.sort((a, b) => a[0] - b[0])) if (kept.length === 0 || start >= kept.at(-1)[1]) kept.push([start, end]);
    return kept;
  }

  // ---- evidence: findings ----
  function evidenceLine(line) {
    if (!line.startsWith("diff: ")) return el("pre", { tabindex: "0" }, line);
    const parts = diffPieces(line).map(([tag, text]) => (tag === "del" ? el(tag, {}, `[-${text}-]`) : tag ? el(tag, {}, `{+${text}+}`) : text));
    return [el("pre", { tabindex: "0" }, "diff: ", parts), note(t("diff_legend"))];
  }

  function finding(f, file) {
    const kind = OUTCOMES[f.outcome];
    const path = f.outcome !== "met" && jsonPath(f);
    return el("li", { class: `finding ${kind}` },
      badge(kind, outcomeWord[f.outcome]()), " ", el("b", {}, f.expectation), " ", el("span", {}, prose(f.why)), " ",
      el("span", { class: "place" }, f.line > 0 ? `${file}:${f.line}` : "", f.topic ? ` (${f.topic})` : ""),
      path && el("div", {}, t("json_path"), ": ", el("code", {}, path)),
      el("div", { class: "evidence" }, (f.evidence || []).map(evidenceLine)));
  }

  function findingList(list, file) {
    const open = list.filter((f) => f.outcome !== "met"), met = list.filter((f) => f.outcome === "met");
    const items = (some) => el("ul", { class: "findings" }, some.map((f) => finding(f, file)));
    return [open.length > 0 && items(open), met.length > 0 && fold(t("met_findings", { n: met.length }), () => items(met), open.length === 0 && met.length < 4)];
  }

  // ---- evidence: one request ----
  // Only the picture formats that hold nothing but pixels.
  const picture = (address) => (/^data:image\/(png|jpeg|gif|webp);base64,/.test(address || "") ? el("img", { class: "picture", src: address, alt: address.slice(0, 40) }) : longText(String(address)));
  const part = (p) => (p?.type === "text" ? longText(String(p.text)) : p?.type === "image_url" ? picture(p.image_url?.url ?? p.image_url) : longText(pretty(p)));
  const content = (c) => (typeof c === "string" ? longText(c) : Array.isArray(c) ? c.map(part) : given(c) ? longText(pretty(c)) : undefined);
  const message = (m) => el("div", {}, el("span", { class: "role" }, m?.role ?? ""), content(m?.content), m?.tool_calls && longText(pretty(m.tool_calls)));
  function timesOf(x) {
    const time = x.timing || {}, use = x.usage || {};
    return facts([
      [t("status"), x.status], [t("finish_reason"), x.finish_reason],
      [t("ttfb"), duration(time.ttfb_ms)], ["ttft", duration(time.ttft_ms)], ["ttfo", duration(time.ttfo_ms)], ["tpot", duration(time.tpot_ms)], ["e2e", duration(time.e2e_ms)],
      [t("max_gap"), duration(time.max_gap_ms)], [t("tail_lag"), duration(time.tail_lag_ms)], [t("queued"), duration(time.queued_ms)], [t("connect"), duration(time.connect_ms)],
      [t("token_events"), time.token_events], [t("stalls"), time.stalls || ""],
      [t("prompt_tokens"), use.prompt_tokens], [t("completion_tokens"), use.completion_tokens], [t("cached_tokens"), use.cached_tokens], [t("reasoning_tokens"), use.reasoning_tokens],
    ], true);
  }
  function answer(x, findings) {
    if (!x.answer) return !x.failure && !(x.tool_calls || []).length && note(t("answer_empty"));
    const ranges = mismatches(findings, x.answer);
    return [el("h3", {}, ranges.length ? t("answer_marked") : t("answer")), longText(x.answer, ranges)];
  }
  const toolCall = (call) => el("div", {}, el("code", {}, call.name), longText(call.arguments || ""));
  function turn(c, { exchange: x = {}, findings = [], fetched = [] }) {
    const { messages, ...others } = x.request || {};
    const sent = [].concat(messages || []);
    return [
      findingList(findings, c.file),
      x.failure && banner(t("no_answer"), ": ", el("b", {}, x.failure.kind), " — ", x.failure.message),
      x.alive_afterwards === false && banner(t("service_gone")),
      (x.transport_retries || []).map((r) => note(t("sent_again", { waited: duration(r.waited_ms), reason: r.reason }))),
      sent.length > 0 && fold(t("prompt", { n: sent.length }), () => sent.map(message), sent.length <= 6),
      answer(x, findings),
      x.reasoning && [el("h3", {}, t("reasoning")), longText(x.reasoning)],
      (x.tool_calls || []).length > 0 && [el("h3", {}, t("tool_calls")), x.tool_calls.map(toolCall)],
      el("h3", {}, t("times")), timesOf(x),
      fold(t("request_body"), () => [el("p", { class: "mono" }, x.url), longText(pretty(others))]),
      (x.headers || []).length > 0 && fold(t("response_headers"), () => longText(x.headers.map(([name, value]) => `${name}: ${value}`).join("\n"))),
      (x.logprobs || []).length > 0 && fold(t("logprobs", { n: x.logprobs.length }), () => longText(x.logprobs.map((p) => `${JSON.stringify(p.token)}  ${p.logprob}`).join("\n"))),
      fetched.length > 0 && fold(t("fetched"), () => longText(pretty(fetched))),
    ];
  }

  // ---- evidence: attempts and trials ----
  function trial(c, x) {
    const turns = x.turns || [];
    return turns.length === 1 ? turn(c, turns[0]) : turns.map((one, i) => {
      const kind = attemptKind({ group: [{ outcome: "met" }, ...(one.findings || [])] });
      return fold([badge(kind), " ", t("turn", { i: i + 1, n: turns.length })], () => turn(c, one), kind !== "pass" || i === turns.length - 1);
    });
  }
  const trialFacts = (x) => [given(x.seed) && t("seed_is", { seed: x.seed }), given(x.variant) && t("variant_is", { variant: x.variant })].filter(Boolean).join(", ");
  // Several trials are folded, those that did not pass come first, and they come fifty at a time.
  function trials(c, list) {
    if (list.length === 1) return [trialFacts(list[0]) && note(trialFacts(list[0])), trial(c, list[0])];
    const passed = (x) => Number(x.verdict === "pass");
    const sorted = list.map((x, i) => ({ x, i })).sort((a, b) => passed(a.x) - passed(b.x));
    const title = ({ x, i }) => [badge(known(x.verdict)), " ", t("trial", { i: i + 1, n: list.length }), trialFacts(x) && ` · ${trialFacts(x)}`];
    const box = el("div", {});
    const more = button("", () => grow());
    const grow = () => {
      for (const one of sorted.splice(0, 50)) box.append(fold(title(one), () => trial(c, one.x), !box.firstChild && !passed(one.x)));
      more.hidden = sorted.length === 0;
      more.textContent = t("more_trials", { n: Math.min(50, sorted.length) });
    };
    grow();
    return [box, more];
  }
  const attempt = (c, a) => [
    (a.group || []).length > 0 && [el("h3", {}, t("all_trials")), findingList(a.group, c.file)],
    (a.fetched || []).length > 0 && fold(t("fetched"), () => longText(pretty(a.fetched))),
    trials(c, a.trials || []),
  ];

  function attempts(c) {
    const list = c.attempts || [];
    if (list.length === 0) return note(t("no_attempt"));
    if (list.length === 1) return attempt(c, list[0]);
    return list.map((a, i) => fold([badge(attemptKind(a)), " ", t("attempt", { i: i + 1, n: list.length })], () => attempt(c, a), i === list.length - 1));
  }

  // ---- evidence: the line that sends it again ----
  function again(line) {
    const text = forShell(line), shownText = longText(text);
    const copier = button(t("copy"), async () => {
      const done = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => true, () => false);
      if (!done) getSelection().selectAllChildren(shownText[0]);
      copier.textContent = done ? t("copied") : t("selected");
      setTimeout(() => { copier.textContent = t("copy"); }, 2000);
    }, { class: "copy", "aria-live": "polite" });
    return [el("div", { class: "line-with-button" }, el("h3", {}, t("again")), copier), shownText];
  }

  const showLoad = loadView({ el, t, note, facts, fold, button, duration, download, fileName });
  const body = (c) => el("div", { class: "body" },
    given(c.skipped) && el("p", {}, t("skip_reason", { why: c.skipped })),
    facts([
      [t("place"), el("span", { class: "mono" }, `${c.file}:${c.line}`)], [t("scenario"), c.scenario], [t("layer"), c.layer],
      [t("tags"), (c.tags || []).join(", ")], [t("target"), c.target], [t("took"), duration(c.took_ms)],
      [t("fingerprint"), c.fingerprint && el("span", { class: "mono" }, c.fingerprint)],
      [t("link"), el("a", { href: linkTo(c.id) }, t("link_text"))],
    ], true),
    c.rate && el("p", {}, t("pass_rate"), ": ", t("pass_rate_line", c.rate)),
    c.load && showLoad(c.load),
    attempts(c),
    c.reproduce && again(c.reproduce));

  // ---- the list ----
  const list = byId("list");
  const rows = new Map();
  const opened = new Set();
  let shown = [], drawn = 0, round = 0;
  function fill(node, c) {
    if (node.open) opened.add(c); else opened.delete(c);
    if (node.open && !node.querySelector(":scope > .body")) node.append(body(c));
  }

  function rowOf(c) {
    if (rows.has(c)) return rows.get(c);
    const node = el("details", { class: `case ${kindOf(c)}`, ontoggle: () => fill(node, c) },
      el("summary", {}, badge(kindOf(c)),
        el("span", { class: "label" }, el("span", { class: "id" }, c.id), el("span", { class: "why" }, c.skipped ?? c.why)),
        el("span", { class: "aside" }, (c.tags || []).slice(0, 4).map((tag) => el("span", { class: "chip" }, tag)), duration(c.took_ms))));
    if (opened.has(c)) { node.open = true; fill(node, c); }
    rows.set(c, node);
    return node;
  }

  function drawMore(count) {
    const some = shown.slice(drawn, drawn + count);
    const chunk = el("div", { class: "chunk" }, some.map(rowOf));
    chunk.style.setProperty("--rows", some.length);
    list.append(chunk);
    drawn += some.length;
  }
  // The first rows at once, the others when the browser has time.
  const later = window.requestIdleCallback ? (f) => requestIdleCallback(f, { timeout: 500 }) : (f) => setTimeout(f, 10);
  const haystacks = new Map();
  function haystack(c) {
    if (!haystacks.has(c)) {
      const texts = exchangesOf(c).slice(0, 20).flatMap((x) => [x.answer, x.request?.messages ? JSON.stringify(x.request.messages) : ""]);
      haystacks.set(c, [c.id, c.scenario, c.why, c.skipped, c.file, c.target, ...(c.tags || []), ...texts].map((s) => (s || "").slice(0, 20000)).join("\n").toLowerCase());
    }
    return haystacks.get(c);
  }
  const chosen = () => (address.get("verdict") || "").split(",").filter((v) => Object.hasOwn(VERDICTS, v));
  function fits() {
    const verdicts = chosen(), tag = address.get("tag"), layer = address.get("layer"), scenario = address.get("scenario");
    const terms = (address.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    return (c) => (verdicts.length === 0 || verdicts.includes(kindOf(c))) && (!tag || (c.tags || []).includes(tag)) && (!layer || c.layer === layer)
      && (!scenario || c.scenario === scenario) && (terms.length === 0 || terms.every((term) => haystack(c).includes(term)));
  }
  const byVerdict = (a, b) => ORDER.indexOf(kindOf(a)) - ORDER.indexOf(kindOf(b));
  const SORTS = { worst: byVerdict, plan: () => 0, slow: (a, b) => (b.took_ms || 0) - (a.took_ms || 0) };
  function drawList() {
    shown = cases.filter(fits()).sort(SORTS[byId("order").value]);
    drawn = 0;
    const mine = ++round;
    list.replaceChildren();
    byId("shown").textContent = t("shown", { shown: shown.length, total: cases.length });
    if (shown.length === 0) list.append(el("p", {}, t("nothing_fits"), " ", button(t("reset"), showAll)));
    drawMore(60);
    const drawRest = () => {
      if (mine !== round || drawn >= shown.length) return;
      drawMore(100);
      later(drawRest);
    };
    later(drawRest);
  }

  // ---- filters ----
  function showAll() {
    for (const key of ["verdict", "q", "tag", "layer", "scenario"]) remember(key, "");
    drawFilters();
    drawList();
    byId("search").focus();
  }
  function toggleVerdict(kind) {
    const now = chosen();
    remember("verdict", (now.includes(kind) ? now.filter((v) => v !== kind) : [...now, kind]).join(","));
    for (const node of byId("verdicts").children) node.setAttribute("aria-pressed", String(chosen().includes(node.dataset.kind)));
    drawList();
  }

  function choice(id, values, names = (v) => v, all = true) {
    const select = byId(id), now = address.get(id) || "";
    const option = (value, text) => Object.assign(el("option", {}, text), { value });
    select.replaceChildren(...(all ? [option("", t("all"))] : []), ...values.map((v) => option(v, names(v))));
    select.value = values.includes(now) ? now : all ? "" : values[0];
    select.parentElement.hidden = values.length < 2 && !now;
  }

  function drawFilters() {
    for (const id of ["filters", "cases-csv"]) byId(id).hidden = cases.length === 0;
    byId("verdicts").replaceChildren(...ORDER.filter((k) => totals.counts[k]).map((kind) => button(
      `${VERDICTS[kind].sign} ${totals.counts[kind]} ${VERDICTS[kind].word()}`, () => toggleVerdict(kind),
      { class: kind, "data-kind": kind, "aria-pressed": String(chosen().includes(kind)) })));
    const distinct = (values) => [...new Set(values.filter(given))].sort();
    choice("tag", distinct(cases.flatMap((c) => c.tags || [])));
    choice("layer", distinct(cases.map((c) => c.layer)));
    choice("scenario", distinct(cases.map((c) => c.scenario)));
    const orders = { worst: t("order_worst"), plan: t("order_plan"), slow: t("order_slow") };
    choice("order", Object.keys(orders), (v) => orders[v], false);
    byId("search").value = address.get("q") || "";
  }

  // ---- moving about ----
  function reach(index) {
    while (index < shown.length && drawn <= index) drawMore(100);
    return shown[index] && rowOf(shown[index]);
  }
  // Opens the case that the address names, whatever the filters say.
  function follow() {
    const c = cases.find((one) => one.id === address.get("case"));
    if (!c) return;
    if (!shown.includes(c)) showAll();
    const node = reach(shown.indexOf(c));
    node.open = true;
    fill(node, c);
    node.firstChild.focus({ preventScroll: true });
    node.scrollIntoView({ block: "start" });
    // Chunks take their true height only when they come near, so the place is set once more.
    requestAnimationFrame(() => requestAnimationFrame(() => node.scrollIntoView({ block: "start" })));
  }
  function move(step) {
    const here = document.activeElement?.closest?.(".case");
    const at = here ? shown.findIndex((c) => rows.get(c) === here) : step > 0 ? -1 : shown.length;
    reach(at + step)?.firstChild.focus();
  }
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const act = { "/": () => byId("search").focus(), j: () => move(1), k: () => move(-1) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // ---- language, theme, start ----
  function drawTools() {
    const other = language() === "en" ? "zh" : "en";
    Object.assign(byId("language"), { textContent: words[other].language_name, lang: words[other].language_code });
    byId("tools").hidden = false;
    byId("theme").textContent = theme() === "dark" ? t("to_light") : t("to_dark");
    document.documentElement.lang = t("language_code");
    document.documentElement.dataset.theme = theme();
  }
  function draw() {
    rows.clear();
    drawTools();
    for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
    drawHead();
    drawFilters();
    drawLatency();
    drawList();
  }
  function listen() {
    byId("language").addEventListener("click", () => { remember("lang", language() === "en" ? "zh" : "en"); draw(); });
    byId("theme").addEventListener("click", () => { remember("theme", theme() === "dark" ? "light" : "dark"); drawTools(); });
    dark.addEventListener("change", drawTools);
    byId("skip").addEventListener("click", (event) => { event.preventDefault(); list.focus(); list.scrollIntoView(); });
    byId("cases-csv").addEventListener("click", casesCsv);
    for (const id of ["tag", "layer", "scenario", "order"]) byId(id).addEventListener("change", (event) => { remember(id, event.target.value); drawList(); });
    let waiting;
    byId("search").addEventListener("input", (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { remember("q", event.target.value); drawList(); }, 150);
    });
    addEventListener("keydown", onKey);
    addEventListener("hashchange", () => { readAddress(); draw(); follow(); });
  }
  readAddress();
  listen();
  draw();
  follow();
  performance.mark("list-visible");
})();
