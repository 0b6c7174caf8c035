// Is the model still right? What it is, and what it was worth on customers that it had not seen.

import { ask, Away } from "./api.js";
import { axis, draw } from "./charts.js";
import { $, element, notice, table } from "./dom.js";
import { showEvidence } from "./profit.js";
import { day, moment, percent, plural, round, title, whole } from "./words.js";

// Name, label, meaning, and what no model at all would reach.
const METRICS = [
  ["roc_auc", "ROC AUC", "How often a leaver is ranked above a stayer.", () => 0.5],
  ["precision_recall_auc", "PR AUC", "Ranking among the few who leave.", (rate) => rate],
  ["precision", "Precision", "Of those flagged, the share who really left.", (rate) => rate],
  ["recall", "Recall", "Of those who left, the share who were flagged.", () => null],
  ["f1_score", "F1 score", "Precision and recall in one number.", () => null],
  ["accuracy", "Accuracy", "Share of right decisions; high by itself where few leave.", (rate) => Math.max(rate, 1 - rate)],
];

const OTHERS = {
  log_loss: "Log loss (lower is better)", brier: "Brier score (lower is better)", ece: "Calibration error, ECE (lower is better)",
  lift_at_10: "Lift in the riskiest tenth", profit: "Profit on the hold-out", profit_per_customer: "Profit per customer",
};

const figure = (x) => (typeof x !== "number" ? "–" : Math.abs(x) >= 100 ? whole(Math.round(x)) : Math.abs(x) < 0.1 ? x.toFixed(4) : x.toFixed(3));
const between = (m) => (typeof m.low === "number" ? `${figure(m.low)} to ${figure(m.high)}` : "–");

function fact(name, value, small = "") {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value, small ? element("small", {}, small) : ""));
}

function showFacts(info) {
  const nightly = info.models.full ?? info.models.core;
  const strongest = Object.entries(nightly.importance).filter(([, share]) => share > 0).slice(0, 3);
  $("facts").replaceChildren(
    fact("Version", info.model_version, `registered ${moment(info.last_updated)}`),
    fact("Serving since", moment(info.serving_since)),
    fact("Threshold", round(nightly.threshold), "from here on a contact is expected to pay"),
    fact("Kind of model", nightly.model_type, `on ${plural(nightly.features.length, "feature")}; the form above uses ${info.features.length}`),
    fact("Trained on", plural(nightly.trained_on_customers, "customer"), `${plural(nightly.trained_on_rows, "row")}, ${round(nightly.churn_rate)} of them left`),
    fact("Leans most on", strongest.map(([name]) => title(name).toLowerCase()).join(", ") || "–"));
  notice($("model-note"), info.model_note ? `The core model answers everything: ${info.model_note}.` : "", "warn");
}

// ---------------------------------------------------------------- metrics

/** Dot and whisker on a line from 0 to 1, with a mark where no model would stand. */
function whisker({ value, low, high }, chance) {
  const line = element("span", { className: "whisker", attributes: { "aria-hidden": "true" } });
  const put = (className, from, to) => {
    const part = element("span", { className });
    part.style.left = `${from * 100}%`;
    if (to !== undefined) part.style.width = `${(to - from) * 100}%`;
    line.append(part);
  };
  if (chance !== null) put("chance", chance);
  if (typeof low === "number") put("range", low, high);
  put("dot", value);
  return line;
}

function metricOf([name, label, help, chance], metric, rate) {
  const level = typeof rate === "number" ? chance(rate) : null;
  const known = typeof metric?.value === "number";
  return element("li", {},
    element("div", {}, element("h4", {}, label), element("p", { className: "quiet" }, help)),
    element("p", { className: "value" }, element("strong", {}, known ? figure(metric.value) : "–"),
      element("span", { className: "quiet" }, known && typeof metric.low === "number" ? `${between(metric)}` : "no interval stored")),
    known ? whisker(metric, level) : element("span"),
    element("p", { className: "quiet beside" }, level === null ? "" : `without a model ${figure(level)}`));
}

