// The API key, where the service wants one: asked for once, kept until the tab is closed.

import { $ } from "./dom.js";

const NAME = "churn-api-key";
let asking = null; // one dialog for all that wait
let declined = false;

export const keyInUse = () => sessionStorage.getItem(NAME) ?? "";

/** Whether there is another key to try than the one that was refused; asks for it where there is none. */
export async function newKey(refused) {
  if (keyInUse() !== refused) return true;
  if (declined) return false;
  asking ??= fromDialog(refused !== "").finally(() => { asking = null; });
  return asking;
}

function fromDialog(wrong) {
  const dialog = $("key-dialog");
  $("key-fault").hidden = !wrong;
  $("key").value = "";
  wrong ? $("key").setAttribute("aria-invalid", "true") : $("key").removeAttribute("aria-invalid");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const key = $("key").value.trim();
      const given = dialog.returnValue === "given" && key !== "";
      if (given) sessionStorage.setItem(NAME, key);
      declined = !given;
      $("key-ask").hidden = given;
      resolve(given);
    }, { once: true });
  });
}

/** ``again`` is called when a key was given after all. */
export function watchKey(again) {
  $("key-ask").addEventListener("click", async () => {
    declined = false;
    if (await newKey(keyInUse())) again();
  });
}
