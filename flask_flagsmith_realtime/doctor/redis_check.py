"""The doctor's trial of a fleet's operations on Redis."""

from __future__ import annotations

import dataclasses
import secrets
import time

from ..config import Config
from ..fleet import RedisStore, StoreError, new_version
from ..model import snapshot_of_flags
from ..monitoring import POLLING

#: The lock expires soon if the doctor is killed.
_LOCK_SECONDS = 10.0
_MESSAGE_SECONDS = 2.0


def check_operations(config: Config) -> None:
    """Runs each operation of a fleet once, under the keys of an environment that does not exist,
    and removes them.

    :raises StoreError: naming the operation that Redis refuses.
    """
    made_up = dataclasses.replace(config, environment_key=secrets.token_hex(16))
    store = RedisStore(made_up, _LOCK_SECONDS)
    store.use_normal_timeouts()
    try:
        with store.subscribe() as subscription:
            store.beat(POLLING)
            version = new_version()
            try:
                store.write(snapshot_of_flags(b"[]", None, time.time(), ""), version)
                store.read()
                store.leave_note(None)
                if subscription.wait(_MESSAGE_SECONDS) is None:
                    raise StoreError("its messages do not arrive")
            finally:
                store.discard(version)
                store.release()
    finally:
        store.close()