function showMetrics(evaluation, metrics) {
  const known = evaluation?.metrics ?? {};
  const of = (name) => known[name] ?? { value: metrics[name], low: null, high: null };
  $("metrics").replaceChildren(...METRICS.map((metric) => metricOf(metric, of(metric[0]), evaluation?.churn_rate)));
  const all = [...METRICS.map(([name, label]) => [name, label]), ...Object.entries(OTHERS)].filter(([name]) => typeof of(name).value === "number");
  $("metric-rows").replaceChildren(table("Figures on the hold-out", ["Figure", "Value", "95 % interval"],
    all.map(([name, label]) => [label, figure(of(name).value), between(of(name))])));
}

// ---------------------------------------------------------------- calibration

function showCalibration(bins = []) {
  $("calibration-empty").hidden = bins.length > 0;
  $("calibration-full").hidden = !bins.length;
  if (!bins.length) return;
  const outside = bins.filter((b) => b.predicted < b.low || b.predicted > b.high).length;
  const said = outside ? `In ${outside} of ${bins.length} groups the prediction lies outside the interval of what happened.`
    : `In all ${bins.length} groups the prediction lies within the interval of what happened.`;
  $("calibration-said").textContent = said;
  draw($("calibration-chart"), `Predicted against observed share of leavers. ${said}`, (c) => {
    const end = Math.min(100, Math.max(...bins.map((b) => Math.max(b.high, b.predicted))) * 106);
    const x = bins.map((b) => b.predicted * 100);
    return {
      data: [
        { x: [0, end], y: [0, end], mode: "lines", line: { color: c.soft, width: 1.5, dash: "dot" }, hoverinfo: "skip" },
        { x, y: bins.map((b) => b.observed * 100), mode: "markers", marker: { color: c.accent, size: 9, line: { color: c.card, width: 1.5 } },
          error_y: { type: "data", symmetric: false, array: bins.map((b) => (b.high - b.observed) * 100), arrayminus: bins.map((b) => (b.observed - b.low) * 100),
            color: c.accent, thickness: 1.5, width: 4 },
          customdata: bins.map((b) => [percent(b.predicted), percent(b.observed), percent(b.low), percent(b.high), whole(Math.round(b.rows))]),
          hovertemplate: "predicted %{customdata[0]}<br>left %{customdata[1]} (%{customdata[2]} to %{customdata[3]})<br>%{customdata[4]} rows<extra></extra>" },
      ],
      layout: { xaxis: axis(c, { title: "predicted (%)", range: [0, end], zeroline: false }), yaxis: axis(c, { title: "really left (%)", range: [0, end], zeroline: false }) },
    };
  });
  $("calibration-rows").replaceChildren(table("Calibration", ["Predicted", "Really left", "95 % interval", "Rows"],
    bins.map((b) => [percent(b.predicted), percent(b.observed), `${percent(b.low)} to ${percent(b.high)}`, whole(Math.round(b.rows))])));
}

// ---------------------------------------------------------------- all of it

export function noModel() {
  $("model-body").hidden = $("evidence").hidden = true;
  notice($("model-notice"), "No model yet. It appears here by itself as soon as a version is promoted to Production.");
}

/** The version in production; null where there is none. */
export async function loadModel() {
  let info, metrics, evaluation;
  try {
    [info, metrics, evaluation] = await Promise.all([ask("/model/info"), ask("/model/metrics"), ask("/model/evaluation")]);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    notice($("model-notice"), error.message, "bad");
    return null;
  }
  if (!info.ok || !metrics.ok) {
    noModel();
    return null;
  }
  $("model-body").hidden = false;
  notice($("model-notice"), "");
  const found = evaluation.ok ? evaluation.body : null;
  const { holdout_customers, holdout_churned, holdout_snapshot } = info.body.origin;
  const [held, left, when] = [found?.customers ?? holdout_customers, found?.churned ?? holdout_churned, found?.holdout ?? holdout_snapshot];
  $("model-lead").textContent = "The model that makes the nightly list, and how good it is on a later date than it was trained on"
    + (held && left ? `: ${plural(Number(held), "customer")}${when ? ` as of ${day(when)}` : ""}, of whom ${whole(Number(left))} left.` : ".");
  showFacts(info.body);
  showMetrics(found, metrics.body);
  showCalibration(found?.calibration);
  showEvidence(found ?? {});
  return info.body.model_version;
}
