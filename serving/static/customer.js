// One customer's last score, in a dialog.

import { ask, Away } from "./api.js";
import { bars } from "./bars.js";
import { $, element, notice } from "./dom.js";
import { gauge, verdict, why } from "./gauge.js";
import { day, money, percent, plural } from "./words.js";

let request = 0;

function contentOf(found) {
  const leaves = found.churn_prediction === 1;
  const profit = typeof found.expected_profit === "number"
    ? [element("p", { className: "quiet" }, `Expected profit of a contact: ${money(found.expected_profit)}.`)] : [];
  const old = found.stale ? [element("p", { className: "notice warn" }, `This score is ${plural(found.age_days, "day")} old.`)] : [];
  const reasons = found.reasons.length
    ? [element("h3", {}, "What makes this score"), element("ul", { className: "bars" }, ...bars(found.reasons)),
      element("p", { className: "quiet" }, "How much each multiplies (×) or divides (÷) the odds of leaving, against the average customer.")]
    : [element("p", { className: "quiet" }, "No reasons were stored with this publication.")];
  return element("div", { className: leaves ? "scored leave" : "scored" }, ...old,
    element("p", { className: "big" }, element("span", {}, percent(found.churn_probability)), element("span", { className: "unit" }, "probability of leaving")),
    ...gauge(found.churn_probability, found.threshold),
    element("p", { className: "verdict" }, verdict(leaves)),
    element("p", { className: "quiet" }, why(leaves, found.threshold)), ...profit, ...reasons,
    element("p", { className: "quiet foot-note" }, `Scored as of ${day(found.as_of)} by model version ${found.model_version}.`));
}

export async function openCustomer(id) {
  const mine = ++request;
  $("customer-title").textContent = `Customer ${id}`;
  $("customer-body").replaceChildren(element("p", { className: "quiet" }, "Loading…"));
  if (!$("customer").open) $("customer").showModal();
  const fault = (text) => {
    const box = element("p");
    notice(box, text, "bad");
    return box;
  };
  let content;
  try {
    const { ok, status, body } = await ask(`/customers/${encodeURIComponent(id)}`);
    content = ok ? contentOf(body) : fault(status === 404 ? "This customer has no score." : "The score book does not answer now.");
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    content = fault(error.message);
  }
  if (mine === request) $("customer-body").replaceChildren(content);
}

export function startCustomer() {
  $("customer-close").addEventListener("click", () => $("customer").close());
  // A click beside the dialog closes it, as people expect of a sheet.
  $("customer").addEventListener("click", (event) => { if (event.target === $("customer")) $("customer").close(); });
}
