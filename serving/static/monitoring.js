// Is the model still right? Drift, real performance and early warnings, night by night.

import { ask, Away } from "./api.js";
import { axis, draw } from "./charts.js";
import { $, element, notice, table } from "./dom.js";
import { capital, day, percent } from "./words.js";

const NIGHTS = 60;
const DAY = 86_400_000;

let label = (name) => name;

const sentence = (text) => `${capital(text.replace(/^(no )?drift: /, ""))}${/[.!?]$/.test(text) ? "" : "."}`;
const number = (x) => (typeof x === "number" ? x.toFixed(3) : "–");

function judgement(name, check, empty) {
  const [state, pill] = !check ? ["none", "Not yet"] : check.alarm ? ["alarm", "Alarm"] : ["quiet-night", "Quiet"];
  return element("li", { className: "card verdict-card", dataset: { state } },
    element("h3", {}, name, element("span", { className: check?.alarm ? "pill leave" : check ? "pill" : "pill none" }, pill)),
    element("p", {}, check ? sentence(check.summary) : empty),
    element("p", { className: "quiet" }, check ? `As of ${day(check.as_of)}, version ${check.model_version}.` : ""));
}

function showVerdicts({ drift, performance, early_warning: warning }) {
  $("verdicts").replaceChildren(
    judgement("Real performance", performance, "Needs a horizon to pass: once it is known who left, the scores are judged by it."),
    judgement("Early warning", warning, "Needs a day after a published night: then cancellations are counted against what the scores expected."),
    judgement("Drift", drift.at(-1), "Needs a night that was compared with what the model was measured on."));
}

// ---------------------------------------------------------------- drift

/** Every day from the first night to the last, so that a missing night is seen. */
function calendar(drift) {
  const byDay = new Map(drift.map((night) => [night.as_of, night]));
  const [first, last] = [Date.parse(drift[0].as_of), Date.parse(drift.at(-1).as_of)];
  const days = [];
  for (let at = Math.max(first, last - (NIGHTS - 1) * DAY); at <= last; at += DAY) {
    const iso = new Date(at).toISOString().slice(0, 10);
    days.push([iso, byDay.get(iso)]);
  }
  return days;
}

function what(night) {
  const named = night.drifted.map(label);
  return named.length ? named.join(", ") : sentence(night.summary);
}

function showDrift(drift) {
  $("drift-empty").hidden = drift.length > 0;
  $("drift-full").hidden = !drift.length;
  if (!drift.length) return;
  const nights = calendar(drift);
  const alarms = drift.filter((night) => night.alarm).reverse();
  const missing = nights.filter(([, night]) => !night).length;
  const said = `${alarms.length ? `${alarms.length} of ${drift.length} nights raised an alarm` : `No alarm in ${drift.length} ${drift.length === 1 ? "night" : "nights"}`}`
    + `${missing ? `; ${missing} without a check` : ""}.`;
  $("drift-said").textContent = said;
  $("drift-strip").setAttribute("aria-label", `Drift from ${day(nights[0][0])} to ${day(nights.at(-1)[0])}. ${said}`);
  $("drift-strip").replaceChildren(...nights.map(([iso, night]) => element("span", {
    title: `${day(iso)}: ${night ? (night.alarm ? what(night) : "no drift") : "no check"}`,
    dataset: { state: night ? (night.alarm ? "alarm" : "quiet-night") : "none" },
  })));
  $("drift-from").textContent = day(nights[0][0]);
  $("drift-to").textContent = day(nights.at(-1)[0]);
  $("alarms").replaceChildren(...alarms.slice(0, 5).map((night) => element("li", {}, element("b", {}, day(night.as_of)), ` ${what(night)}`)));
  $("drift-rows").replaceChildren(table("Drift by night", ["Night", "Version", "Alarm", "What moved"],
    drift.toReversed().map((n) => [day(n.as_of), n.model_version, n.alarm ? "yes" : "no", sentence(n.summary)])));
}

// ---------------------------------------------------------------- real performance

