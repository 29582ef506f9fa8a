(() => {
  const { data, $, t, make, svg, ms, day, show } = small;
  const badge = (kind, text) => make("span", { class: `badge ${kind}` }, text);

  function table(keys, rows) {
    const head = make("tr");
    keys.forEach((key) => head.append(make("th", { scope: "col" }, key && t(key))));
    const body = make("tbody");
    rows.forEach((cells) => body.append(make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))));
    return make("table", {}, make("thead", {}, head), body);
  }

  function sides() {
    const rows = [];
    ["before", "now"].forEach((name, i) => data.sides[i].forEach((run) => {
      const labels = Object.entries(run.labels || {}).map(([k, v]) => `${k}=${v}`).join(" ");
      rows.push([t(name), run.id, day(run), labels]);
    }));
    return table(["", "run", "time", "labels"], rows);
  }

  // Shares of both sides in steps of half a standard deviation.
  function chart(one) {
    const width = 760, height = 150, left = 14, low = -4, high = 4, step = 0.5;
    const bins = Math.round((high - low) / step);
    const shares = one.values.map((values) => {
      const counts = new Array(bins).fill(0);
      values.forEach((v) => { counts[Math.min(bins - 1, Math.max(0, Math.floor((v - low) / step)))] += 1; });
      return counts.map((n) => n / Math.max(1, values.length));
    });
    const top = Math.max(0.01, ...shares.flat());
    const x = (v) => left + ((v - low) / (high - low)) * (width - 2 * left);
    const y = (share) => height - 22 - (share / top) * (height - 36);
    const label = t("chart", { what: t(one.what), a: one.values[0].length, b: one.values[1].length });
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    for (let v = low; v <= high; v += 1) {
      root.append(svg("line", { class: "rule", x1: x(v), x2: x(v), y1: 8, y2: height - 22 }));
      root.append(svg("text", { x: x(v), y: height - 6, "text-anchor": "middle" }, v === 0 ? "0" : `${v} σ`));
    }
    shares[0].forEach((share, i) => root.append(svg("rect", { class: "before", x: x(low + i * step) + 1, width: x(step) - x(0) - 2, y: y(share), height: height - 22 - y(share) })));
    root.append(svg("polyline", { class: "now", points: shares[1].map((share, i) => `${x(low + (i + 0.5) * step).toFixed(1)},${y(share).toFixed(1)}`).join(" ") }));
    return make("figure", {}, make("figcaption", { class: "note" }, label), root);
  }

  function moved() {
    if (!data.moved.length) return [];
    const figures = table(["figure", "", "n", "evidence"], data.moved.map((one) => [t(one.what), badge(one.drifted ? "fail" : "pass", t(one.drifted ? "drifted" : "steady")), one.n.join(" / "), one.why]));
    const out = [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "moved-title" }, figures)];
    if (!data.moved.some((one) => one.drifted)) out.push(make("p", {}, t("nothing_moved")));
    data.moved.filter((one) => one.values).forEach((one) => out.push(chart(one)));
    return out;
  }

  // Words that stand on one side only are marked: the longest common run of words from both ends stays plain.
  function marked(mine, other) {
    const cut = (text) => text.match(/\p{Script=Han}|[^\s\p{Script=Han}]+|\s+/gu) || [];
    const [a, b] = [cut(mine), cut(other)];
    let from = 0;
    while (from < a.length && from < b.length && a[from] === b[from]) from += 1;
    let end = 0;
    while (end < a.length - from && end < b.length - from && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
    const pre = make("pre", {}, a.slice(0, from).join(""));
    const middle = a.slice(from, a.length - end).join("");
    if (middle) pre.append(make("mark", {}, middle));
    pre.append(a.slice(a.length - end).join(""));
    if (!mine) pre.replaceChildren(t("empty"));
    return pre;
  }

  function caseRow(one) {
    const summary = make("span", {}, badge(one.changes.length ? "fail" : "pass", t(one.changes.length ? "facts" : "wording")));
    one.verdicts.forEach((v, i) => summary.append(i ? " → " : " ", badge(v, t(v))));
    const row = make("details", { class: "case-row" });
    row.append(make("summary", {}, make("span", { class: "id" }, one.id), summary));
    row.addEventListener("toggle", () => {
      if (!row.open || row.children.length > 1) return;
      const changes = make("ul");
      one.changes.forEach((line) => changes.append(make("li", {}, line)));
      const pair = make("div", { class: "pair" });
      ["before", "now"].forEach((name, i) => {
        const took = one.e2e_ms[i] === null ? "" : ` · ${ms(one.e2e_ms[i])}`;
        pair.append(make("div", {}, make("p", { class: "note" }, t(name) + took), marked(one.answers[i], one.answers[1 - i])));
      });
      row.append(changes, pair);
    });
    return row;
  }

  function list() {
    const wanted = $("search").value.trim().toLowerCase();
    const shown = data.cases.filter((c) => [c.id, ...c.answers, ...c.changes].some((text) => text.toLowerCase().includes(wanted)));
    $("cases").replaceChildren(...shown.map(caseRow));
    $("shown").textContent = t("shown", { n: shown.length });
  }

  function draw() {
    $("sides").replaceChildren(sides());
    $("moved-part").hidden = !data.moved.length;
    $("moved").replaceChildren(...moved());
    $("cases-part").hidden = !data.cases;
    if (!data.cases) return;
    const facts = data.cases.filter((c) => c.changes.length).length;
    $("count").textContent = t("count", { both: data.both, facts, words: data.cases.length - facts });
    list();
  }

  show(draw, list);
})();
