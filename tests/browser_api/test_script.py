"""The script of open pages: how it is served, and how small it is."""

from __future__ import annotations

import re

from flask import render_template_string

from tests.support.browser_api import Shop

#: Pages load it from a cache, but once they have to fetch it.
MOST_BYTES = 5_000


def test_the_script_is_small_and_loads_nothing_else(shop: Shop) -> None:
    answer = shop.call("live.js")
    assert answer.mimetype == "text/javascript"
    assert len(answer.data) < MOST_BYTES
    assert not re.search(r"\bimport\b(?!\.meta)", answer.text)


def test_the_script_is_cached_by_its_version(shop: Shop) -> None:
    with shop.app.test_request_context():
        tag = render_template_string("{{ flagsmith_live() }}")
    version = tag.partition("live.js?v=")[2].partition('"')[0]
    assert "immutable" in shop.call(f"live.js?v={version}").headers["Cache-Control"]
    old = shop.call("live.js?v=old")
    assert old.headers["Cache-Control"] == "no-cache"
    same = shop.call("live.js", headers={"If-None-Match": old.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
