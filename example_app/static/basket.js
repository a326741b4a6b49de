// The basket: rendered in the browser, with Flagsmith's JavaScript SDK on this shop's own API.

import flagsmith from "./vendor/flagsmith.mjs";

const RETRY_MS = 1000;
const basket = document.getElementById("basket");
const total = document.getElementById("total");
const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
let prices = {};

/** @param {object} options what flags.for_browser() returns: the flags, and where to follow them */
export async function start(options) {
  addEventListener("unhandledrejection", retry);
  await flagsmith.init({ ...options, onChange: render });
  basket.addEventListener("input", render);
  basket.hidden = false;
  render();
}

function render() {
  // A value that is not JSON leaves the prices as they are.
  prices = flagsmith.getValue("pricing", { json: true, fallback: prices }) ?? {};
  const delivery = flagsmith.hasFeature("free_delivery") ? 0 : Number(basket.dataset.delivery);
  let sum = 0;
  for (const field of basket.querySelectorAll("input")) {
    field.disabled = prices[field.name] === undefined;
    if (!field.disabled) sum += prices[field.name] * field.valueAsNumber || 0;
  }
  total.textContent = money.format(sum && sum + delivery);
}

/** The SDK does not handle that a fetch after an event fails, as while this shop restarts. */
function retry(event) {
  if (!(event.reason instanceof ProgressEvent)) return;
  event.preventDefault();
  setTimeout(() => flagsmith.getFlags(), RETRY_MS);
}
