// Shows what changed: flagsmith_live() dispatches an event on each element that it has updated.

const glow = getComputedStyle(document.documentElement).getPropertyValue("--glow");

document.addEventListener("flagsmith:refreshed", ({ target }) => {
  if ("quiet" in target.dataset) return;
  const element = target.matches("ol") ? target.firstElementChild : target;
  const start = { boxShadow: `0 0 0 6px ${glow}` };
  // An element with a background colour, such as a button, keeps it.
  if (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") start.backgroundColor = glow;
  element.animate([start, { boxShadow: "0 0 0 6px transparent" }], { duration: 1600, easing: "ease-out" });
  if (target.id === "changes") document.getElementById("spoken").textContent = element.textContent;
});

// The stream connects without a change of flags. So while it is not, the page asks.
setInterval(async () => {
  const line = document.getElementById("listening");
  if (document.hidden || line.matches(".live, .offline")) return;
  const text = await fetch(location.href).then((response) => response.text()).catch(String);
  const page = new DOMParser().parseFromString(text, "text/html");
  line.replaceWith(page.getElementById("listening") ?? line);
}, 2000);
