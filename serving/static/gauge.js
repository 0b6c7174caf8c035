// A probability on a line from 0 to 100 %, with the threshold marked.

import { element } from "./dom.js";
import { percent, round } from "./words.js";

export function gauge(p, threshold) {
  const fill = element("div", { className: "fill" });
  fill.style.width = `${p * 100}%`;
  const said = `Probability of leaving ${percent(p)}`;
  const known = typeof threshold === "number";
  const line = element("div", { className: "gauge", attributes: { role: "img", "aria-label": known ? `${said}; the threshold is ${round(threshold)}` : said } }, fill);
  const scale = element("div", { className: "scale", attributes: { "aria-hidden": "true" } }, element("span", {}, "0 %"), element("span", {}, "100 %"));
  if (known) {
    const mark = element("div", { className: "mark" });
    mark.style.left = `${threshold * 100}%`;
    const at = element("span", { className: "at" }, `threshold ${round(threshold)}`);
    at.style.left = `${Math.min(74, Math.max(26, threshold * 100))}%`;
    line.append(mark);
    scale.append(at);
  }
  return [line, scale];
}

export const verdict = (leaves) => (leaves ? "Likely to leave: contact this customer" : "Likely to stay: no contact needed");

export function why(leaves, threshold) {
  return leaves
    ? `At or above the threshold of ${round(threshold)}, a contact is expected to earn more than it costs.`
    : `Below the threshold of ${round(threshold)}, a contact is expected to cost more than it earns.`;
}
