// The fields of the what-if form: a number and a slider each, made from what the API says of its features.

import { $, element } from "./dom.js";
import { title } from "./words.js";

const GROUPS = [
  ["Activity", ["total_sessions", "avg_session_duration", "total_songs_played", "avg_songs_per_session"]],
  ["Reactions", ["thumbs_up_count", "thumbs_down_count", "thumbs_up_ratio", "thumbs_down_ratio"]],
  ["Collection and friends", ["add_playlist_count", "add_friend_count"]],
  ["Time and plan", ["time_since_last_activity", "days_since_registration", "is_paid_user"]],
];

// Follow from the counts until someone types into them.
const DERIVED = {
  avg_songs_per_session: ["total_songs_played", "total_sessions"],
  thumbs_up_ratio: ["thumbs_up_count", "total_songs_played"],
  thumbs_down_ratio: ["thumbs_down_count", "total_songs_played"],
};

const UNITS = new Set(["seconds", "days"]);
const STOPS = 120;
const BEND = 5; // the middle of a slider stands at a thirteenth of its end

let features = [];
const stops = new Map(); // feature → the values that its slider stops at
const edited = new Set();

/** A slider reaches fifty times the usual value (a ratio: 1); the number field takes the whole range. */
function stopsOf({ kind, whole, example, minimum, maximum }) {
  const top = Math.min(maximum, kind === "ratio" ? 1 : (example || 1) * (kind === "seconds" ? 10 : 50));
  const values = Array.from({ length: STOPS + 1 }, (_, i) => {
    const value = minimum + ((top - minimum) * Math.expm1((BEND * i) / STOPS)) / Math.expm1(BEND);
    return whole && value < 100 ? Math.round(value) : +value.toPrecision(value < 10 && !whole ? 2 : 3);
  });
  return [...new Set(values)];
}

function choiceOf(feature, help, fault, attributes) {
  const { name } = feature;
  const choice = (value, text) => element("label", {},
    element("input", { type: "radio", name, value, defaultChecked: feature.example === value, attributes }), element("span", {}, text));
  return element("div", { className: "field" }, element("span", { className: "label", id: `${name}-label` }, title(name)),
    element("div", { className: "choice", attributes: { role: "radiogroup", "aria-labelledby": `${name}-label` } }, choice(0, "Free"), choice(1, "Paid")),
    element("span"), help, fault);
}

function fieldOf(feature) {
  const { name } = feature;
  const fault = element("span", { className: "fault", id: `${name}-fault`, hidden: true });
  const help = element("span", { className: "help", id: `${name}-help` }, feature.meaning);
  if (DERIVED[name]) help.append(element("span", { className: "tag", id: `${name}-tag` }, "worked out"));
  const described = { "aria-describedby": `${name}-help ${name}-fault` };
  if (feature.kind === "flag") return choiceOf(feature, help, fault, described);
  const input = element("input", {
    type: "text", id: name, name, defaultValue: String(feature.example), autocomplete: "off",
    inputMode: feature.whole ? "numeric" : "decimal", title: `Expected: ${feature.expected}`, attributes: described,
  });
  stops.set(name, stopsOf(feature));
  const slider = element("input", {
    type: "range", min: "0", max: String(stops.get(name).length - 1), step: "1", id: `${name}-slider`,
    dataset: { slider: name }, attributes: { "aria-label": `${title(name)}, slider` },
  });
  const unit = UNITS.has(feature.kind) ? [element("span", { className: "unit" }, feature.unit)] : [];
  return element("div", { className: "field" },
    element("label", { htmlFor: name }, title(name)), element("div", { className: "box" }, ...unit, input), slider, help, fault);
}

// A comma is what half of the world writes for a decimal point. What is no number is sent as it is: the API says why not.
function valueOf(name) {
  const text = String(new FormData($("form")).get(name) ?? "").trim();
  const number = Number(text.replace(/^(-?\d+),(\d+)$/, "$1.$2"));
  return text === "" ? null : Number.isFinite(number) ? number : text;
}

export const customer = () => Object.fromEntries(features.map(({ name }) => [name, valueOf(name)]));

function derive() {
  for (const [name, [above, below]] of Object.entries(DERIVED)) {
    const input = $(name);
    if (!input) continue;
    const [a, b] = [valueOf(above), valueOf(below)];
    const follows = !edited.has(name) && typeof a === "number" && typeof b === "number";
    $(`${name}-tag`).hidden = edited.has(name);
    if (follows && a >= 0 && b >= 0) input.value = String(b > 0 ? +(a / b).toPrecision(6) : 0);
  }
}

/** Sliders stand where the numbers are; the one that is being dragged is left alone. */
function follow(dragged) {
  for (const [name, values] of stops) {
    const value = valueOf(name);
    const slider = $(`${name}-slider`);
    slider.setAttribute("aria-valuetext", String(value ?? "empty"));
    if (name === dragged || typeof value !== "number") continue;
    slider.value = String(values.reduce((near, stop, i) => (Math.abs(stop - value) < Math.abs(values[near] - value) ? i : near), 0));
  }
}

export function showFault(name, text) {
  const fault = $(`${name}-fault`);
  if (!fault) return false;
  fault.textContent = text;
  fault.hidden = !text;
  for (const input of document.getElementsByName(name)) {
    text ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
  }
  return true;
}

export function clearFaults() {
  for (const { name } of features) showFault(name, "");
}

/** ``all``: what the API knows of its features. Those that every request brings become fields. */
export function buildForm(all) {
  features = all.filter((f) => f.required);
  const known = new Map(features.map((f) => [f.name, f]));
  const grouped = new Set(GROUPS.flatMap(([, names]) => names));
  const rest = features.map((f) => f.name).filter((name) => !grouped.has(name));
  $("fields").replaceChildren(...[...GROUPS, ["More", rest]]
    .map(([legend, names]) => [legend, names.filter((name) => known.has(name))])
    .filter(([, names]) => names.length)
    .map(([legend, names]) => element("fieldset", {}, element("legend", {}, legend),
      element("div", { className: "grid" }, ...names.map((name) => fieldOf(known.get(name)))))));
  $("fields").setAttribute("aria-busy", "false");
  follow();
}

/** ``changed(moved)``: a value is another one; ``moved``: by a slider or a click, not by typing. */
export function startForm(changed) {
  $("form").addEventListener("submit", (event) => { event.preventDefault(); changed(true); });
  $("form").addEventListener("reset", () => {
    edited.clear();
    // The fields have their first values back once the event is over.
    requestAnimationFrame(() => { derive(); follow(); changed(true); });
  });
  $("form").addEventListener("input", ({ target }) => {
    const name = target.dataset.slider ?? target.name;
    if (target.dataset.slider) $(name).value = String(stops.get(name)[Number(target.value)]);
    if (name in DERIVED) $(name).value.trim() ? edited.add(name) : edited.delete(name);
    showFault(name, "");
    derive();
    follow(target.dataset.slider);
    changed(target.type !== "text");
  });
}
