// Loads the parts of an admin page that come after the page, and copies a command to the clipboard.
"use strict";

const TIMEOUT_MS = 5000;

async function load(place) {
  const waiting = place.querySelector("[data-waiting]");
  const failed = place.querySelector("[data-failed]");
  if (waiting) {
    failed.hidden = true;
    waiting.hidden = false;
  }
  try {
    const response = await fetch(place.dataset.load, {
      headers: { "X-Requested-With": "fetch" },
      redirect: "error", // a redirect leads to the login page, which must not be inserted here
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(String(response.status));
    place.innerHTML = await response.text(); // rendered by our own template, which escapes its values
    offerCopies(place);
    loadAgain(place);
  } catch {
    if (!waiting) return loadAgain(place); // what was loaded before stays, and is asked for again
    waiting.hidden = true;
    failed.hidden = false; // the link to the same list
  }
}

function loadAgain(place) {
  const unfinished = place.querySelector("[data-again]"); // milliseconds until there may be more
  if (unfinished) setTimeout(() => load(place), Number(unfinished.dataset.again));
}

function offerCopies(within) {
  if (!navigator.clipboard) return; // browsers offer it over https only; the command can be selected by hand
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
