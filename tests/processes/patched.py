"""An app in whose process gevent patches first."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

from tests.support.served import create_app  # noqa: E402

app = create_app()
