"""``flask flagsmith browser-state``: what a browser gets, and what it must not have."""

from __future__ import annotations

import json

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from tests.support import recorded
from tests.support.commands import MakeCommandApp, run


def test_it_prints_what_a_browser_gets(make_quiet: MakeCommandApp, emulator: Emulator) -> None:
    result = run(make_quiet(), "browser-state", "--identity", "ann", "--trait", "plan=pro")
    state = json.loads(result.stdout)
    assert state["identity"] == "ann"
    assert state["environmentID"] == emulator.client_side_key
    assert "banner_text" in state["state"]["flags"]
    assert "pro" not in json.dumps(state["state"]["evaluationContext"])
    assert emulator.server_side_key not in result.output
    assert emulator.calls == {"environment-document/": 1}


def test_it_names_what_a_browser_must_not_have() -> None:
    document = recorded.environment_document()
    document["project"]["server_key_only_feature_ids"] = [
        state["feature"]["id"]
        for state in document["feature_states"]
        if state["feature"]["name"] == "pricing"
    ]
    with Emulator(document=document) as emulator:
        app = Flask("shop")
        app.config.update(emulator.config, FLAGSMITH_AUTOSTART=False)
        app.register_blueprint(FlagsmithRealtime(app).browser)
        result = run(app, "browser-state")
        named = run(app, "browser-state", "pricing")
    state = json.loads(result.stdout)
    assert state["api"] == "/flagsmith/browser/api/v1/"
    assert "pricing" not in result.stdout
    assert "Not in a browser: pricing: it is for server-side keys only." in result.stderr
    assert named.exit_code == 1
    assert "'pricing' cannot go to a browser" in named.stderr
