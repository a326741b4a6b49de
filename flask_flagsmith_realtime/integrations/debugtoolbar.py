"""A panel for Flask-DebugToolbar: the flags that a request has read, and their reasons.

The toolbar makes a panel for each request. The reads lie in ``g``, so a request that reads no flag
pays nothing, and neither does an app without the toolbar.
"""

from __future__ import annotations

from datetime import datetime, timezone

from flask import Flask, current_app, g

from ..app_state import EXTENSION, state_of
from ..model import Flag, Identity
from ..signals import flag_evaluated
from ._extras import missing_package

try:
    from flask_debugtoolbar.panels import DebugPanel
except ImportError as error:
    raise missing_package("debugtoolbar", "flask-debugtoolbar >= 0.16", error) from None

__all__ = ["FlagsPanel"]

_READS = "_flagsmith_panel_reads"
_MOST_READS = 1000

_TEMPLATE = """
<h4>Snapshot</h4>
<table>
  <thead><tr>
    <th>State</th><th>Epoch</th><th>Age</th><th>Stream open since</th><th>Last error</th>
  </tr></thead>
  <tbody><tr>
    <td>{{ status.state }}</td>
    <td>{{ moment(status.epoch) }}</td>
    <td>
      {%- if status.age_seconds is not none %}{{ "%.1f"|format(status.age_seconds) }} s{% endif -%}
    </td>
    <td>{{ moment(status.stream_connected_since) }}</td>
    <td>{{ status.last_error or "" }}</td>
  </tr></tbody>
</table>
<h4>Read by this request</h4>
{% if reads %}
<table>
  <thead><tr>
    <th>Feature</th><th>State</th><th>Value</th><th>Variant</th><th>Reason</th><th>Identity</th>
  </tr></thead>
  <tbody>
  {% for flag, identity in reads %}
    <tr class="{{ loop.cycle('flDebugOdd', 'flDebugEven') }}">
      <td><code>{{ flag.feature_name }}</code></td>
      <td>{{ "on" if flag.enabled else "off" }}</td>
      <td>
        {%- if flag.value is not none %}<code>{{ flag.value|string|truncate(200) }}</code>
        {%- endif -%}
      </td>
      <td>{{ flag.variant or "" }}</td>
      <td>{{ flag.reason or "" }}</td>
      <td>
        {%- if identity %}{{ identity.identifier }} {{ dict(identity.traits) or "" }}
        {%- else %}the environment's{% endif -%}
      </td>
    </tr>
  {% endfor %}
  </tbody>
</table>
{% else %}
<p>No flag.</p>
{% endif %}
"""


def _remember(app: Flask, flag: Flag, identity: Identity | None, **_: object) -> None:
    """Keeps a read for the panel: a receiver of ``flag_evaluated``."""
    reads = g.setdefault(_READS, [])
    if len(reads) < _MOST_READS:
        reads.append((flag, identity))


class FlagsPanel(DebugPanel):
    """The panel. Add ``"flask_flagsmith_realtime.integrations.debugtoolbar.FlagsPanel"`` to
    ``DEBUG_TB_PANELS``."""

    name = "Flagsmith"
    has_content = True

    @classmethod
    def init_app(cls, app: Flask) -> None:
        """Begins to record what requests of an app read."""
        flag_evaluated.connect(_remember, sender=app)

    def nav_title(self) -> str:
        return "Flags"

    def nav_subtitle(self) -> str:
        if EXTENSION not in current_app.extensions:
            return "no flags in this app"
        count = len(_reads())
        return f"{count} read, {state_of(current_app).engine.status().state}"

    def title(self) -> str:
        return "Flagsmith's flags"

    def url(self) -> str:
        return ""

    def content(self) -> str:
        if EXTENSION not in current_app.extensions:
            return "<p>This app was not set up by FlagsmithRealtime.</p>"
        template = self.jinja_env.from_string(_TEMPLATE)
        status = state_of(current_app).engine.status()
        return template.render(status=status, reads=_reads(), moment=_describe_moment)


def _reads() -> list[tuple[Flag, Identity | None]]:
    reads: list[tuple[Flag, Identity | None]] = g.get(_READS, [])
    return reads


def _describe_moment(moment: float | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(" ", "seconds")
