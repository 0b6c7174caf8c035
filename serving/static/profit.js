// Whom to contact: what contacting everyone from a threshold on is expected to earn. Recomputed here, at once.

import { ask, Away } from "./api.js";
import { axis, draw } from "./charts.js";
import { $, notice, onFrame, table } from "./dom.js";
import { day, money, percent, plural, round, whole } from "./words.js";

const INPUTS = { cost: "contact_cost", value: "retained_value", success: "contact_success" };

let answer = null;
let chosen = null; // a threshold; null follows the published one

const shown = (name, value) => String(name === "success" ? +(value * 100).toFixed(2) : value);

function economics() {
  const given = Object.fromEntries(Object.keys(INPUTS).map((name) => [name, $(name).valueAsNumber]));
  const faults = Object.keys(INPUTS).filter((name) => !$(name).validity.valid || Number.isNaN(given[name]));
  for (const name of Object.keys(INPUTS)) {
    faults.includes(name) ? $(name).setAttribute("aria-invalid", "true") : $(name).removeAttribute("aria-invalid");
  }
  return faults.length ? null : { ...given, success: given.success / 100 };
}

const earned = ({ cost, value, success }, point) => success * value * point.expected_leavers - cost * point.customers;

function nearest(threshold) {
  const off = (point) => Math.abs(point.threshold - threshold);
  return answer.points.reduce((best, point, i) => (off(point) < off(answer.points[best]) ? i : best), 0);
}

const best = (profits) => profits.reduce((top, profit, i) => (profit > profits[top] ? i : top), 0);

// ---------------------------------------------------------------- the chart

function marker(c, x, y, text, symbol, size, colour) {
  return {
    x: [x], y: [y], mode: "markers", cliponaxis: false, hovertemplate: `${text}<extra></extra>`,
    marker: { symbol, size, color: colour, line: { color: c.card, width: 2 } },
  };
}

function figureOf(profits, cost, at, top, published) {
  const { points } = answer;
  const x = points.map((p) => p.threshold * 100);
  return (c) => {
    // Contacting everybody loses far more than anything earns. Where nothing earns, the cost of ten contacts is the scale.
    const scale = Math.max(profits[top], 10 * cost, 1);
    const high = Math.max(profits[top], 0.2 * scale);
    const low = Math.max(Math.min(...profits), -1.1 * scale);
    const left = Math.max(0, x[Math.max(0, profits.findIndex((profit) => profit >= low) - 1)]);
    const right = Math.max(...x);
    const line = (at, dash, color) => ({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color, width: 1.5, dash } });
    return {
      data: [
        { x, y: profits, mode: "lines", line: { color: c.accent, width: 2.5 }, customdata: points.map((p, i) => [whole(p.customers), money(profits[i])]),
          hovertemplate: "threshold %{x:.1f} %<br>%{customdata[0]} to contact<br>expected profit %{customdata[1]}<extra></extra>" },
        marker(c, x[published], profits[published], "published threshold", "square", 17, c.soft),
        // The smallest last: where the three are one, all are seen.
        marker(c, x[top], profits[top], "most profitable", "diamond", 15, c.stay),
        marker(c, x[at], profits[at], "chosen", "circle", 9, c.accent),
      ],
      layout: {
        xaxis: axis(c, { title: "threshold (%)", range: [left - 0.04 * (right - left), right + 0.04 * (right - left)], zeroline: false }),
        yaxis: axis(c, { title: "expected profit", range: [low - 0.08 * (high - low), high + 0.14 * (high - low)], tickformat: ",.3~s" }),
        shapes: [line(x[published], "dot", c.soft), line(x[at], "solid", c.accent)],
      },
    };
  };
}

// ---------------------------------------------------------------- the figures

function show() {
  const given = economics();
  notice($("profit-fault"), given ? "" : "Cost and value are numbers from 0, the share saved lies between 0 and 100 %.", "bad");
  if (!given || !answer?.points.length) return;
  const { points, customers_scored: all } = answer;
  const profits = points.map((point) => earned(given, point));
  const [published, top] = [nearest(answer.threshold), best(profits)];
  const at = chosen === null ? published : nearest(chosen);
  const point = points[at];
  $("threshold").value = String(at);
  $("threshold").setAttribute("aria-valuetext", `${round(point.threshold)}: ${plural(point.customers, "person", "people")} to contact, expected profit ${money(profits[at])}`);
  $("threshold-now").textContent = round(point.threshold);
  $("people").textContent = whole(point.customers);
  $("people-of").textContent = `${percent(all ? point.customers / all : 0)} of ${plural(all, "customer")}`;
  $("leavers").textContent = point.expected_leavers.toLocaleString("en-US", { maximumFractionDigits: point.expected_leavers < 100 ? 1 : 0 });
  $("leavers-of").textContent = point.customers
    ? `${percent(point.expected_leavers / point.customers)} of them; the contact keeps ${(point.expected_leavers * given.success).toFixed(1)}` : "nobody is contacted";
  $("profit-now").textContent = money(profits[at]);
  $("profit-now").classList.toggle("loss", profits[at] < 0);
  const missing = profits[top] - profits[at];
  $("profit-of").textContent = at === top || missing < 0.05 ? "the most that is possible" : `${money(missing)} less than at ${round(points[top].threshold)}`;
  $("to-published").textContent = `Published, ${round(points[published].threshold)}`;
  $("to-best").textContent = profits[top] > 0 ? `Most profitable, ${round(points[top].threshold)}` : "No contact pays";
  $("to-published").setAttribute("aria-pressed", String(at === published));
  $("to-best").setAttribute("aria-pressed", String(at === top));
  $("profit-reset").hidden = Object.entries(INPUTS).every(([name, key]) => $(name).value === shown(name, answer[key]));
  draw($("profit-chart"), `Expected profit by threshold. It is highest, ${money(profits[top])}, at ${round(points[top].threshold)}; `
    + `at the published threshold of ${round(points[published].threshold)} it is ${money(profits[published])}.`, figureOf(profits, given.cost, at, top, published));
  if ($("profit-table").open) showTable(profits);
}

