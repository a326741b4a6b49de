"""The doctor's question to Redis: whether it lets a process do all that a fleet does there."""

from __future__ import annotations

import dataclasses
import secrets
import time

from ..config import Config
from ..fleet.redis_store import RedisStore, StoreError, new_version
from ..model import snapshot_of_flags
from ..monitoring import POLLING

#: Nobody else knows the lock; it is gone soon should the doctor be cut off.
_LOCK_SECONDS = 10.0
_MESSAGE_SECONDS = 2.0


def check_operations(config: Config) -> None:
    """Lead, store, read, tell and listen, once, in the place of an environment that there is not.
    Nothing of it is left behind.

    :param config: the app's settings, with a Redis.
    :raises StoreError: saying what Redis refuses.
    """
    made_up = dataclasses.replace(config, environment_key=secrets.token_hex(16))
    store = RedisStore(made_up, _LOCK_SECONDS)
    store.use_normal_timeouts()
    try:
        with store.subscribe() as subscription:
            store.beat(POLLING)
            version = new_version()
            try:
                store.write(snapshot_of_flags([], None, time.time(), ""), version)
                store.read()
                store.tell(new_version())
                if subscription.wait(_MESSAGE_SECONDS) is None:
                    raise StoreError("its messages do not arrive")
            finally:
                store.discard(version)
                store.release()
    finally:
        store.close()
