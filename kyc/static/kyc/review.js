// The review queue's keys, and images that zoom, turn and move. Without it every button and link still works.
"use strict";

const STEP = 1.25;
const LARGEST = 12;

// --- Images ---

class Pane {
  constructor(figure) {
    this.figure = figure;
    this.stage = figure.querySelector("[data-stage]");
    this.image = this.stage.querySelector("img");
    this.reset();
    figure.querySelector(".kyc-tools").hidden = false;
    figure.addEventListener("click", (event) => this.use(event.target.closest("[data-tool]")?.dataset.tool));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.drag(event));
    this.stage.addEventListener("dblclick", () => this.use("whole"));
    this.stage.addEventListener("focus", () => choose(this));
  }

  use(tool) {
    choose(this);
    if (tool === "in") this.zoom(STEP);
    if (tool === "out") this.zoom(1 / STEP);
    if (tool === "turn") this.turn();
    if (tool === "reset") this.reset();
    if (tool === "whole") this.whole();
  }

  zoom(factor, x = 0, y = 0) { // x, y from the middle of the stage: that point stays where it is
    const scale = Math.min(LARGEST, Math.max(1, this.scale * factor));
    const real = scale / this.scale;
    this.x = x - (x - this.x) * real;
    this.y = y - (y - this.y) * real;
    this.scale = scale;
    if (scale === 1) this.x = this.y = 0;
    this.draw();
  }

  turn() {
    this.turns += 1;
    this.draw();
  }

  reset() {
    this.scale = 1;
    this.x = this.y = this.turns = 0;
    this.draw();
  }

  whole() {
    const is = this.figure.classList.toggle("kyc-whole");
    document.documentElement.classList.toggle("kyc-still", is);
    this.reset();
  }

  wheel(event) {
    if (chosen !== this) return; // scrolls the page until the image is selected
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const factor = event.deltaY < 0 ? STEP : 1 / STEP;
    this.zoom(factor, event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  }

  drag(event) {
    choose(this);
    if (this.scale === 1) return;
    const start = { x: event.clientX - this.x, y: event.clientY - this.y };
    const move = (moved) => {
      this.x = moved.clientX - start.x;
      this.y = moved.clientY - start.y;
      this.draw();
    };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", move);
    this.stage.addEventListener("lostpointercapture", () => this.stage.removeEventListener("pointermove", move), { once: true });
  }

  draw() {
    const scale = this.scale * (this.turns % 2 ? this.lyingFit() : 1);
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) rotate(${this.turns * 90}deg) scale(${scale})`;
    this.stage.classList.toggle("kyc-zoomed", this.scale > 1);
  }

  lyingFit() { // the image fits upright; what it takes to fit on its side
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const { clientWidth: room, clientHeight: tall } = this.stage;
    if (!width || !room) return 1;
    return Math.min(room / height, tall / width) / Math.min(room / width, tall / height);
  }

  get isSeen() {
    return this.stage.offsetParent !== null || this.figure.classList.contains("kyc-whole");
  }
}

let chosen = null;

function choose(pane) {
  chosen?.figure.classList.remove("kyc-chosen");
  chosen = pane;
  pane.figure.classList.add("kyc-chosen");
}

const figures = [...document.querySelectorAll("[data-pane]")]; // a PDF is a figure, but the browser's own viewer zooms it
const panes = figures.filter((figure) => figure.querySelector("[data-stage]")).map((figure) => new Pane(figure));
const IMAGE_KEYS = { "+": "in", "=": "in", "-": "out", o: "turn", 0: "reset", z: "whole" };

function imageKey(key) {
  const seen = panes.filter((pane) => pane.isSeen);
  const wanted = seen.find((pane) => pane.figure === figures[Number(key) - 1]);
  if (wanted) {
    wanted.stage.focus();
    return true;
  }
  const tool = IMAGE_KEYS[key];
  const pane = seen.includes(chosen) ? chosen : seen[0];
  if (!tool || !pane) return false;
  pane.use(tool);
  return true;
}

// --- Actions ---

const keys = document.querySelector("[data-keys]");

function press(control) {
  if ("help" in control.dataset) return keys.showModal();
  control.click(); // a summary opens its form
  const form = control.closest("details[open]")?.querySelector("form");
  if (form) (form.querySelector("[required]") ?? form.querySelector("button[type=submit]")).focus();
}

function close() {
  const whole = panes.find((pane) => pane.figure.classList.contains("kyc-whole"));
  if (whole) return whole.whole();
  for (const details of document.querySelectorAll(".kyc-action[open]")) details.open = false;
  if (document.activeElement !== document.body) document.activeElement.blur();
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  const target = event.target instanceof Element ? event.target : document.body;
  const form = target.closest("form");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form?.closest(".kyc-action")) return form.requestSubmit();
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || keys?.open) return;
  if (event.key === "Escape") return close();
  if (isTyping(target)) return;
  const control = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (control) press(control);
  if (control || imageKey(event.key)) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-help]")) {
  button.hidden = false;
  button.addEventListener("click", () => keys.showModal());
}

// One form at a time: two open ones would both look like the one that counts.
for (const details of document.querySelectorAll(".kyc-action")) {
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    for (const other of document.querySelectorAll(".kyc-action[open]")) if (other !== details) other.open = false;
  });
}

// --- The whole number, without leaving the place on the page ---

document.querySelector("[data-show-number]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = form.querySelector("[data-said]");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { "X-Requested-With": "fetch" },
      redirect: "error",
    });
    if (!answer.ok) throw new Error(String(answer.status));
    document.querySelector("[data-number]").textContent = await answer.text();
    form.remove();
  } catch {
    said.textContent = "could not be shown; load the page again";
  }
});
