// Sends the page's forms in the background and updates the page when the emulator's state changes.
// Without this script the page works by reloading.
"use strict";

const POLL_MILLISECONDS = 1000;

// The HTML that the server last sent for each part, by its id. A part is replaced if that differs.
const sent = new Map();
let version = document.body.dataset.version;

document.documentElement.classList.add("script");
for (const part of document.querySelectorAll("[data-part]")) sent.set(part.id, part.outerHTML);

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const button = event.submitter;
  event.preventDefault();
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return;
  const body = new URLSearchParams(new FormData(form));
  if (button?.name) body.append(button.name, button.value);
  if (button?.classList.contains("switch")) {
    button.setAttribute("aria-checked", String(button.value === "on"));
  }
  form.classList.add("sending");
  try {
    const response = await fetch(form.action, { method: "POST", body });
    if (response.ok) {
      form.classList.remove("changed");
      if (form.classList.contains("add")) form.reset();
    }
    // A refused form keeps its fields, but a switch returns to its state.
    redraw(await response.text());
  } catch {
    showGone(true);
  }
  form.classList.remove("sending");
});

document.addEventListener("input", (event) => {
  event.target.form?.classList.add("changed");
});

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.form || event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
  if (event.key === "Escape") {
    field.form.reset();
    field.form.classList.remove("changed");
  }
});

setInterval(async () => {
  if (document.hidden) return;
  const known = version;
  try {
    const now = await (await fetch("/version")).text();
    if (now !== known) {
      const html = await (await fetch("/")).text();
      // What was drawn meanwhile may be newer.
      if (known === version) redraw(html);
    }
    showGone(false);
  } catch {
    showGone(true);
  }
}, POLL_MILLISECONDS);

function showGone(gone) {
  document.getElementById("gone").hidden = !gone;
}

function redraw(html) {
  const next = new DOMParser().parseFromString(html, "text/html");
  const focus = rememberFocus();
  for (const list of next.querySelectorAll("[data-list]")) arrange(list);
  for (const part of next.querySelectorAll("[data-part]")) replace(part);
  version = next.body.dataset.version;
  focus();
}

// Adds, removes and reorders the parts of a list as the server sent them.
function arrange(next) {
  const list = document.getElementById(next.id);
  const ids = new Set(Array.from(next.children, (part) => part.id));
  for (const part of Array.from(list.children)) {
    if (!ids.has(part.id)) {
      sent.delete(part.id);
      part.remove();
    }
  }
  let place = list.firstElementChild;
  for (const part of Array.from(next.children)) {
    const existing = document.getElementById(part.id);
    if (existing !== null && existing === place) {
      place = place.nextElementSibling;
      continue;
    }
    if (existing === null) sent.set(part.id, part.outerHTML);
    list.insertBefore(existing ?? document.importNode(part, true), place);
  }
}

function replace(next) {
  const part = document.getElementById(next.id);
  // A part with unsaved input stays as it is.
  if (sent.get(next.id) === next.outerHTML && !hasSwitched(part, next)) return;
  if (part.querySelector("form.changed")) return;
  sent.set(next.id, next.outerHTML);
  const fresh = document.importNode(next, true);
  for (const open of part.querySelectorAll("details[open]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  part.replaceWith(fresh);
}

// Returns whether a switch shows another state than the server sent.
function hasSwitched(part, next) {
  return Array.from(next.querySelectorAll(".switch")).some(
    (button) =>
      document.getElementById(button.id)?.getAttribute("aria-checked") !==
      button.getAttribute("aria-checked"),
  );
}

function rememberFocus() {
  const { id, selectionStart, selectionEnd } = document.activeElement ?? {};
  return () => {
    const field = id ? document.getElementById(id) : null;
    if (field === null || field === document.activeElement) return;
    field.focus({ preventScroll: true });
    if (typeof selectionStart === "number") field.setSelectionRange(selectionStart, selectionEnd);
  };
}
