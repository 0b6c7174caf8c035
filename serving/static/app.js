// The page: asks the API on this host, shows what it says. No framework, nothing from elsewhere.

const API = "/api/churn";
const POLL_MS = 5000;
const $ = (id) => document.getElementById(id);

const GROUPS = [
  ["Activity", ["total_sessions", "avg_session_duration", "total_songs_played", "avg_songs_per_session"]],
  ["Reactions", ["thumbs_up_count", "thumbs_down_count", "thumbs_up_ratio", "thumbs_down_ratio"]],
  ["Collection and friends", ["add_playlist_count", "add_friend_count"]],
  ["Time and plan", ["time_since_last_activity", "days_since_registration", "is_paid_user"]],
];

const LABELS = {
  thumbs_up_count: "Thumbs up", thumbs_down_count: "Thumbs down", is_paid_user: "Plan",
  add_playlist_count: "Added to playlists", add_friend_count: "Friends added",
  time_since_last_activity: "Last seen", days_since_registration: "Registered for",
};

// Follow from the counts until someone types into them.
const DERIVED = {
  avg_songs_per_session: ["total_songs_played", "total_sessions"],
  thumbs_up_ratio: ["thumbs_up_count", "total_songs_played"],
  thumbs_down_ratio: ["thumbs_down_count", "total_songs_played"],
};

const UNITS = new Set(["seconds", "days"]);

const METRICS = [
  ["roc_auc", "ROC AUC", "How often a leaver is ranked above a stayer. 0.5 is chance, 1 is perfect."],
  ["precision_recall_auc", "PR AUC", "Ranking quality among the few who leave. Compare it with the churn rate, which is chance."],
  ["precision", "Precision", "Of those flagged, the share who really left."],
  ["recall", "Recall", "Of those who left, the share who were flagged."],
  ["f1_score", "F1 score", "Precision and recall in one number."],
  ["accuracy", "Accuracy", "Share of right decisions. High by itself where few leave."],
];

const state = { features: [], threshold: null, version: null, edited: new Set(), request: 0 };

function element(tag, properties = {}, ...children) {
  const { dataset, attributes, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, dataset);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

class Away extends Error {}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(API + path, { cache: "no-store", signal: AbortSignal.timeout(10_000), ...options });
  } catch {
    throw new Away("The API does not answer. It may be starting, or the connection is lost.");
  }
  const body = await answer.json().catch(() => ({}));
  const said = (name) => answer.headers.get(name);
  return { status: answer.status, ok: answer.ok, body, version: said("X-Model-Version"), model: said("X-Model") };
}

const NBSP = "\u00a0";
const percent = (p) => (p > 0 && p < 0.001 ? `< 0.1${NBSP}%` : p < 1 && p > 0.999 ? `> 99.9${NBSP}%` : `${(p * 100).toFixed(1)}${NBSP}%`);
const round = (p) => `${+(p * 100).toFixed(1)}${NBSP}%`;
const whole = (n) => n.toLocaleString("en-US");
const day = (iso) => new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const moment = (iso) => new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
const title = (name) => {
  const words = name.replace(/^avg_/, "average_").replaceAll("_", " ");
  return LABELS[name] ?? words[0].toUpperCase() + words.slice(1);
};

function notice(box, text, kind = "") {
  box.hidden = !text;
  box.textContent = text ?? "";
  box.className = `notice ${kind}`;
}

// ---------------------------------------------------------------- the form

function fieldOf(feature) {
  const { name } = feature;
  const fault = element("span", { className: "fault", id: `${name}-fault`, hidden: true });
  const help = element("span", { className: "help", id: `${name}-help` }, feature.meaning);
  if (DERIVED[name]) help.append(element("span", { className: "tag", id: `${name}-tag` }, "worked out"));
  const described = { "aria-describedby": `${name}-help ${name}-fault` };
  if (feature.kind === "flag") {
    const choice = (value, text) => element("label", {},
      element("input", { type: "radio", name, value, defaultChecked: feature.example === value, attributes: described }),
      element("span", {}, text));
    return element("div", { className: "field" },
      element("span", { className: "label", id: `${name}-label` }, title(name)),
      element("div", { className: "choice", attributes: { role: "radiogroup", "aria-labelledby": `${name}-label` } },
        choice(0, "Free"), choice(1, "Paid")),
      help, fault);
  }
  const input = element("input", {
    type: "text", id: name, name, defaultValue: String(feature.example), autocomplete: "off",
    inputMode: feature.whole ? "numeric" : "decimal", title: `Expected: ${feature.expected}`, attributes: described,
  });
  const unit = UNITS.has(feature.kind) ? [element("span", { className: "unit" }, feature.unit)] : [];
  return element("div", { className: "field" },
    element("label", { htmlFor: name }, title(name)), element("div", { className: "box" }, ...unit, input), help, fault);
}

