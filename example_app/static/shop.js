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