function showTable(profits) {
  $("profit-rows").replaceChildren(table("Expected profit by threshold", ["Threshold", "People", "Expected to leave", "Expected profit"],
    answer.points.map((p, i) => [percent(p.threshold), whole(p.customers), p.expected_leavers.toFixed(1), money(profits[i])])));
}

function setEconomics() {
  for (const [name, key] of Object.entries(INPUTS)) $(name).value = shown(name, answer[key]);
}

export async function loadProfit() {
  let found;
  try {
    found = await ask("/profit");
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    return notice($("profit-notice"), error.message, "bad");
  }
  if (!found.ok) return notice($("profit-notice"), "The score book does not answer now. This comes back by itself.", "bad");
  const edited = answer !== null && !$("profit-reset").hidden;
  answer = found.body;
  const none = !answer.points.length;
  $("profit-body").hidden = none;
  notice($("profit-notice"), none ? "No scores yet. After the first nightly scoring, this shows whom a contact pays for." : "");
  if (none) return;
  if (!edited) setEconomics();
  $("threshold").max = String(answer.points.length - 1);
  show();
}

/** What the hold-out earned at each threshold, with intervals: customers whose outcome is known. */
export function showEvidence({ profit, holdout, customers }) {
  $("evidence").hidden = !profit?.length;
  if (!profit?.length) return;
  $("evidence-said").textContent = `What contacting from each threshold on would have earned among ${whole(customers ?? 0)} customers${holdout ? ` as of ${day(holdout)}` : ""}, `
    + "counted from who really left, with a 95 % interval. The model had not seen them.";
  const highest = profit.reduce((a, b) => (b.profit > a.profit ? b : a));
  const x = profit.map((p) => p.threshold * 100);
  const [lows, highs] = [profit.map((p) => p.low ?? p.profit), profit.map((p) => p.high ?? p.profit)];
  draw($("evidence-chart"), `Realised profit by threshold on the hold-out: highest, ${money(highest.profit)}, at ${round(highest.threshold)}.`, (c) => {
    const high = Math.max(...highs, 1);
    const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    return {
      data: [
        { ...edge, y: lows }, { ...edge, y: highs, fill: "tonexty", fillcolor: `${c.accent}2e` },
        { x, y: profit.map((p) => p.profit), mode: "lines", line: { color: c.accent, width: 2.5 }, customdata: profit.map((p, i) => [money(p.profit), money(lows[i]), money(highs[i])]),
          hovertemplate: "threshold %{x:.0f} %<br>profit %{customdata[0]}<br>95 %: %{customdata[1]} to %{customdata[2]}<extra></extra>" },
      ],
      layout: {
        xaxis: axis(c, { title: "threshold (%)", range: [0, 100], zeroline: false }),
        yaxis: axis(c, { title: "profit on the hold-out", range: [Math.max(Math.min(...lows), -high), high * 1.12], tickformat: ",.3~s" }),
      },
    };
  });
}

export function startProfit() {
  const soon = onFrame(show);
  $("threshold").addEventListener("input", () => { chosen = answer.points[Number($("threshold").value)].threshold; soon(); });
  $("economics").addEventListener("input", soon);
  $("economics").addEventListener("submit", (event) => event.preventDefault());
  $("profit-reset").addEventListener("click", () => { setEconomics(); $("cost").focus(); soon(); });
  $("to-published").addEventListener("click", () => { chosen = null; soon(); });
  $("to-best").addEventListener("click", () => {
    const given = economics();
    if (!given) return;
    chosen = answer.points[best(answer.points.map((point) => earned(given, point)))].threshold;
    soon();
  });
  $("profit-table").addEventListener("toggle", soon);
  $("profit-chart").addEventListener("drawn", () => {
    $("profit-chart").on("plotly_click", ({ points }) => { chosen = points[0].x / 100; soon(); });
  });
}
