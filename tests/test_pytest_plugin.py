"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

pytest_plugins = "pytester"

CONFTEST = """
    import pytest
    from flask import Flask
    from flask_flagsmith_realtime import FlagsmithRealtime, flags

    @pytest.fixture(scope="session")
    def app():
        app = Flask("shop")
        app.config.update(TESTING=True, FLAGSMITH_STRICT=True,
                          FLAGSMITH_DEFAULTS={"new_checkout": False})
        FlagsmithRealtime(app)

        @app.get("/")
        def home():
            return "new" if flags.is_feature_enabled("new_checkout") else "old"

        @app.get("/typo")
        def typo():
            return "new" if flags.is_feature_enabled("new_chekout") else "old"

        return app
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with an app that lives as long as the run."""
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    return pytester


def test_flags_are_set_for_one_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_with(app, flagsmith_flags):
            client = app.test_client()
            assert client.get("/").text == "old"
            flagsmith_flags.set(new_checkout=True)
            assert client.get("/").text == "new"
            flagsmith_flags.clear()
            assert client.get("/").text == "old"
            flagsmith_flags.set({"new_checkout": True})
            assert client.get("/").text == "new"
            assert False, "fails with flags set"

        def test_after(app):
            assert app.test_client().get("/").text == "old"
        """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("*fails with flags set*")


def test_a_context_around_every_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from flask_flagsmith_realtime import flags

        @pytest.fixture(autouse=True)
        def context(app):
            # As pytest-flask does it.
            with app.test_request_context():
                assert not flags["new_checkout"]
                yield
                assert not flags["new_checkout"]

        def test_set(flagsmith_flags):
            flagsmith_flags.set(new_checkout=True)
            assert flags["new_checkout"]

        def test_set_by_a_fixture(app, flagsmith_flags, checkout):
            assert flags["new_checkout"]
            assert app.test_client().get("/").text == "new"

        @pytest.fixture
        def checkout(flagsmith_flags):
            flagsmith_flags.set(new_checkout=True)
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_unknown_flag_fails_the_test_by_name(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_typo(app, flagsmith_flags):
            flagsmith_flags.set(new_checkout=True)
            app.test_client().get("/typo")
        """
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*FeatureNotFoundError: *'new_chekout'*")


def test_live_server(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import threading
        from urllib.request import urlopen
        import pytest
        from werkzeug.serving import make_server

        @pytest.fixture
        def url(app):
            server = make_server("127.0.0.1", 0, app, threaded=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.port}/"
            server.shutdown()
            thread.join()
            server.server_close()

        def get(url):
            with urlopen(url, timeout=60) as answer:
                return answer.read()

        def test_live(url, flagsmith_flags):
            assert get(url) == b"old"
            flagsmith_flags.set(new_checkout=True)
            assert get(url) == b"new"
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_each_worker_of_xdist_has_its_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("on", [True, False] * 4)
        def test_it(app, flagsmith_flags, on):
            flagsmith_flags.set(new_checkout=on)
            assert app.test_client().get("/").text == ("new" if on else "old")
        """
    )
    result = project.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=8)


def test_without_an_app_the_error_shows_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(flagsmith_flags): pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*from the fixture 'app', which does not exist*"])


def test_an_app_of_another_type_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def app():
            return {}

        def test_it(flagsmith_flags): pass
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the fixture 'app', which is not a Flask app but builtins.dict*"])


def test_fixture_that_the_app_lacks_is_named_by_pytest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def app(database):
            return {}

        def test_it(flagsmith_flags): pass
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'database' not found"])


def test_other_projects_do_not_import_flask(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("flask_flagsmith_realtime")
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"flask", "flagsmith", "requests", "flask_flagsmith_realtime"}
        """
    )
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:xdist")
    result.assert_outcomes(passed=1)


def test_the_fixture_is_listed_with_its_purpose(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fixtures")
    result.stdout.fnmatch_lines(
        ["flagsmith_flags*", "*Override Flagsmith's features for one test: flagsmith_flags.set(*"]
    )
