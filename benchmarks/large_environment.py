"""Environment documents of any size, as Flagsmith's API answers them."""

from __future__ import annotations

import json
import random
import uuid
from datetime import datetime, timezone
from typing import Any, NamedTuple

#: The feature whose value changes.
FEATURE = "feature_0"
CLIENT_SIDE_KEY = "ENVIRONMENT_ID"
SERVER_SIDE_KEY = "ser.SERVER_SIDE_KEY"

_OVERRIDES_A_SEGMENT = 2


class Size(NamedTuple):
    """The numbers that an environment's size is made of."""

    features: int
    segments: int
    overrides: int

    def __str__(self) -> str:
        return " x ".join(f"{number:,}" for number in self)


class LargeEnvironment:
    """An environment whose document can be written again and again.

    One feature in ten has two variants. Each segment has two conditions and overrides two features;
    each override of an identity is for one feature.
    """

    def __init__(self, size: Size) -> None:
        self._random = random.Random(1)
        self._document = self._make(size)

    def write(self, value: str, epoch: float) -> bytes:
        """Return the document as an answer of the API: the identity_uuids differ each time.

        :param value: the value of :data:`FEATURE`.
        :param epoch: the moment of the last change, in seconds since 1970.
        """
        document = self._document
        document["feature_states"][0]["feature_state_value"] = value
        document["updated_at"] = datetime.fromtimestamp(epoch, timezone.utc).isoformat()
        for override in document["identity_overrides"]:
            override["identity_uuid"] = self._uuid()
        return json.dumps(document, separators=(",", ":")).encode()

    def _make(self, size: Size) -> dict[str, Any]:
        features = size.features
        return {
            "id": 1,
            "api_key": CLIENT_SIDE_KEY,
            "name": "Production",
            "project": {
                "id": 1,
                "name": "Shop",
                "organisation": {"id": 1, "name": "Shop", "persist_trait_data": True},
                "hide_disabled_flags": False,
                "enable_realtime_updates": True,
                "server_key_only_feature_ids": [],
                "segments": [self._segment(number, features) for number in range(size.segments)],
            },
            "hide_sensitive_data": False,
            "hide_disabled_flags": None,
            "use_identity_composite_key_for_hashing": True,
            "use_identity_overrides_in_local_eval": True,
            "feature_states": [self._state(number, number) for number in range(features)],
            "identity_overrides": [
                self._override(number, features) for number in range(size.overrides)
            ],
        }

    def _segment(self, number: int, features: int) -> dict[str, Any]:
        conditions = [
            {"operator": "EQUAL", "value": "pro", "property_": "plan"},
            {"operator": "GREATER_THAN", "value": str(number), "property_": "age"},
        ]
        rule = {"type": "ALL", "rules": [], "conditions": conditions}
        first = number * _OVERRIDES_A_SEGMENT
        return {
            "id": number + 1,
            "name": f"segment_{number}",
            "rules": [{"type": "ALL", "rules": [rule], "conditions": []}],
            "feature_states": [
                {
                    **self._state((first + place) % features, 1_000_000 + first + place),
                    "feature_segment": {"priority": number},
                    "multivariate_feature_state_values": [],
                }
                for place in range(_OVERRIDES_A_SEGMENT)
            ],
        }

    def _override(self, number: int, features: int) -> dict[str, Any]:
        identifier = f"user_{number}@example.com"
        state = self._state(number % features, 2_000_000 + number)
        return {
            "identifier": identifier,
            "environment_api_key": CLIENT_SIDE_KEY,
            "created_date": "2026-01-01T00:00:00.000000+00:00",
            "identity_features": [state | {"multivariate_feature_state_values": []}],
            "identity_traits": [],
            "identity_uuid": "",
            "django_id": number + 1,
            "dashboard_alias": None,
            "composite_key": f"{CLIENT_SIDE_KEY}_{identifier}",
        }

    def _state(self, feature: int, number: int) -> dict[str, Any]:
        is_split = feature % 10 == 5
        return {
            "feature": {
                "id": feature + 1,
                "name": f"feature_{feature}",
                "type": "MULTIVARIATE" if is_split else "STANDARD",
            },
            "enabled": True,
            "django_id": number + 1,
            "feature_segment": None,
            "featurestate_uuid": self._uuid(),
            "feature_state_value": f"value {feature}",
            "multivariate_feature_state_values": (
                [self._variant(2 * feature + place) for place in (1, 2)] if is_split else []
            ),
        }

    def _variant(self, number: int) -> dict[str, Any]:
        return {
            "multivariate_feature_option": {"value": f"v{number}", "id": number, "key": None},
            "percentage_allocation": 30.0,
            "id": number,
            "mv_fs_value_uuid": self._uuid(),
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
