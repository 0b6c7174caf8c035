// Tonight's list: filters, rows with reasons, export.

import { ask, Away, file, urlOf } from "./api.js";
import { arrow } from "./bars.js";
import { openCustomer } from "./customer.js";
import { $, element, later, notice } from "./dom.js";
import { keyInUse } from "./key.js";
import { capital, day, money, percent, plural, round, whole } from "./words.js";

let request = 0;
let publication = null;
let newest = null; // the API's last answer
let inProduction = null; // the version
let causes = new Set(); // features that raised a score of this publication
let meaning = (name) => name;

function filters() {
  const given = new URLSearchParams();
  const least = Number($("minimum").value);
  if ($("search").value.trim()) given.set("search", $("search").value.trim());
  if (least > 0 && least <= 100) given.set("minimum", String(least / 100));
  if ($("decision").value) given.set("decision", $("decision").value);
  if ($("reason").value) given.set("reason", $("reason").value);
  return given;
}

const query = (given) => (given.size ? `?${given}` : "");

// ---------------------------------------------------------------- rows

function line(reason) {
  return element("span", { className: "why" }, arrow(reason.contribution), reason.text);
}

function reasonsOf({ reasons }) {
  // Why they may leave comes first; they are stored by size, whichever way they point.
  const first = reasons.find((reason) => reason.contribution > 0) ?? reasons[0];
  const more = reasons.filter((reason) => reason !== first);
  if (!first) return element("span", { className: "quiet" }, "no reasons stored");
  if (!more.length) return line(first);
  return element("details", { className: "more" },
    element("summary", {}, line(first), element("span", { className: "tag" }, `+${more.length}`, element("span", { className: "sr" }, " more reasons"))),
    element("ul", {}, ...more.map((reason) => element("li", {}, line(reason)))));
}

function rowOf(customer, place) {
  const leaves = customer.churn_prediction === 1;
  const fill = element("span", { className: "fill" });
  fill.style.width = `${customer.churn_probability * 100}%`;
  const name = element("button", { type: "button", className: "link", dataset: { customer: customer.customer_id },
    attributes: { "aria-haspopup": "dialog" } }, customer.customer_id);
  // Roles as well: on a phone the rows are no table to the style sheet.
  const cell = (className, ...children) => element("td", { className, attributes: { role: "cell" } }, ...children);
  return element("tr", { attributes: { role: "row" } },
    cell("num", String(place + 1)),
    element("th", { className: "who", attributes: { scope: "row", role: "rowheader" } }, name),
    cell("chance", element("span", { className: leaves ? "p leave" : "p" }, element("b", {}, percent(customer.churn_probability)),
      element("span", { className: "gauge", attributes: { "aria-hidden": "true" } }, fill))),
    cell("done", element("span", { className: leaves ? "pill leave" : "pill" }, leaves ? "Contact" : "Leave be")),
    cell("earns", typeof customer.expected_profit === "number" ? money(customer.expected_profit) : "–"),
    cell("because", reasonsOf(customer)));
}

// ---------------------------------------------------------------- what surrounds them

function showCauses(customers) {
  const strongest = customers.map((c) => c.reasons.find((r) => r.contribution > 0)?.feature).filter(Boolean);
  if (strongest.every((name) => causes.has(name))) return;
  strongest.forEach((name) => causes.add(name));
  nameChoices();
}

function nameChoices() {
  const chosen = $("reason").value;
  const named = [...causes].map((name) => [name, meaning(name)]).sort((a, b) => a[1].localeCompare(b[1]));
  $("reason").replaceChildren(new Option("Any reason", ""), ...named.map(([name, text]) => new Option(text, name)));
  $("reason").value = chosen;
}

/** Reasons of more customers than are shown: to choose from. */
async function moreCauses(of) {
  const { ok, body } = await ask("/top?limit=200");
  if (ok && of === publication) showCauses(body.customers);
}

function showState() {
  const body = newest;
  $("list-lead").textContent = `As of ${day(body.as_of)}: ${plural(body.customers_scored, "customer")} scored by model version `
    + `${body.model_version}, ${whole(body.predicted_to_churn)} at or above the threshold of ${round(body.threshold)}.`;
  const old = `These scores are ${plural(body.age_days, "day")} old. A nightly scoring is missing, or the data ends there.`;
  const other = inProduction && inProduction !== body.model_version
    ? `Version ${inProduction} is in production since; the next nightly scoring uses it.` : "";
  notice($("list-notice"), body.stale ? old : other, "warn");
}

function showCount(body) {
  const { matching, customers_scored: all, customers } = body;
  const shown = matching > customers.length ? `; the ${whole(customers.length)} riskiest are shown` : "";
  $("count").textContent = `${whole(matching)} of ${plural(all, "customer")} match${matching === 1 ? "es" : ""}${shown}`;
  $("none").hidden = matching > 0;
  $("rows-table").hidden = matching === 0;
}

export async function loadList() {
  const mine = ++request;
  const given = filters();
  const path = query(given);
  given.set("limit", $("limit").value);
  let answer;
  try {
    answer = await ask(`/top?${given}`);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    return mine === request && notice($("list-notice"), error.message, "bad");
  }
  if (mine !== request) return;
  const { body } = answer;
  if (answer.status === 422) return notice($("list-notice"), body.detail?.[0]?.msg ?? "The API refused these filters.", "bad");
  if (!answer.ok) return notice($("list-notice"), "The score book does not answer now. The list comes back by itself.", "bad");
  const none = body.as_of === null;
  $("list-card").hidden = none;
  newest = none ? null : body;
  if (none) {
    $("list-lead").textContent = "From the newest nightly scores.";
    return notice($("list-notice"), "No scores yet. They appear here after the first nightly scoring.");
  }
  const now = `${body.as_of} ${body.published_at}`;
  if (now !== publication) {
    [publication, causes] = [now, new Set()];
    moreCauses(now).catch((error) => { if (!(error instanceof Away)) throw error; });
  }
  showState();
  showCauses(body.customers);
  showCount(body);
  $("export").href = urlOf(`/top.csv${path}`);
  $("export").dataset.path = `/top.csv${path}`;
  $("rows").replaceChildren(...body.customers.map(rowOf));
}

/** A link sends no header: with a key in use the file is fetched, and handed over from here. */
async function exportWithKey(event) {
  if (!keyInUse()) return;
  event.preventDefault();
  try {
    const { blob, name } = await file($("export").dataset.path);
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: name ?? "churn.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    notice($("list-notice"), error.message, "bad");
  }
}

/** ``version``: in production; null where there is none. */
export function setServing(version) {
  inProduction = version;
  if (newest) showState();
}

/** ``meanings``: what each feature means, by name. */
export function nameCauses(meanings) {
  meaning = (name) => capital(meanings.get(name) ?? name.replaceAll("_", " "));
  nameChoices();
}

export function startList() {
  const soon = later(loadList, 180);
  $("filters").addEventListener("input", soon);
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); loadList(); });
  $("filters").addEventListener("reset", soon);
  $("export").addEventListener("click", exportWithKey);
  $("rows").addEventListener("click", (event) => {
    const name = event.target.closest("[data-customer]");
    if (name) openCustomer(name.dataset.customer);
  });
}