function showPerformance(nights, limit) {
  $("performance-empty").hidden = nights.length > 0;
  $("performance-full").hidden = !nights.length;
  if (!nights.length) return;
  const newest = nights.at(-1);
  const bounds = typeof newest.roc_auc_low === "number" ? ` (${number(newest.roc_auc_low)} to ${number(newest.roc_auc_high)})` : "";
  const expected = typeof newest.expected_roc_auc === "number" ? `, expected ${number(newest.expected_roc_auc)}` : "";
  const said = `As of ${day(newest.as_of)} the ROC AUC was ${number(newest.roc_auc)}${bounds}${expected}.`;
  $("performance-said").textContent = said;
  const x = nights.map((n) => n.as_of);
  draw($("performance-chart"), `Real ROC AUC by night beside what the scores expected. ${said}`, (c) => {
    const y = nights.map((n) => n.roc_auc);
    const values = nights.flatMap((n) => [n.roc_auc, n.roc_auc_low, n.roc_auc_high, n.expected_roc_auc]).concat(limit).filter((v) => typeof v === "number");
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = Math.max(0.02, (high - low) * 0.12);
    const text = (n) => [day(n.as_of), number(n.roc_auc), number(n.roc_auc_low), number(n.roc_auc_high), number(n.expected_roc_auc)];
    const data = [
      { x, y: nights.map((n) => n.expected_roc_auc), name: "expected from the scores", mode: "lines+markers", line: { color: c.soft, width: 1.5, dash: "dot" },
        marker: { size: 5 }, connectgaps: true, hoverinfo: "skip" },
      { x, y, name: "what happened", mode: "lines+markers", line: { color: c.accent, width: 2 }, customdata: nights.map(text),
        marker: { color: nights.map((n) => (n.alarm ? c.leave : c.accent)), symbol: nights.map((n) => (n.alarm ? "x" : "circle")), size: 8, line: { color: c.card, width: 1 } },
        error_y: { type: "data", symmetric: false, array: nights.map((n) => (n.roc_auc_high ?? n.roc_auc) - n.roc_auc),
          arrayminus: nights.map((n) => n.roc_auc - (n.roc_auc_low ?? n.roc_auc)), color: c.accent, thickness: 1.2, width: 3 },
        hovertemplate: "%{customdata[0]}<br>ROC AUC %{customdata[1]} (%{customdata[2]} to %{customdata[3]})<br>expected %{customdata[4]}<extra></extra>" },
    ];
    if (typeof limit === "number") data.push({ x: [x[0], x.at(-1)], y: [limit, limit], name: "limit of an alarm", mode: "lines", line: { color: c.leave, width: 1.5, dash: "dash" }, hoverinfo: "skip" });
    return {
      data,
      layout: {
        showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: c.ink } },
        xaxis: axis(c, { type: "date", tickformat: "%-d %b", tickvals: x.filter((_, i) => i % Math.ceil(x.length / 6) === 0), zeroline: false }),
        yaxis: axis(c, { title: "ROC AUC", range: [Math.max(0, low - room), Math.min(1.005, high + room)], zeroline: false }),
      },
    };
  });
  $("performance-rows").replaceChildren(table("Real performance by night", ["Night", "ROC AUC", "95 % interval", "Expected", "Precision", "Expected", "Alarm"],
    nights.toReversed().map((n) => [day(n.as_of), number(n.roc_auc), typeof n.roc_auc_low === "number" ? `${number(n.roc_auc_low)} to ${number(n.roc_auc_high)}` : "–",
      number(n.expected_roc_auc), typeof n.precision === "number" ? percent(n.precision) : "–",
      typeof n.expected_precision === "number" ? percent(n.expected_precision) : "–", n.alarm ? "yes" : "no"])));
}

export async function loadMonitoring() {
  let answer;
  try {
    answer = await ask(`/monitoring?nights=${NIGHTS}`);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    return notice($("monitoring-notice"), error.message, "bad");
  }
  if (!answer.ok) return notice($("monitoring-notice"), "The record of the nightly checks does not answer now. It comes back by itself.", "bad");
  notice($("monitoring-notice"), "");
  $("monitoring-body").hidden = false;
  showVerdicts(answer.body);
  showDrift(answer.body.drift);
  showPerformance(answer.body.performance_nights, answer.body.performance?.limit ?? null);
}

/** ``meanings``: what each feature means, by name. */
export function nameColumns(meanings) {
  label = (name) => meanings.get(name) ?? name.replaceAll("_", " ");
}
