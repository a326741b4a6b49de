"""A Flagsmith on raw sockets that fails as a test scripts it, and records all requests.

It listens on the loopback address, on free ports: one for the API, one for the stream, one for
'elsewhere', the target of redirects. The app under test may be in this process or in another one.
Without a script it works::

    with MisbehavingFlagsmith() as flagsmith:
        app.config.update(flagsmith.config)            # or flagsmith.environ for another process
        FlagsmithRealtime(app)
        flagsmith.wait_for_streams(1)
        flagsmith.change("new_checkout", enabled=False)
        flagsmith.wait_for(lambda: flagsmith.environment_document.count == 2)
        assert flagsmith.leaks == []

Each endpoint (``environment_document``, ``flags``, ``identities``, ``stream``, ``elsewhere``) takes
a script: behaviours for the next requests, and one for the rest. :mod:`.answers` has those of the
API, :mod:`.streams` those of the stream; any callable that takes a :class:`Call` is a behaviour::

    flagsmith.environment_document.next(answers.status(500), answers.html(502), answers.older(3))
    flagsmith.environment_document.always(answers.by_turns(answers.truth, answers.older(60)))
    flagsmith.stream.next(answers.status(503), Stream(chunked=False, greeting=None, lasts=1.0))
    flagsmith.stream.always(Stream(greeting=lambda epoch: epoch + 3600))
    flagsmith.stream_server.refuse()                   # …and listen() again; the port stays
    flagsmith.say(b": any bytes\\n\\n", END)             # to the streams that are open

``endpoint.requests`` records the requests: path, headers, time, connection, bytes sent in answer.
``change`` makes a new version of the environment with a new epoch; ``flagsmith.truth`` has all
versions.
"""

from . import answers
from .answers import Behaviour, Call
from .flagsmith import Endpoint, MisbehavingFlagsmith
from .streams import END, RECYCLED, RESET, SILENT, Stream, data_event, endless, event
from .truth import Truth, Version
from .wire import Exchange, GoneError, Request, Server

__all__ = [
    "END",
    "RECYCLED",
    "RESET",
    "SILENT",
    "Behaviour",
    "Call",
    "Endpoint",
    "Exchange",
    "GoneError",
    "MisbehavingFlagsmith",
    "Request",
    "Server",
    "Stream",
    "Truth",
    "Version",
    "answers",
    "data_event",
    "endless",
    "event",
]
