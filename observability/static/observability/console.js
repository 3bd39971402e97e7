// Amani's own parts of the admin that need a script: what loads after the page, and copying a command.
"use strict";

const PATIENCE_MS = 5000;

async function load(place) {
  const waiting = place.querySelector("[data-waiting]");
  const failed = place.querySelector("[data-failed]");
  failed.hidden = true;
  waiting.hidden = false;
  try {
    const answer = await fetch(place.dataset.load, {
      headers: { "X-Requested-With": "fetch" },
      redirect: "error", // to the login: its page does not belong here
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    place.innerHTML = await answer.text(); // our own template, which escapes what is in it
    offerCopies(place);
  } catch {
    waiting.hidden = true;
    failed.hidden = false; // the link to the same list
  }
}

function offerCopies(within) {
  if (!navigator.clipboard) return; // without https there is none; the command can be selected
  for (const button of within.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.querySelector(".am-copy-word").textContent = "Copied";
});

offerCopies(document);
document.querySelectorAll("[data-load]").forEach(load);
