// Follows Airflow's own switch between light and dark, whose page stands around this one; alone, the system's.
(() => {
  let around = null;
  try {
    if (window.parent !== window) around = window.parent.document.documentElement;
  } catch {
    around = null; // a page of another site, which may not be asked
  }
  if (around === null) return;
  const follow = () => {
    const theme = ["dark", "light"].find((name) => around.classList.contains(name));
    if (theme) document.documentElement.dataset.theme = theme;
  };
  follow();
  new MutationObserver(follow).observe(around, { attributes: true, attributeFilter: ["class"] });
})();
