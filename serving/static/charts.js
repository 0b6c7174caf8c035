// Charts by plotly, fetched when the first one comes near the window; the list does not wait for 5 MB of script.

import { element } from "./dom.js";

const SCRIPT = "/static/plotly.min.js";
const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, scrollZoom: false, doubleClick: false };
const figures = new Map(); // box → what to draw in it
const near = new Set();
let script;

function plotly() {
  script ??= new Promise((resolve, reject) => {
    const loaded = element("script", { src: SCRIPT, onload: () => resolve(window.Plotly) });
    loaded.onerror = () => { script = undefined; reject(new Error("no charts")); };
    document.head.append(loaded);
  });
  return script;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["ink", "soft", "line", "card", "accent", "stay", "leave", "warn", "track"];
  return { ...Object.fromEntries(names.map((name) => [name, named(name)])), font: getComputedStyle(document.body).fontFamily };
}

/** An axis as all charts have it. */
export const axis = (c, more = {}) => ({
  fixedrange: true, gridcolor: c.line, zerolinecolor: c.soft, linecolor: c.line, tickcolor: c.line, automargin: true, ...more,
  title: { text: more.title ?? "", font: { color: c.soft, size: 13 }, standoff: 10 },
});

async function show(box) {
  const figure = figures.get(box);
  if (!near.has(box) || !figure || !box.offsetWidth) return;
  let library;
  try {
    library = await plotly();
  } catch {
    if (!box.childElementCount) box.textContent = "The chart could not be loaded. The numbers are in the table.";
    return;
  }
  if (figures.get(box) !== figure) return; // a newer one is on its way
  if (!box.classList.contains("js-plotly-plot")) box.replaceChildren();
  const c = colours();
  const { data, layout } = figure(c);
  await library.react(box, data, {
    autosize: true, showlegend: false, dragmode: false, hovermode: "closest", paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { l: 8, r: 12, t: 12, b: 8 }, font: { family: c.font, size: 13, color: c.ink },
    hoverlabel: { bgcolor: c.card, bordercolor: c.line, font: { family: c.font, size: 13, color: c.ink } }, ...layout,
  }, CONFIG);
  if (!box.dataset.drawn) box.dispatchEvent(new CustomEvent("drawn"));
  box.dataset.drawn = "yes";
}

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.add(target);
    watcher.unobserve(target);
    show(target);
  }
}, { rootMargin: "600px" });

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => near.forEach(show));

// What was closed, and so had no size, when the window or its colours changed.
document.addEventListener("toggle", ({ target }) => near.forEach((box) => { if (target.contains(box)) show(box); }), true);

/** Draw when the box is near the window, and again in other colours when they change. ``figure(colours)`` makes it. */
export function draw(box, said, figure) {
  figures.set(box, figure);
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", said);
  near.has(box) ? show(box) : watcher.observe(box);
}
