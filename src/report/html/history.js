(() => {
  const { data, $, t, make, svg, ms, day, show } = small;
  const plain = (v) => (Math.abs(v) < 100 ? v.toFixed(2) : v.toFixed(0));
  const metrics = [["e2e", ms], ["ttft", ms], ["rps", plain], ["found", plain]];
  const median = (list) => {
    const sorted = [...list].sort((a, b) => a - b);
    return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : undefined;
  };

  const verdictName = (v) => (v ? t(v) : t("absent"));

  function strip(points) {
    const last = data.runs.map((_, i) => points.find((p) => p.r === i)).slice(-40);
    const node = make("span", { class: "strip", role: "img", "aria-label": t("strip", { list: last.map((p) => verdictName(p && p.v)).join(", ") }) });
    last.forEach((p) => node.append(make("i", { class: p ? p.v : "empty", title: verdictName(p && p.v) })));
    return node;
  }

  function chart(points, key, show) {
    const known = points.filter((p) => p[key] !== undefined);
    if (known.length < 2) return null;
    const values = known.map((p) => p[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = (high - low || high || 1) * 0.1;
    const [bottom, top] = [Math.max(0, low - pad), high + pad];
    const width = 760, height = 170, left = 70;
    const x = (r) => left + (data.runs.length < 2 ? 0 : (r / (data.runs.length - 1)) * (width - left - 14));
    const y = (v) => height - 24 - ((v - bottom) / (top - bottom)) * (height - 44);
    const label = t("chart", { what: t(key), n: known.length, min: show(low), max: show(high), last: show(values[values.length - 1]) });
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    [bottom, (bottom + top) / 2, top].forEach((v) => {
      root.append(svg("line", { class: "rule", x1: left, x2: width - 14, y1: y(v), y2: y(v) }));
      root.append(svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, show(v)));
    });
    data.runs.forEach((run, r) => {
      if (!run.release) return;
      root.append(svg("line", { class: "release", x1: x(r), x2: x(r), y1: 14, y2: height - 24 }));
      root.append(svg("text", { x: x(r) + 3, y: 12 }, run.release));
    });
    root.append(svg("polyline", { class: "line", points: known.map((p) => `${x(p.r).toFixed(1)},${y(p[key]).toFixed(1)}`).join(" ") }));
    known.forEach((p) => {
      const dot = svg("circle", { class: `dot ${p.v}`, cx: x(p.r), cy: y(p[key]), r: 3.5 });
      dot.append(svg("title", {}, `${day(data.runs[p.r])} ${verdictName(p.v)} ${show(p[key])}`));
      root.append(dot);
    });
    root.append(svg("text", { x: left, y: height - 6 }, day(data.runs[0])));
    root.append(svg("text", { x: width - 14, y: height - 6, "text-anchor": "end" }, day(data.runs[data.runs.length - 1])));
    return make("div", {}, make("p", { class: "note" }, label), root);
  }

  function caseRow(one) {
    const known = one.points.filter((p) => p.e2e !== undefined);
    let figure = t("no_time");
    if (known.length) {
      const last = known[known.length - 1].e2e;
      const before = median(known.slice(0, -1).map((p) => p.e2e));
      const percent = before ? Math.round((last / before - 1) * 100) : undefined;
      const change = percent === undefined ? "–" : `${percent > 0 ? "+" : percent < 0 ? "−" : "±"}${Math.abs(percent)} %`;
      figure = t("latest", { v: ms(last), change });
    }
    const row = make("details", { class: "case-row" });
    row.append(make("summary", {}, make("span", { class: "id" }, one.id), strip(one.points), make("span", { class: "note" }, figure)));
    row.addEventListener("toggle", () => {
      if (row.open && row.children.length === 1) metrics.forEach(([key, show]) => row.append(chart(one.points, key, show) ?? ""));
    });
    return row;
  }

  function runsTable() {
    const table = make("table");
    const head = make("tr");
    ["time", "verdicts", "model", "commit", "release"].forEach((key) => head.append(make("th", { scope: "col" }, t(key))));
    table.append(make("thead", {}, head));
    const body = make("tbody");
    [...data.runs].reverse().slice(0, 200).forEach((run) => {
      const verdicts = make("td");
      Object.entries(run.counts).forEach(([v, n]) => verdicts.append(make("span", { class: `badge ${v}` }, `${n} ${t(v)}`), " "));
      body.append(make("tr", {}, make("td", {}, day(run)), verdicts, make("td", {}, run.model || ""), make("td", { class: "mono" }, (run.commit || "").slice(0, 12)), make("td", {}, run.release || "")));
    });
    table.append(body);
    return table;
  }

  function list() {
    const wanted = $("search").value.trim().toLowerCase();
    const shown = data.cases.filter((c) => c.id.toLowerCase().includes(wanted));
    $("cases").replaceChildren(...shown.map(caseRow));
    $("shown").textContent = t("shown", { n: shown.length });
  }

  function draw() {
    const [first, last] = [data.runs[0], data.runs[data.runs.length - 1]];
    $("span").textContent = t("span", { runs: data.runs.length, from: first ? day(first) : "–", to: last ? day(last) : "–", cases: data.cases.length });
    $("runs").replaceChildren(runsTable());
    list();
  }

  show(draw, list);
})();
