from typing import Any

from flask import Flask
from flask_caching import Cache

from flask_flagsmith_realtime import FlagsmithRealtime, flags


def cache_pages(app: Flask, flagsmith: FlagsmithRealtime) -> Cache:
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})

    @app.get("/cached")
    @cache.cached(timeout=3600, key_prefix="front-page")
    def front_page() -> str:
        return str(flags.get_feature_value("banner_text"))

    @flagsmith.on_change("banner_text")
    def forget(change: Any) -> None:
        cache.delete("front-page")

    return cache
