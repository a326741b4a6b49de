"""Endpoints that only old SDKs call, and that of a multivariate feature's options."""

from __future__ import annotations

from typing import Any

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.emulator.calls import call, stored_traits
from tests.support import recorded


class TestOldTraits:
    """The calls of old SDKs that store traits."""

    def test_one(self, emulator: Emulator) -> None:
        body = {"identity": {"identifier": "eve"}, "trait_key": "plan", "trait_value": "pro"}
        response = call(emulator, "traits/", json=body)

        assert response.status_code == 200
        assert stored_traits(emulator, "eve") == {"plan": "pro"}

    def test_several(self, emulator: Emulator) -> None:
        eve, ben = {"identifier": "eve"}, {"identifier": "ben"}
        body = [
            {"identity": eve, "trait_key": "plan", "trait_value": "pro"},
            {"identity": ben, "trait_key": "plan", "trait_value": None},
            {"identity": ben, "trait_key": "orders", "trait_value": 3},
        ]
        response = call(emulator, "traits/bulk/", method="PUT", json=body)

        assert response.json() == [
            {"identity": item["identity"], **item, "trait_key": item["trait_key"]} for item in body
        ]
        assert stored_traits(emulator, "eve") == {"plan": "pro"}
        assert stored_traits(emulator, "ben") == {"orders": 3}

    def test_an_empty_list(self, emulator: Emulator) -> None:
        response = call(emulator, "traits/bulk/", method="PUT", json=[])

        assert (response.status_code, response.json()) == (200, [])

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
            (
                {"trait_key": "plan", "identity": {}},
                {
                    "identity": {"identifier": ["This field is required."]},
                    "trait_value": ["This field is required."],
                },
            ),
            (
                {"trait_key": "plan", "trait_value": 1},
                {"identity": ["This field is required."]},
            ),
        ],
    )
    def test_an_invalid_one(self, emulator: Emulator, body: Any, errors: dict[str, Any]) -> None:
        response = call(emulator, "traits/", json=body)

        assert (response.status_code, response.json()) == (400, errors)

    def test_a_key_that_may_not(self) -> None:
        document = recorded.environment_document()
        document["allow_client_traits"] = False
        body = {"identity": {"identifier": "eve"}, "trait_key": "plan", "trait_value": "pro"}
        with Emulator(document=document) as emulator:
            response = call(emulator, "traits/", key=emulator.client_side_key, json=body)

        assert response.status_code == 400
        assert "not allowed with client key" in response.text


def test_the_options_of_a_feature(emulator: Emulator) -> None:
    known = call(emulator, "flags/4/multivariate-options/").json()

    assert known == {
        "control_value": "indigo",
        "options": [{"value": "teal"}, {"value": "crimson"}],
    }
    assert call(emulator, "flags/99/multivariate-options/").json() == {"detail": "Not found."}
