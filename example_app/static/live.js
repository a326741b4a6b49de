// Follows changes without a reload.
//
// An event says only that there is something new, and of which epoch. The page is then fetched again
// and every element marked data-live that differs is replaced. With several server processes, the
// one that answers may be a moment behind the one that told: then it is asked again.

const RETRY_MS = 150;
const MOST_RETRIES = 30;

let wanted = 0; // the epoch that was told last
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
    // The server is away. The event stream opens again when it is back, and says so.
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
  // What has a colour of its own, as the buttons have, shows it also meanwhile.
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
    // The browser tries again by itself, unless the server said no.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5000, url);
  };
}

// Becoming somebody else, too, changes the page where it is.
document.addEventListener("submit", async (event) => {
  if (!event.target.matches("#people")) return;
  event.preventDefault();
  const body = new FormData(event.target, event.submitter);
  await fetch(event.target.action, { method: "POST", body, redirect: "manual" });
  refresh();
});

follow(document.currentScript.dataset.events);
