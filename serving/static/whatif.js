// What if: the score and its reasons of the customer in the form, while it changes.

import { ask, Away } from "./api.js";
import { bars } from "./bars.js";
import { $, element, later, notice, onFrame } from "./dom.js";
import { clearFaults, customer, showFault, startForm } from "./form.js";
import { gauge, verdict, why } from "./gauge.js";
import { percent, plural } from "./words.js";

let busy = false;
let wanted = false;
let said = "";

// A reader of the screen hears the result when it has come to rest, not every step on the way.
const speak = later(() => { $("spoken").textContent = said; }, 900);

function showResult({ churn_probability: p, churn_prediction: leaves, threshold, reasons, others, model }, version) {
  $("result").dataset.state = leaves ? "leave" : "stay";
  $("result-empty").hidden = true;
  $("result-body").hidden = false;
  $("probability").textContent = $("mini-probability").textContent = percent(p);
  $("gauge").replaceChildren(...gauge(p, threshold));
  $("verdict").textContent = verdict(leaves);
  $("mini-verdict").textContent = leaves ? "likely to leave" : "likely to stay";
  $("result-why").textContent = why(leaves, threshold);
  $("result-model").textContent = version ? `Scored by the ${model} model of version ${version}.` : "";
  $("result-reasons").replaceChildren(...(reasons.length
    ? bars(reasons, { others, least: 1.5 }) : [element("li", { className: "quiet" }, "An average customer: no feature stands out.")]));
  $("mini").hidden = false;
  said = `${percent(p)} probability of leaving: ${leaves ? "likely to leave" : "likely to stay"}.`;
  speak();
}

function showFailure(text) {
  if ($("result").dataset.state !== "empty") $("result").dataset.state = "old";
  $("mini").hidden = true;
  notice($("result-error"), text, "bad");
  said = text;
  speak();
}

function showProblems(problems) {
  const elsewhere = problems.filter((p) => !showFault(p.field, p.found === "null"
    ? `Please fill this in: ${p.expected}.` : `Expected ${p.expected}.`));
  const count = problems.length - elsewhere.length;
  const texts = [count ? `${plural(count, "field needs", "fields need")} a look.` : "", ...elsewhere.map((p) => p.msg)];
  showFailure(texts.filter(Boolean).join(" "));
}

async function score() {
  if (busy) return; // asked again when the answer is there, with what the form holds then
  [busy, wanted] = [true, false];
  try {
    const answer = await ask("/explain?reasons=6", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(customer()),
    });
    clearFaults();
    notice($("result-error"), "");
    if (answer.ok) showResult(answer.body, answer.version);
    else if (answer.status === 422 && Array.isArray(answer.body.detail)) showProblems(answer.body.detail);
    else if (/no model/.test(answer.body.detail)) showFailure("There is no model yet. Scoring works as soon as one is promoted.");
    else if (answer.status === 429 || answer.status === 503) showFailure("The API is busy. Move a slider to try again.");
    else showFailure(`The API answered with an error (${answer.status}).`);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    showFailure(error.message);
  } finally {
    busy = false;
    if (wanted) soon();
  }
}

const soon = onFrame(score);
const typed = later(() => want(), 250); // half a number is no fault yet

export function want() {
  wanted = true;
  soon();
}

export function startWhatIf() {
  startForm((moved) => (moved ? want() : typed()));
}
