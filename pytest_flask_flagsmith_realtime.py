"""The pytest plugin of flask-flagsmith-realtime: the fixture ``flagsmith_flags``.

It lies beside the package: pytest imports its plugins in every project of the virtual environment,
and those without a Flask app should not import Flask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask_flagsmith_realtime.testing import FlagOverrides

_NO_APP = (
    "flagsmith_flags overrides features of the app under test. It takes the app from the fixture "
    "'app', which {problem}. Define it in conftest.py:\n\n"
    "    @pytest.fixture\n"
    "    def app():\n"
    "        return create_app(testing=True)"
)


@pytest.fixture
def flagsmith_flags(request: pytest.FixtureRequest) -> Iterator[FlagOverrides]:
    """Override Flagsmith's features for one test: flagsmith_flags.set(new_checkout=True)."""
    try:
        app = request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
        pytest.fail(_NO_APP.format(problem="does not exist"), pytrace=False)
    from flask import Flask

    from flask_flagsmith_realtime.testing import FlagOverrides

    if not isinstance(app, Flask):
        problem = f"is not a Flask app but {type(app).__module__}.{type(app).__qualname__}"
        pytest.fail(_NO_APP.format(problem=problem), pytrace=False)
    overrides = FlagOverrides(app)
    yield overrides
    overrides.clear()