function buildForm(features) {
  state.features = features.filter((f) => f.required);
  const known = new Map(state.features.map((f) => [f.name, f]));
  const grouped = new Set(GROUPS.flatMap(([, names]) => names));
  const rest = state.features.map((f) => f.name).filter((name) => !grouped.has(name));
  $("fields").replaceChildren(...[...GROUPS, ["More", rest]]
    .map(([legend, names]) => [legend, names.filter((name) => known.has(name))])
    .filter(([, names]) => names.length)
    .map(([legend, names]) => element("fieldset", {}, element("legend", {}, legend),
      element("div", { className: "grid" }, ...names.map((name) => fieldOf(known.get(name)))))));
  $("fields").setAttribute("aria-busy", "false");
  $("submit").disabled = false;
}

// A comma is what half of the world writes for a decimal point. What is no number is sent as it is: the API says why not.
function valueOf(name) {
  const text = String(new FormData($("form")).get(name) ?? "").trim();
  const number = Number(text.replace(/^(-?\d+),(\d+)$/, "$1.$2"));
  return text === "" ? null : Number.isFinite(number) ? number : text;
}

function derive() {
  for (const [name, [above, below]] of Object.entries(DERIVED)) {
    const input = $(name);
    if (!input) continue;
    const [a, b] = [valueOf(above), valueOf(below)];
    const follows = !state.edited.has(name) && typeof a === "number" && typeof b === "number";
    $(`${name}-tag`).hidden = state.edited.has(name);
    if (follows && a >= 0 && b >= 0) input.value = String(b > 0 ? +(a / b).toPrecision(6) : 0);
  }
}

function showFault(name, text) {
  const fault = $(`${name}-fault`);
  if (!fault) return false;
  fault.textContent = text;
  fault.hidden = !text;
  for (const input of document.getElementsByName(name)) {
    text ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
  }
  return true;
}

function clearFaults() {
  for (const { name } of state.features) showFault(name, "");
  $("result-error").hidden = true;
}

function showProblems(problems) {
  const elsewhere = problems.filter((p) => !showFault(p.field, p.found === "null"
    ? `Please fill this in: ${p.expected}.` : `Expected ${p.expected}.`));
  const first = problems.find((p) => $(`${p.field}-fault`));
  if (first) document.getElementsByName(first.field)[0]?.focus();
  const count = problems.length - elsewhere.length;
  const said = [count ? `${plural(count, "field needs", "fields need")} a look.` : "", ...elsewhere.map((p) => p.msg)];
  showFailure(said.filter(Boolean).join(" "));
}

function showFailure(text) {
  if ($("result").dataset.state !== "empty") $("result").dataset.state = "old";
  notice($("result-error"), text, "bad");
}

async function score(event) {
  event.preventDefault();
  const mine = ++state.request;
  clearFaults();
  $("submit").disabled = true;
  try {
    const customer = Object.fromEntries(state.features.map((f) => [f.name, valueOf(f.name)]));
    const answer = await ask("/predict", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(customer),
    });
    if (mine !== state.request) return;
    if (answer.ok) await showResult(answer);
    else if (answer.status === 422 && Array.isArray(answer.body.detail)) showProblems(answer.body.detail);
    else if (answer.status === 503) showFailure("There is no model yet. Scoring works as soon as one is promoted.");
    else showFailure(`The API answered with an error (${answer.status}).`);
  } catch (error) {
    showFailure(error instanceof Away ? error.message : "The page failed to show the answer.");
  } finally {
    $("submit").disabled = false;
  }
}

