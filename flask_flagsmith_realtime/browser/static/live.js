// @ts-check
// Open pages follow changes of flags.

const LIVE = "[data-flagsmith-live]:not([data-flagsmith-live] *)";
const url = new URL("events", import.meta.url).href;

/** @param {Document} page */
const epochOf = (page) => Number(page.getElementById("flagsmith-live")?.dataset.epoch);
/** @param {number} ms @param {(value: any) => void} act */
const later = (ms, act) => setTimeout(act, ms * (0.8 + 0.4 * Math.random()));
// Not node.id, which can be a field of a form.
const idOf = (node) => node.getAttribute?.("id");
const alike = (a, b) => a.nodeName === b.nodeName && idOf(a) === idOf(b);

let newest = epochOf(document) || 0;
let again, busy, source, channel, following, hiding;

/** @param {number | null} epoch null: a change without an epoch */
function learn(epoch) {
  if (epoch !== null && epoch <= newest) return;
  newest = epoch ?? newest;
  if (source) channel?.postMessage(epoch);
  refresh();
  document.dispatchEvent(new CustomEvent("flagsmith:change", { detail: { epoch } }));
}

/** Fetches the page until it is new enough: workers lag. */
async function refresh() {
  again = 14;
  if (busy) return;
  busy = true;
  for (let ms = 100; again && document.querySelector(LIVE); ms = Math.min(1.4 * ms, 9000)) {
    const left = again - 1;
    again = 0;
    const { href } = location;
    const text = await fetch(href, { cache: "no-store" }).then((r) => r.text()).catch(String);
    const page = new DOMParser().parseFromString(text, "text/html");
    if (href === location.href && epochOf(page) >= newest) update(page);
    else again = again || left;
    await new Promise((done) => later(ms, done));
  }
  busy = false;
}

/** @param {Document} page */
function update(page) {
  /** @type {any} */
  const focus = document.activeElement;
  const unnamed = page.querySelectorAll(`${LIVE}:not([id])`).values();
  for (const old of document.querySelectorAll(LIVE)) {
    const fresh = idOf(old) ? page.getElementById(idOf(old)) : unnamed.next().value;
    const changed = fresh && morph(old, fresh);
    changed?.dispatchEvent(new Event("flagsmith:refreshed", { bubbles: true }));
  }
  focus?.focus({ preventScroll: true });
}

/** Changes only what differs; returns the changed node. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (!alike(old, fresh)) return old.replaceWith(fresh), fresh;
  if (!old.attributes) return (old.nodeValue = fresh.nodeValue);
  for (const { name } of [...old.attributes, ...fresh.attributes]) {
    const value = fresh.getAttribute(name);
    if (name === "open") continue; // a visitor's choice
    if (value === null) old.removeAttribute(name);
    else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const rest = [...old.childNodes];
  for (const child of [...fresh.childNodes]) {
    const at = rest.findIndex((node, i) => alike(node, child) && (child.attributes || !i));
    const skipped = rest.splice(0, Math.max(at, 0));
    old.append(...skipped);
    rest.push(...skipped);
    if (at < 0) old.insertBefore(child, rest[0] ?? null);
    else morph(rest.shift(), child);
  }
  for (const node of rest) node.remove();
  return old;
}

function connect(ms = 1000) {
  source = new EventSource(`${url}?since=${newest || ""}`);
  source.onopen = () => (ms = 1000);
  source.addEventListener("environment_updated", ({ data }) => learn(JSON.parse(data).updated_at));
  // Unless refused, the browser reconnects by itself.
  source.onerror = () => source.readyState === 2 && poll(2 * ms);
}

/** Asks for the epoch until there is room for a connection. @param {number} ms */
async function poll(ms) {
  const { signal } = following;
  const { updated_at, stream } = await fetch(new URL("epoch", url), { signal })
    .then((r) => r.json())
    .catch(Object);
  if (updated_at) learn(updated_at);
  if (stream === false || ms > 30000) ms = 30000;
  later(ms, () => signal.aborted || (stream ? connect(ms) : poll(2 * ms)));
}

function follow() {
  if (following || document.hidden) return;
  const { signal } = (following = new AbortController());
  if (!navigator.locks) return connect();
  // The tab with the lock connects and tells others.
  channel = new BroadcastChannel(url);
  channel.onmessage = ({ data }) => {
    if (data !== "?") learn(data);
    else if (source) channel.postMessage(newest);
  };
  channel.postMessage("?");
  const lead = () => {
    connect();
    return new Promise((done) => (signal.onabort = done));
  };
  navigator.locks.request(url, { signal }, lead).catch(String);
}

function letGo() {
  following?.abort();
  source?.close();
  channel?.close();
  following = source = channel = undefined;
}

addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(letGo, 60000);
  else follow();
});
// Turbo can show an older page.
addEventListener("turbo:load", () => epochOf(document) < newest && refresh());
addEventListener("pagehide", letGo);
addEventListener("pageshow", follow);
follow();
