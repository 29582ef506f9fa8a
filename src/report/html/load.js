"use strict";
// What a load measured: levels, curves, the time series with resources, errors in their order. Gets the tools of the page.
const loadView = ({ el, t, note, facts, fold, button, duration, download, fileName }) => {
  const WIDTH = 760, LEFT = 74, RIGHT = 12, TOP = 14, FOOT = 26;
  const number = (v) => (v === undefined || v === null ? "" : Math.abs(v) >= 100 ? v.toFixed(0) : Number.isInteger(v) ? String(v) : v.toFixed(2));
  const share = (v) => (v === undefined || v === null ? "" : `${Number((v * 100).toFixed(2))} %`);
  const bytes = (v) => (v >= 2 ** 30 ? `${(v / 2 ** 30).toFixed(2)} GiB` : `${(v / 2 ** 20).toFixed(0)} MiB`);
  const inUnit = (unit) => (v) => (unit === "share" ? share(v) : unit === "bytes" ? bytes(v) : `${number(v)}${unit === "count" ? "" : ` ${unit}`}`);
  const endless = (v) => (v === undefined || v === null ? "∞" : duration(v));
  const at = (dist, key) => (dist ? duration(dist[key]) : "");

  function table(name, title, head, rows, csv) {
    const body = rows.map((row) => el("tr", { class: row.tone || false }, row.cells.map((c) => el("td", {}, c))));
    return el("div", { class: "load-table" },
      el("div", { class: "heading" }, el("h3", {}, title), csv && button(t("csv_table"), () => download(fileName(name), csv))),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
        el("table", {}, el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, body))));
  }

  // Points of a line; of many, the lowest and the highest of each pixel.
  function thin(points) {
    const most = 2 * WIDTH;
    if (points.length <= most) return points;
    const out = [], per = Math.ceil(points.length / WIDTH);
    for (let i = 0; i < points.length; i += per) {
      const part = points.slice(i, i + per).sort((a, b) => a[1] - b[1]);
      out.push(...[part[0], part[part.length - 1]].sort((a, b) => a[0] - b[0]));
    }
    return out;
  }

  // lines: [{ name, points: [[x, y], …] }]; bands and marks stand on the x axis.
  function chart(title, lines, { show = number, along = (x) => number(x), bands = [], marks = [], height = 170, from, to } = {}) {
    const some = lines.map((l) => ({ ...l, points: l.points.filter((p) => Number.isFinite(p[1])) })).filter((l) => l.points.length > 1);
    if (some.length === 0) return false;
    const all = some.flatMap((l) => l.points);
    const [x0, x1] = [from ?? Math.min(...all.map((p) => p[0])), to ?? Math.max(...all.map((p) => p[0]))];
    const high = Math.max(...all.map((p) => p[1])) || 1, low = Math.min(0, ...all.map((p) => p[1]));
    const x = (v) => LEFT + ((v - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT);
    const y = (v) => height - FOOT - ((v - low) / (high - low || 1)) * (height - FOOT - TOP);
    const said = some.map((l) => {
      const values = l.points.map((p) => p[1]);
      return t("chart_line", { name: l.name, min: show(Math.min(...values)), mean: show(values.reduce((a, b) => a + b, 0) / values.length), max: show(Math.max(...values)) });
    });
    const svg = el("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", tabindex: "0", "aria-label": `${title}. ${said.join("; ")}` });
    bands.forEach(([a, b]) => svg.append(el("rect", { class: "band", x: x(Math.max(a, x0)), y: TOP, width: Math.max(0, x(Math.min(b, x1)) - x(Math.max(a, x0))), height: height - FOOT - TOP })));
    [low, (low + high) / 2, high].forEach((v) => svg.append(
      el("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) }), el("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, show(v))));
    [x0, (x0 + x1) / 2, x1].forEach((v, i) => svg.append(el("text", { x: x(v), y: height - 8, "text-anchor": ["start", "middle", "end"][i] }, along(v))));
    marks.filter((m) => m.x >= x0 && m.x <= x1).forEach((m) => svg.append(
      el("line", { class: `mark ${m.tone || ""}`, x1: x(m.x), x2: x(m.x), y1: TOP, y2: height - FOOT }), el("text", { x: x(m.x) + (m.x > (x0 + x1) / 2 ? -3 : 3), y: TOP - 3, "text-anchor": m.x > (x0 + x1) / 2 ? "end" : "start" }, m.text)));
    some.forEach((l, i) => svg.append(el("polyline", { class: `line l${i}`, points: thin(l.points).map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") })));
    const pointer = el("line", { class: "pointer", x1: -9, x2: -9, y1: TOP, y2: height - FOOT });
    svg.append(pointer);
    const legend = some.map((l, i) => el("span", { class: `key l${i}` }, l.name));
    const readout = el("span", { class: "readout", role: "status" });
    const places = some[0].points.map((p) => p[0]);
    let place = -1;
    const tell = (next) => {
      place = Math.max(0, Math.min(places.length - 1, next));
      pointer.setAttribute("x1", x(places[place])); pointer.setAttribute("x2", x(places[place]));
      const parts = some.map((l) => [l, l.points.find((p) => p[0] === places[place])]).filter(([, p]) => p).map(([l, p]) => `${l.name} ${show(p[1])}`);
      readout.textContent = `${along(places[place])}: ${parts.join(", ")}`;
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const wanted = x0 + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (x1 - x0);
      let best = 0;
      places.forEach((p, i) => { if (Math.abs(p - wanted) < Math.abs(places[best] - wanted)) best = i; });
      tell(best);
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (!step) return;
      event.preventDefault(); event.stopPropagation();
      tell(place + step);
    });
    return el("figure", { class: "load-chart" }, el("figcaption", {}, title, " ", legend, " ", readout), svg);
  }

  const METRICS = ["ttft", "ttft_sched", "ttfo", "ttfb", "tpot", "icl", "itl", "max_gap", "e2e", "e2e_sched", "tail_lag", "connect"];
  function distributions(level) {
    const f = level.figures;
    const rows = METRICS.filter((m) => f[m]).map((m) => ({ cells: [m, f[m].n, at(f[m], "mean"), at(f[m], "p50"), at(f[m], "p90"), at(f[m], "p95"), at(f[m], "p99"),
      at(f[m], "max"), `${duration(f[m].bounds[2][0])} – ${duration(f[m].bounds[2][1])}`, endless(f[m].p95_pen)] }));
    const head = [t("metric"), "n", t("mean"), "p50", "p90", "p95", "p99", t("max"), t("p95_bounds"), t("p95_pen")];
    const c = level.counts;
    return [
      facts([[t("counts"), t("counts_line", c)], [t("window"), level.window_s ? t("window_line", { from: number(level.window_s[0]), to: number(level.window_s[1]) }) : t("no_window")],
        [t("throughput"), t("throughput_line", { rps: number(f.rps_ok), tps: number(f.output_tps) })], [t("attainment"), c.good !== c.ok && share(f.slo_attainment)],
        [t("variation"), [["e2e", f.variation_e2e], ["ttft", f.variation_ttft], [t("answers_s"), f.variation_qps]].filter(([, v]) => v !== undefined).map(([n, v]) => `${n} ${share(v)}`).join(", ")]]),
      table("latencies", t("latencies"), head, rows, [head, ...METRICS.filter((m) => f[m]).map((m) => [m, f[m].n, ...["mean", "p50", "p90", "p95", "p99", "max"].map((k) => f[m][k])])]),
      f.inputs && note(f.inputs.map((i) => `${i.name}: ${i.ok} / ${i.failed}, e2e p50 ${at(i.e2e, "p50")}`).join("; ")),
    ];
  }

  function levelsTable(load) {
    const sweep = load.levels.some((l) => l.prompt_tokens);
    const head = [sweep ? t("prompt_length") : load.unit, t("requests"), t("errors"), t("answers_s"), t("tokens_s"), "ttft p95", "tpot p50", "e2e p95", t("borne")];
    const errors = (c) => share(c.scheduled ? (c.scheduled - c.ok) / c.scheduled : 0);
    const rows = load.levels.map((l) => ({ tone: l.stable === false && "missed", cells: [number(l.prompt_tokens ?? l.target), l.counts.scheduled, errors(l.counts), number(l.figures.rps_ok),
      number(l.figures.output_tps), at(l.figures.ttft, "p95"), at(l.figures.tpot, "p50"), at(l.figures.e2e, "p95"), l.stable === undefined ? "" : l.stable ? t("yes") : `${t("no")}: ${l.why}`] }));
    const csv = load.levels.map((l) => [l.prompt_tokens ?? l.target, l.counts.scheduled, l.counts.scheduled - l.counts.ok, l.figures.rps_ok, l.figures.output_tps, l.figures.ttft?.p95,
      l.figures.tpot?.p50, l.figures.e2e?.p95, l.stable, l.why]);
    return table("levels", t("levels"), head, rows, [head, ...csv]);
  }

  function curves(load) {
    const unique = [...new Map(load.levels.map((l) => [l.prompt_tokens ?? l.target, l])).entries()].sort((a, b) => a[0] - b[0]);
    if (unique.length < 2) return false;
    const line = (name, get) => ({ name, points: unique.map(([x, l]) => [x, get(l.figures)]).filter((p) => p[1] !== undefined) });
    const marks = load.found ? [[load.found.last_stable, t("last_borne"), "pass"], [load.found.first_unstable, t("first_not"), "fail"]].filter((m) => m[0] != null).map(([x, text, tone]) => ({ x, text, tone })) : [];
    const along = (x) => `${number(x)} ${load.levels[0].prompt_tokens ? t("prompt_length") : load.unit}`;
    return [
      chart(t("throughput_by_level"), [line(t("answers_s"), (f) => f.rps_ok)], { marks, along }),
      chart(t("tokens_by_level"), [line(t("tokens_s"), (f) => f.output_tps)], { marks, along }),
      chart(t("latency_by_level"), [line("ttft p95", (f) => f.ttft?.p95), line("e2e p95", (f) => f.e2e?.p95)], { marks, along, show: duration }),
    ];
  }

  function overTime(load) {
    const ticks = load.ticks || [], width = load.tick_s || 1;
    if (ticks.length < 3) return false;
    const [from, to] = [0, ticks[ticks.length - 1].t_s];
    const bands = load.levels.filter((l) => l.window_s).map((l) => l.window_s);
    const marks = (load.first_errors || []).slice(0, 6).map((e) => ({ x: e.t_s, text: e.kind, tone: "fail" }));
    const along = (x) => `${number(Math.round(x))} s`;
    const line = (name, get) => ({ name, points: ticks.map((k) => [k.t_s, get(k)]).filter((p) => p[1] !== undefined) });
    const options = { bands, along, from, to };
    return [
      chart(t("answers_over_time"), [line(t("answers_s"), (k) => k.ok / width), line(t("failed_s"), (k) => k.failed / width)], { ...options, marks }),
      chart(t("in_flight"), [line(t("in_flight"), (k) => k.in_flight)], options),
      chart(t("tokens_s"), [line(t("tokens_s"), (k) => k.tps)], options),
      chart("ttft", [line("p50", (k) => k.ttft_p50), line("p95", (k) => k.ttft_p95)], { ...options, show: duration }),
      chart("e2e", [line("p50", (k) => k.e2e_p50), line("p95", (k) => k.e2e_p95)], { ...options, show: duration }),
      ...(load.series || []).map((s) => chart(`${s.name} (${s.from})`, [{ name: s.name, points: s.points }], { ...options, show: inUnit(s.unit), height: 120 })),
    ];
  }

  function errors(load) {
    const list = load.first_errors || [];
    const head = [t("time"), t("kind"), load.unit, t("in_flight"), t("count"), t("said")];
    const rows = list.map((e) => ({ cells: [`${number(e.t_s)} s`, e.kind, number(e.level), e.in_flight, e.count, e.request_id ? `${e.excerpt} (${e.request_id})` : e.excerpt] }));
    return [list.length > 0 && table("first_errors", t("first_errors"), head, rows, [head, ...list.map((e) => [e.t_s, e.kind, e.level, e.in_flight, e.count, e.excerpt])]),
      (load.suggests || []).length > 0 && el("ul", {}, load.suggests.map((s) => el("li", {}, s)))];
  }

  function periods(load) {
    const list = load.periods || [];
    const head = [t("time"), t("requests"), t("errors"), t("answers_s"), "ttft p95", "e2e p50", "e2e p95"];
    const rows = list.map((p) => ({ cells: [`${number(p.ended_s)} s`, p.counts.scheduled, share((p.counts.scheduled - p.counts.ok) / (p.counts.scheduled || 1)), number(p.figures.rps_ok),
      at(p.figures.ttft, "p95"), at(p.figures.e2e, "p50"), at(p.figures.e2e, "p95")] }));
    return list.length > 0 && table("periods", t("periods"), head, rows, [head, ...list.map((p) => [p.ended_s, p.counts.scheduled, p.counts.scheduled - p.counts.ok, p.figures.rps_ok, p.figures.ttft?.p95, p.figures.e2e?.p50, p.figures.e2e?.p95])]);
  }

  return (load) => {
    const found = load.found, h = load.health || {}, server = load.server || {};
    const borne = found && load.levels.findLast((l) => l.target === found.last_stable && l.stable);
    const main = borne || load.levels[load.levels.length - 1];
    return el("div", { class: "load" },
      el("p", {}, load.shape),
      (h.problems || []).map((p) => el("p", { class: "problem" }, t("invalid", { why: p }))),
      found && el("p", {}, t("found_line", { level: number(found.last_stable) || "–", unit: load.unit }), found.reason && ` ${t("found_reason", { level: number(found.first_unstable) || "–", why: found.reason })}`),
      (load.notes || []).length > 0 && el("ul", { class: "note" }, load.notes.map((n) => el("li", {}, n))),
      load.levels.length > 0 && levelsTable(load),
      curves(load),
      load.levels.map((l) => fold(t("figures_of", { level: number(l.prompt_tokens ?? l.target), unit: l.prompt_tokens ? t("prompt_length") : load.unit }), () => distributions(l), l === main)),
      errors(load),
      (load.trends || []).length > 0 && [el("h3", {}, t("trends")), el("ul", {}, load.trends.map((x) => el("li", { class: x.leak && "problem" }, x.why)))],
      periods(load),
      el("h3", {}, t("over_time")), overTime(load) || note(t("no_attempt")),
      facts([[t("server_says"), [[t("tokens_out"), server.generation_tokens], ["ttft", server.ttft_mean && duration(server.ttft_mean)], ["e2e", server.e2e_mean && duration(server.e2e_mean)],
        [t("cache_hits"), server.cache_hit_rate !== undefined && share(server.cache_hit_rate)], [t("restarts"), server.restarts]].filter(([, v]) => v).map(([n, v]) => `${n} ${v}`).join(", ")],
        [t("client"), t("client_line", { busy: share(h.cpu_max), late: duration(h.lag_p99), stamps: duration(h.stamp_lag_p99), opened: h.connections_opened })]]));
  };
};
