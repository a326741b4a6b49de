"""The shop under gunicorn.

``gunicorn --config python:example_app.gunicorn_conf 'example_app:create_app()'``
"""

from __future__ import annotations

# An open page takes a thread for its events.
worker_class = "gthread"
threads = 32
