"""Integrations with other packages: one module and one extra each, imported when the app imports
it.

- :mod:`.openfeature`: a provider for the OpenFeature SDK
- :mod:`.opentelemetry`: events and metrics
- :mod:`.prometheus`: metrics
- :mod:`.sentry`: flags and changes in errors
- :mod:`.debugtoolbar`: a panel for Flask-DebugToolbar

No other folder imports them.
"""

from __future__ import annotations

__all__: list[str] = []
