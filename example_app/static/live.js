// Updates the page without a reload.
//
// An event carries only the epoch of the new flags. The page is fetched again and every element
// marked data-live that differs is replaced. With several server processes, the one that answers may
// be behind the one that sent the event: then the page is fetched once more.

const RETRY_MS = 150;
const MOST_RETRIES = 30;

let wanted = 0; // the epoch of the last event
let again = false;
let busy = false;

async function refresh(epoch = 0) {
  wanted = epoch || wanted;
  again = true;
  if (busy) return;
  busy = true;
  try {
    for (let retries = 0; again && retries < MOST_RETRIES; retries++) {
      again = false;
      const response = await fetch(location.href, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (page.querySelector("[data-live]")) takeOver(page);
      if (Number(page.documentElement.dataset.epoch) < wanted) {
        again = true;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  } catch {
    // The server is unreachable. The event stream connects again when it is back.
  } finally {
    busy = false;
  }
}

function takeOver(page) {
  document.title = page.title;
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || fresh.isEqualNode(old)) continue;
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.replaceWith(fresh);
    if (focused) document.getElementById(focused)?.focus();
    if (fresh.dataset.live === "quietly") continue;
    flash(fresh.matches("ol") ? fresh.firstElementChild : fresh);
    if (fresh.id === "changes") speak(fresh.firstElementChild);
  }
}

function flash(element) {
  const glow = getComputedStyle(document.documentElement).getPropertyValue("--glow");
  const start = { boxShadow: `0 0 0 6px ${glow}` };
  // An element with a background colour, such as a button, keeps it.
  if (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") start.backgroundColor = glow;
  element.animate([start, { boxShadow: "0 0 0 6px transparent" }], { duration: 1600, easing: "ease-out" });
}

function speak(entry) {
  document.getElementById("spoken").textContent = entry.textContent;
}

function follow(url) {
  const events = new EventSource(url);
  events.onmessage = (event) => refresh(Number(event.data));
  events.onerror = () => {
    // The browser connects again by itself, unless the server refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5000, url);
  };
}

// A change of the visitor updates the page in place, too.
document.addEventListener("submit", async (event) => {
  if (!event.target.matches("#people")) return;
  event.preventDefault();
  const body = new FormData(event.target, event.submitter);
  await fetch(event.target.action, { method: "POST", body, redirect: "manual" });
  refresh();
});

follow(document.currentScript.dataset.events);
