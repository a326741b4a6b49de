"""Documents in pages: put together, bounded, and never from another origin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_flagsmith_realtime.client import api as api_module
from flask_flagsmith_realtime.model import Snapshot
from tests.support.apis import MakeAPI, fetch_error
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Behaviour, Call
from tests.support.snapshots import document_in


def add_overrides(flagsmith: MisbehavingFlagsmith, count: int) -> None:
    def add(document: dict[str, Any]) -> None:
        (override,) = document["identity_overrides"]
        document["identity_overrides"] = [
            {**override, "identifier": f"user {number}"} for number in range(count)
        ]

    flagsmith.truth.edit(add)


def overridden(snapshot: Snapshot) -> list[str]:
    return [override["identifier"] for override in document_in(snapshot)["identity_overrides"]]


def test_pages_are_put_together(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    add_overrides(flagsmith, 5)
    flagsmith.environment_document.always(answers.pages(2))
    snapshot = make_api().fetch()
    assert overridden(snapshot) == [f"user {number}" for number in range(5)]
    assert snapshot.evaluation is not None
    identity = snapshot.evaluation.identity("user 4", {})
    assert snapshot.evaluation.evaluate_overrides(identity)["new_checkout"].enabled
    assert [call.path.partition("?")[2] for call in flagsmith.calls] == [
        "",
        "page_id=2",
        "page_id=4",
    ]


def test_a_change_between_two_pages_leaves_the_answer_old(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    add_overrides(flagsmith, 4)
    before = flagsmith.truth.version.epoch
    page = answers.pages(2)

    def page_and_change(call: Call) -> None:
        page(call)
        flagsmith.change("banner_text", value="changed meanwhile")

    flagsmith.environment_document.next(page_and_change, page)
    assert make_api().fetch().epoch == before


def test_a_first_page_without_overrides_takes_those_of_the_next(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    first = {**flagsmith.truth.version.document, "identity_overrides": None}
    link = {"Link": '<?page_id=1>; rel="next"'}
    flagsmith.environment_document.next(answers.body(json.dumps(first).encode(), link))
    assert overridden(make_api().fetch()) == ["alice@example.com"]


def linking(target: str) -> Behaviour:
    """The right document, whose next page is somewhere."""
    return lambda call: call.exchange.answer(
        200, call.truth.version.body, {"Link": f'<{target}>; rel="next"'}
    )


def test_the_key_does_not_follow_a_link_to_another_origin(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    for target in (flagsmith.elsewhere_url, "https://127.0.0.1/x", "http://[", "//example.org/"):
        flagsmith.environment_document.next(linking(target))
        assert "next page" in str(fetch_error(make_api()))
    assert flagsmith.elsewhere.count == 0
    assert len(flagsmith.calls) == 4


def test_pages_in_a_circle_are_fetched_once(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(linking("?page_id=1"), linking("?page_id=2"))
    flagsmith.environment_document.next(linking("?page_id=1"))
    assert "pages in a circle" in str(fetch_error(make_api()))
    assert len(flagsmith.calls) == 3


def test_the_number_of_pages_is_bounded(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    flagsmith.environment_document.always(answers.endless_pages)
    error = fetch_error(make_api())
    assert "more than 100 pages" in str(error)
    assert len(flagsmith.calls) == 100
    assert error.retry_after == 600


def test_all_pages_together_are_bounded(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_LARGEST_BODY_BYTES", 10 * 1024)
    flagsmith.environment_document.always(answers.endless_pages)
    assert "larger than" in str(fetch_error(make_api()))
    assert len(flagsmith.calls) == 3
