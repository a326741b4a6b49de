"""A local Flagsmith, for demos, for tests, and for work without a network.

It has the endpoints and the answers of Flagsmith's API, the same stream, and a page to change flags
on. Run it with ``python -m flask_flagsmith_realtime.emulator``, or in a test:

.. code-block:: python

    with Emulator() as emulator:
        app.config.update(emulator.config)
        emulator.set_flag("new_checkout", enabled=True)
"""

from __future__ import annotations

from .command import main
from .document import DocumentError
from .edits import UNSET, EditError
from .emulator import Emulator
from .server import ServerError
from .state import StateFileError

__all__ = [
    "UNSET",
    "DocumentError",
    "EditError",
    "Emulator",
    "ServerError",
    "StateFileError",
    "main",
]
