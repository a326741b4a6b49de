"""A fleet: many processes of one environment share one stream and one fetch, through Redis.

Importing this needs the package ``redis``, which is optional.
"""

from __future__ import annotations

from .follower import RedisSource
from .member import FleetMember
from .redis_client import check_url, redacted_url
from .redis_store import RedisStore, StoreError, new_version
from .shared import SharedFlags

__all__ = [
    "FleetMember",
    "RedisSource",
    "RedisStore",
    "SharedFlags",
    "StoreError",
    "check_url",
    "new_version",
    "redacted_url",
]
