"use strict";
// What the pages beside the report share: words, elements, language and theme. Data stands in the element `data`.
const small = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const words = read("words");
  const data = read("data");
  const $ = (id) => document.getElementById(id);
  let language = (navigator.language || "en").toLowerCase().startsWith("zh") ? 1 : 0;
  const t = (key, values = {}) => Object.entries(values).reduce((text, [k, v]) => text.replaceAll(`{${k}}`, v), words[key][language]);
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([k, v]) => node.setAttribute(k, v));
    node.append(...children);
    return node;
  };
  const svg = (tag, attributes = {}, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([k, v]) => node.setAttribute(k, v));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const ms = (v) => (v < 10 ? `${v.toFixed(1)} ms` : v < 1000 ? `${v.toFixed(0)} ms` : `${(v / 1000).toFixed(2)} s`);
  const day = (run) => run.at.slice(0, 16).replace("T", " ");

  // Draws now and after every change of language, theme or search.
  function show(draw, list) {
    const again = () => {
      document.documentElement.lang = language ? "zh-CN" : "en";
      document.querySelectorAll("[data-t]").forEach((node) => { node.textContent = t(node.dataset.t); });
      $("title").textContent = t("title");
      $("language").textContent = t("language");
      $("theme").textContent = t(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      draw();
    };
    const root = document.documentElement;
    root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    $("language").addEventListener("click", () => { language = 1 - language; again(); });
    $("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; again(); });
    $("search").addEventListener("input", list);
    again();
  }

  return { data, $, t, make, svg, ms, day, show };
})();
