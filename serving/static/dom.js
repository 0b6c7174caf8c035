// Making and finding elements.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const { dataset, attributes, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, dataset);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function notice(box, text, kind = "") {
  box.hidden = !text;
  if (box.textContent !== (text ?? "")) box.textContent = text ?? "";
  box.className = `notice ${kind}`;
}

/** A table of text; the first column names the row. */
export function table(caption, columns, rows) {
  const cell = (text, column) => (column ? element("td", {}, text) : element("th", { attributes: { scope: "row" } }, text));
  return element("table", { className: "figures" }, element("caption", { className: "sr" }, caption),
    element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { attributes: { scope: "col" } }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))));
}

/** Runs at most once a frame, however often it is called. */
export function onFrame(run) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; run(); });
  };
}

export function later(run, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(run, milliseconds); };
}
