// What each feature adds to a score, as bars to the left and right of a middle line. The words carry it; the bars show it.

import { element } from "./dom.js";

/** Log-odds as analysts read them: how often the odds are multiplied. */
export function factor(contribution) {
  const times = Math.exp(Math.abs(contribution));
  const text = times >= 100 ? times.toFixed(0) : times >= 10 ? times.toFixed(1) : times.toFixed(2);
  return contribution >= 0 ? `× ${text}` : `÷ ${text}`;
}

export const direction = (contribution) => (contribution >= 0 ? "raises" : "lowers");

export function arrow(contribution) {
  const way = direction(contribution);
  return element("span", { className: `arrow ${way}` },
    element("span", { attributes: { "aria-hidden": "true" } }, contribution >= 0 ? "▲" : "▼"), element("span", { className: "sr" }, `${way} the score: `));
}

function bar(text, contribution, largest, kind = "") {
  const fill = element("span", { className: `part ${direction(contribution)}` });
  fill.style.width = `${Math.min(50, (Math.abs(contribution) / largest) * 50)}%`;
  return element("li", { className: kind },
    element("span", { className: "why" }, arrow(contribution), text),
    element("span", { className: "factor" }, factor(contribution)),
    element("span", { className: "axis", attributes: { "aria-hidden": "true" } }, fill));
}

/** ``least``: log-odds that fill a side at least, so that small parts look small. */
export function bars(reasons, { others = 0, least = 1 } = {}) {
  const largest = Math.max(least, Math.abs(others), ...reasons.map((r) => Math.abs(r.contribution)));
  const rest = Math.abs(others) < 0.005 ? [] : [bar("everything else together", others, largest, "rest")];
  return [...reasons.map((r) => bar(r.text, r.contribution, largest)), ...rest];
}
