"""The environment of the benchmark of reading, of any number of features.

Of ten features, seven are the same for all identities, two are overridden for a segment, and one is
split by percentage. Ten are read: seven, two and one of each kind.
"""

from __future__ import annotations

from typing import Any

IDENTIFIER = "alice@example.com"
TRAITS: dict[str, Any] = {"plan": "pro", "age": 37, "country": "FR"}

OVERRIDES_A_SEGMENT = 5

#: The features that one request reads. All are enabled for Alice.
READ = tuple(f"feature_{number}" for number in range(0, 110, 11))[:10]


def is_overridden(number: int) -> bool:
    """Return whether a feature is enabled only for customers with the plan 'pro'."""
    return number % 10 in (3, 8)


def is_split(number: int) -> bool:
    """Return whether a feature has variants."""
    return number % 10 == 5


def document(features: int) -> dict[str, Any]:
    """Return the environment document."""
    states = [_state(number) for number in range(features)]
    overridden = [number for number in range(features) if is_overridden(number)]
    segments = [
        _segment(index, overridden[start : start + OVERRIDES_A_SEGMENT])
        for index, start in enumerate(range(0, len(overridden), OVERRIDES_A_SEGMENT), 1)
    ]
    return {
        "api_key": "ENVIRONMENT_ID",
        "name": "Production",
        "project": {"id": 1, "name": "Shop", "segments": segments},
        "feature_states": states,
        "identity_overrides": [],
        "updated_at": "2026-01-01T00:00:00+00:00",
    }


def _segment(number: int, overridden: list[int]) -> dict[str, Any]:
    rule = {
        "type": "ANY",
        "conditions": [{"operator": "EQUAL", "property_": "plan", "value": "pro"}],
        "rules": [],
    }
    overrides = [
        {**_state(number), "enabled": True, "feature_segment": {"priority": 0}}
        for number in overridden
    ]
    return {
        "id": number,
        "name": f"segment_{number}",
        "rules": [{"type": "ALL", "conditions": [], "rules": [rule]}],
        "feature_states": overrides,
    }


def _state(number: int) -> dict[str, Any]:
    return {
        "feature": {"id": number + 1, "name": f"feature_{number}", "type": "STANDARD"},
        "enabled": not is_overridden(number),
        "django_id": number + 1,
        "featurestate_uuid": f"{number:08d}-0000-4000-8000-000000000000",
        "feature_segment": None,
        "feature_state_value": f"value {number}",
        "multivariate_feature_state_values": [_variant(1, 30), _variant(2, 30)]
        if is_split(number)
        else [],
    }


def _variant(number: int, weight: float) -> dict[str, Any]:
    return {
        "id": number,
        "percentage_allocation": weight,
        "multivariate_feature_option": {"value": f"variant {number}", "key": f"v{number}"},
    }