async function showResult({ body: { churn_probability: p, churn_prediction: leaves }, version, model }) {
  if (version !== state.version) await loadModel(); // promoted a moment ago: the threshold may be another one
  $("result").dataset.state = leaves ? "leave" : "stay";
  $("result-empty").hidden = true;
  $("result-body").hidden = false;
  $("probability").textContent = percent(p);
  $("gauge-fill").style.width = `${p * 100}%`;
  $("verdict").textContent = leaves ? "Likely to leave: contact this customer" : "Likely to stay: no contact needed";
  $("result-model").textContent = version ? `Scored by the ${model} model of version ${version}.` : "";
  showThreshold(p, leaves);
  $("result").scrollIntoView({ block: "nearest" });
}

function showThreshold(p, leaves) {
  const t = state.threshold;
  $("gauge-mark").hidden = $("gauge-threshold").hidden = t === null;
  const said = `Probability of leaving ${percent(p)}`;
  $("gauge").setAttribute("aria-label", t === null ? said : `${said}; the threshold is ${round(t)}`);
  if (t === null) return;
  $("gauge-mark").style.left = `${t * 100}%`;
  $("gauge-threshold").style.left = `${Math.min(78, Math.max(22, t * 100))}%`;
  $("gauge-threshold").textContent = `threshold ${round(t)}`;
  $("result-why").textContent = leaves
    ? `At or above the threshold of ${round(t)}, a contact is expected to earn more than it costs.`
    : `Below the threshold of ${round(t)}, a contact is expected to cost more than it earns.`;
}

function resetForm() {
  state.edited.clear();
  state.request += 1;
  clearFaults();
  $("result").dataset.state = "empty";
  $("result-body").hidden = true;
  $("result-empty").hidden = false;
  requestAnimationFrame(derive);
}

// ---------------------------------------------------------------- the list

function rowOf(customer, place) {
  const leaves = customer.churn_prediction === 1;
  const fill = element("div", { className: "fill" });
  fill.style.width = `${customer.churn_probability * 100}%`;
  return element("tr", {},
    element("td", { className: "num" }, String(place + 1)),
    element("th", { attributes: { scope: "row" } }, customer.customer_id),
    element("td", {}, element("div", { className: leaves ? "p leave" : "p" },
      element("b", {}, percent(customer.churn_probability)),
      element("div", { className: "gauge", attributes: { "aria-hidden": "true" } }, fill))),
    element("td", {}, element("span", { className: leaves ? "pill leave" : "pill" }, leaves ? "Contact" : "Leave be")));
}

async function loadList() {
  let answer;
  try {
    answer = await ask(`/top?limit=${$("limit").value}`);
  } catch (error) {
    return notice($("list-notice"), error.message, "bad");
  }
  const { body } = answer;
  if (!answer.ok) return notice($("list-notice"), "The score book does not answer now. The list comes back by itself.", "bad");
  $("list-card").hidden = body.customers.length === 0;
  if (body.as_of === null) {
    $("list-lead").textContent = "From the newest nightly scores.";
    return notice($("list-notice"), "No scores yet. They appear here after the first nightly scoring.");
  }
  $("list-lead").textContent = `As of ${day(body.as_of)}: ${plural(body.customers_scored, "customer")} scored by model version `
    + `${body.model_version}, ${whole(body.predicted_to_churn)} at or above the threshold of ${round(body.threshold)}.`;
  const old = `These scores are ${plural(body.age_days, "day")} old. A nightly scoring is missing, or the data ends there.`;
  const other = state.version && state.version !== body.model_version
    ? `Version ${state.version} is in production since; the next nightly scoring uses it.` : "";
  const said = body.stale ? old : body.customers.length ? other : "No customer was at risk that night.";
  notice($("list-notice"), said, body.stale || other ? "warn" : "");
  $("rows").replaceChildren(...body.customers.map(rowOf));
}

// ---------------------------------------------------------------- the model

function fact(name, value, small = "") {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value, small ? element("small", {}, small) : ""));
}

function noModel() {
  state.threshold = state.version = null;
  $("model-body").hidden = true;
  notice($("model-notice"), "No model yet. It appears here by itself as soon as a version is promoted to Production.");
}

