"""An app whose pages follow changes in all the ways that the documentation shows."""

from __future__ import annotations

import os
from typing import Any

from flask import (
    Flask,
    Response,
    redirect,
    render_template_string,
    request,
    send_from_directory,
    session,
)

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flags

flagsmith = FlagsmithRealtime()

_PAGE = """\
<!doctype html>
<title>Shop</title>
<meta http-equiv="Content-Security-Policy"
      content="script-src 'nonce-abc' 'unsafe-eval'; connect-src 'self'">
<script nonce="abc">
  window.events = [];
  document.addEventListener("flagsmith:change", (event) => events.push(event.detail));
</script>
<body>
{{ flagsmith_live(nonce="abc") }}
"""

_LIVE = (
    _PAGE
    + """\
<p id="pid">{{ pid }}</p>
<main id="main" data-flagsmith-live>
  <p id="banner">{{ flags.banner_text.value }}</p>
  {% if flags.new_checkout %}<p id="new">The new checkout</p>{% endif %}
  <input id="name" value="{{ flags.banner_text.value }}"><textarea id="note"></textarea>
  <details id="details">
    <summary>More</summary><p id="more">{{ flags.banner_text.value }}</p>
  </details>
  <form><input type="hidden" name="id" value="7"><input id="amount"></form>
  <div id="box" style="height: 50px; overflow: auto"><div style="height: 500px">Long</div></div>
</main>
<p data-flagsmith-live>{{ flags.banner_text.value }}</p>
<form id="order" data-flagsmith-live>
  <input type="hidden" name="id" value="7"><output>{{ flags.banner_text.value }}</output>
</form>
<p id="unmarked">{{ flags.banner_text.value }}</p>
"""
)

_HTMX = (
    _PAGE
    + """\
<script nonce="abc" src="/npm/htmx/package/dist/htmx.min.js"></script>
<p id="part" hx-get="/part" hx-trigger="flagsmith:change from:document"
   hx-vals="js:{epoch: event.detail.epoch}">{{ flags.banner_text.value }}</p>
"""
)

_TURBO = (
    """<script type="module" nonce="abc" src="/npm/turbo/package/dist/turbo.es2017-esm.js"></script>
"""
    + _PAGE
    + """\
<script type="module" nonce="abc">
  // Turbo cancels its own requests.
  addEventListener("unhandledrejection", (event) => {
    if (event.reason?.name === "AbortError") event.preventDefault();
  });
  document.addEventListener("flagsmith:change", (event) => {
    document.querySelector("#frame").src = `/frame?epoch=${event.detail.epoch}`;
  });
</script>
<p id="banner" data-flagsmith-live>{{ flags.banner_text.value }}</p>
<turbo-frame id="frame" src="/frame"></turbo-frame>
<a href="/turbo?page={{ request.args.get('page', '') }}1">Next</a>
"""
)

_SDK = """\
<!doctype html>
<title>SDK</title>
<script src="/npm/flagsmith/package/index.js"></script>
<p id="banner"></p>
<script>
  const banner = document.querySelector("#banner");
  const show = () => (banner.textContent = flagsmith.getValue("banner_text"));
  window.ready = flagsmith.init({
    ...{{ flags.for_browser(traits=True)|tojson }},
    enableAnalytics: true,
    onChange: show,
  });
</script>
"""


def create_app() -> Flask:
    """Make the app; its settings come from the environment."""
    app = Flask("live")
    app.secret_key = "of the tests"
    app.config.from_prefixed_env()
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.browser)

    @app.get("/live")
    def live() -> str:
        return render_template_string(_LIVE, pid=os.getpid())

    @app.get("/htmx")
    def htmx() -> str:
        return render_template_string(_HTMX)

    @app.get("/turbo")
    def turbo() -> str:
        return render_template_string(_TURBO)

    @app.get("/sdk")
    def sdk() -> str:
        return render_template_string(_SDK)

    @app.get("/part")
    def part() -> str:
        flagsmith.wait_for_epoch(request.args.get("epoch"), timeout=30)
        return str(flags["banner_text"].value)

    @app.get("/frame")
    def frame() -> str:
        flagsmith.wait_for_epoch(request.args.get("epoch"), timeout=30)
        return f'<turbo-frame id="frame">{flags["banner_text"].value}</turbo-frame>'

    @app.get("/login/<name>")
    def login(name: str) -> Any:
        session["name"] = name
        return redirect("/sdk")

    @app.get("/state")
    def state() -> dict[str, Any]:
        return {"pid": os.getpid(), "banner": flags["banner_text"].value, "epoch": flags.epoch}

    @app.get("/npm/<path:path>")
    def npm(path: str) -> Response:
        return send_from_directory(os.environ["NPM_PACKAGES"], path)

    return app


@flagsmith.identity_loader
def identity() -> Identity | None:
    """The visitor who has logged in."""
    name = session.get("name")
    return Identity(name, {"plan": "free"}) if name else None
