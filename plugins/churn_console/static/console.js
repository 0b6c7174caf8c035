// Links out of the frame, the map's hidden rows, and the rollback. Everything else works without a script.

// Airflow's frame forbids to leave it; a link in Airflow's own page may.
for (const link of document.querySelectorAll("a[data-top]")) {
  link.addEventListener("click", (event) => {
    if (window.parent === window || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    leaveTo(link.href);
  });
}

function leaveTo(address) {
  const page = window.parent.document;
  const link = page.createElement("a");
  link.href = address;
  page.body.append(link);
  link.click();
  link.remove();
}

for (const button of document.querySelectorAll("button[data-shows]")) {
  const rows = document.getElementById(button.dataset.shows);
  button.hidden = false;
  rows.hidden = true;
  button.addEventListener("click", () => {
    rows.hidden = !rows.hidden;
    button.setAttribute("aria-expanded", String(!rows.hidden));
    button.textContent = rows.hidden ? button.dataset.more : button.dataset.fewer;
  });
}

// A wide table shows its newest night first to look at.
for (const wide of document.querySelectorAll("[data-end]")) wide.scrollLeft = wide.scrollWidth;

document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const form = document.getElementById("rollback-form");
if (form) rollbackBy(form);

function rollbackBy(form) {
  const ask = document.getElementById("rollback-ask");
  const said = document.getElementById("rollback-said");
  const words = document.getElementById("rollback-words");

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!form.reportValidity()) return;
    const why = form.elements.why;
    why.setCustomValidity(why.value.trim() ? "" : "Say why: it is kept in the ledger.");
    if (!why.reportValidity()) return;
    const version = form.elements.version;
    words.textContent = `${version.options[version.selectedIndex].text} goes into production. Reason: ${why.value.trim()}`;
    ask.showModal();
  });
  form.elements.why.addEventListener("input", () => form.elements.why.setCustomValidity(""));
  document.getElementById("rollback-no").addEventListener("click", () => ask.close());
  document.getElementById("rollback-yes").addEventListener("click", async () => {
    ask.close();
    form.elements.send.disabled = true;
    try {
      await rollBack(form);
    } catch (error) {
      say("bad", error.message);
    }
    form.elements.send.disabled = false;
  });

  async function rollBack(form) {
    say("", "Asking Airflow …");
    const answer = await fetch(form.dataset.action, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ version: form.elements.version.value || null, why: form.elements.why.value }),
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(typeof found.detail === "string" ? found.detail : `Refused (${answer.status})`);
    for (let state = "queued"; ; ) {
      say("", `rollback_model is ${state}. `, found.page);
      await new Promise((done) => setTimeout(done, 1500));
      const run = await fetch(found.state, { headers: { Accept: "application/json" } });
      if (!run.ok) throw new Error(`Started as ${found.run_id}, and Airflow does not say what became of it (${run.status}).`);
      state = (await run.json()).state;
      if (state === "success") return say("good", "Done. Reload the page to see the new history. ", found.page);
      if (state === "failed") return say("bad", "The run failed, and its log says why. ", found.page);
    }
  }

  function say(kind, text, page) {
    said.className = `verdict ${kind}`;
    said.hidden = false;
    said.replaceChildren(text);
    if (page) {
      const link = document.createElement("a");
      link.href = page;
      link.textContent = "The run in Airflow";
      link.addEventListener("click", (event) => {
        if (window.parent === window) return;
        event.preventDefault();
        leaveTo(link.href);
      });
      said.append(link);
    }
  }
}