async function loadModel() {
  let info, metrics;
  try {
    [info, metrics] = await Promise.all([ask("/model/info"), ask("/model/metrics")]);
  } catch (error) {
    return notice($("model-notice"), error.message, "bad");
  }
  if (!info.ok || !metrics.ok) return noModel();
  $("model-body").hidden = false;
  notice($("model-notice"), "");
  const m = info.body;
  const nightly = m.models.full ?? m.models.core; // its metrics are the ones below
  state.threshold = m.threshold; // of the form's model
  state.version = m.model_version;
  const { holdout_customers: held, holdout_churned: left, holdout_snapshot: when } = m.origin;
  $("model-lead").textContent = "What makes the nightly list, and how good it is on a later date than it was trained on"
    + (held && left ? `: ${plural(Number(held), "customer")}${when ? ` as of ${day(when)}` : ""}, of whom ${whole(Number(left))} left.` : ".");
  const strongest = Object.entries(nightly.importance).filter(([, share]) => share > 0).slice(0, 3);
  $("facts").replaceChildren(
    fact("Version", m.model_version, `registered ${moment(m.last_updated)}`),
    fact("Serving since", moment(m.serving_since)),
    fact("Kind of model", nightly.model_type, `on ${plural(nightly.features.length, "feature")}; the form above uses ${m.features.length}`),
    fact("Threshold", round(nightly.threshold), "from here on a contact is expected to pay"),
    fact("Trained on", plural(nightly.trained_on_customers, "customer"), `${plural(nightly.trained_on_rows, "row")}, ${round(nightly.churn_rate)} of them left`),
    fact("Leans most on", strongest.map(([name]) => title(name).toLowerCase()).join(", ") || "–"));
  $("tiles").replaceChildren(...METRICS.map(([name, label, help]) => {
    const value = metrics.body[name];
    return element("div", { className: "card tile" }, element("h3", {}, label),
      element("strong", {}, typeof value === "number" ? value.toFixed(3) : "–"), element("p", { className: "quiet" }, help));
  }));
}

// ---------------------------------------------------------------- health, and what follows from its changes

let seen = "";

async function watch() {
  let text, kind;
  try {
    const { body: health } = await ask("/health");
    if (!health.model_loaded) [text, kind] = ["Waiting for a model", "warn"];
    else if (health.registry_reachable === false) [text, kind] = [`Version ${health.model_version}; registry away`, "warn"];
    else if (health.last_error) [text, kind] = [`Version ${health.model_version}; a newer one was not taken`, "warn"];
    else [text, kind] = [`Healthy, version ${health.model_version}`, "good"];
    $("health").title = health.last_error ?? health.model_note ?? "";
    const now = JSON.stringify([health.model_version, health.model_since, health.scores_as_of, health.customers_scored, health.scores_reachable]);
    if (now !== seen || !state.features.length) await refresh(health.model_loaded);
    seen = now;
  } catch (error) {
    [text, kind, seen] = ["API away", "bad", ""];
    if (!(error instanceof Away)) throw error;
  } finally {
    if (text) {
      if ($("health-text").textContent !== text) $("health-text").textContent = text;
      $("health").dataset.state = kind;
    }
    setTimeout(watch, document.hidden ? 6 * POLL_MS : POLL_MS);
  }
}

async function refresh(modelLoaded) {
  const form = state.features.length ? null : ask("/features").then((answer) => answer.ok && buildForm(answer.body));
  await Promise.all([form, modelLoaded ? loadModel() : noModel(), loadList()]);
}

$("form").addEventListener("submit", score);
$("form").addEventListener("reset", resetForm);
$("form").addEventListener("input", (event) => {
  const { name } = event.target;
  if (name in DERIVED) event.target.value.trim() ? state.edited.add(name) : state.edited.delete(name);
  showFault(name, "");
  if (!(name in DERIVED)) derive();
  else $(`${name}-tag`).hidden = state.edited.has(name);
  if (["stay", "leave"].includes($("result").dataset.state)) $("result").dataset.state = "old";
});
$("limit").addEventListener("change", loadList);
watch();
