"""Browsers: a blueprint with an event stream for open pages, and Flagsmith's SDK API on the app's
own origin.

Views answer from the snapshot of this process. What a browser gets is decided in
:mod:`..reading.browser`; for whom, by the app's identity loader.
"""

from __future__ import annotations

from .blueprint import make_blueprint
from .waiting import wait_for_epoch

__all__ = ["make_blueprint", "wait_for_epoch"]
