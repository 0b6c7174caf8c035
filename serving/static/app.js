// The page: asks the API on this host, shows what it says. No framework, nothing from elsewhere.

import { ask, Away, NoKey } from "./api.js";
import { startCustomer } from "./customer.js";
import { $, notice } from "./dom.js";
import { buildForm } from "./form.js";
import { watchKey } from "./key.js";
import { loadList, nameCauses, setServing, startList } from "./list.js";
import { loadModel, noModel } from "./model.js";
import { loadMonitoring, nameColumns } from "./monitoring.js";
import { loadProfit, startProfit } from "./profit.js";
import { startWhatIf, want } from "./whatif.js";

const POLL_MS = 5000;
const CHECKS_MS = 60_000; // the nightly checks come after the scores, and health does not tell of them

let seen = "";
let named = false;

function stateOf(health) {
  const version = `version ${health.model_version}`;
  if (!health.model_loaded) return ["Waiting for a model", "warn"];
  if (health.draining) return ["Shutting down", "warn"];
  if (health.registry_reachable === false) return [`Version ${health.model_version}; registry away`, "warn"];
  if (health.last_error) return [`Version ${health.model_version}; a newer one was not taken`, "warn"];
  return [health.challenger_version ? `Healthy, ${version}, trying ${health.challenger_version}` : `Healthy, ${version}`, "good"];
}

async function names() {
  const { ok, body } = await ask("/features");
  if (!ok) return;
  const meanings = new Map(body.map((f) => [f.name, f.meaning]));
  nameCauses(meanings);
  nameColumns(meanings);
  buildForm(body);
  named = true;
}

async function refresh(loaded) {
  if (!loaded) noModel();
  const described = named ? Promise.resolve() : names();
  await Promise.all([
    loadList(),
    loadProfit(),
    loaded ? loadModel().then(setServing) : setServing(null),
    described.then(() => { if (named) want(); return loadMonitoring(); }),
  ]);
}

async function look() {
  let text, kind;
  try {
    const { body: health } = await ask("/health");
    [text, kind] = stateOf(health);
    $("health").title = health.last_error ?? health.challenger_note ?? health.model_note ?? "";
    const now = JSON.stringify([health.model_version, health.model_since, health.scores_published_at, health.scores_reachable]);
    if (now !== seen || !named) await refresh(health.model_loaded);
    seen = now;
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    const locked = error instanceof NoKey;
    [text, kind, seen] = [locked ? "Key needed" : "API away", locked ? "warn" : "bad", ""];
    if (locked) notice($("list-notice"), error.message, "warn");
  }
  if ($("health-text").textContent !== text) $("health-text").textContent = text;
  $("health").dataset.state = kind;
}

async function watch() {
  try {
    await look();
  } finally {
    setTimeout(watch, document.hidden ? 6 * POLL_MS : POLL_MS);
  }
}

startList();
startCustomer();
startProfit();
startWhatIf();
watchKey(look);
setInterval(() => { if (!document.hidden && named) loadMonitoring(); }, CHECKS_MS);
watch();
