"""Reading with other libraries, each in its in-process or offline mode, without network.

Each function initializes a library with the environment of :mod:`.environment` and returns the
function that a view calls: it reads ten flags and counts those that are enabled.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from typing import Any

from .environment import IDENTIFIER, READ, TRAITS, document, is_overridden, is_split

Read = Callable[[], int]


class _Document:
    """Provides a document to the Flagsmith SDK's offline mode."""

    def __init__(self, features: int) -> None:
        self._document = document(features)

    def get_environment(self) -> Any:
        return self._document


def _flagsmith(features: int) -> Any:
    from flagsmith import Flagsmith

    return Flagsmith(offline_mode=True, offline_handler=_Document(features))


def dictionary(features: int) -> Read:
    """Read a dict: the lower limit."""
    flags = {f"feature_{number}": True for number in range(features)}
    return lambda: sum(flags[name] for name in READ)


def flagsmith_environment(features: int) -> Read:
    sdk = _flagsmith(features)

    def read() -> int:
        flags = sdk.get_environment_flags()
        return sum(flags.is_feature_enabled(name) for name in READ)

    return read


def flagsmith_identity(features: int) -> Read:
    sdk = _flagsmith(features)

    def read() -> int:
        flags = sdk.get_identity_flags(IDENTIFIER, TRAITS)
        return sum(flags.is_feature_enabled(name) for name in READ)

    return read


def growthbook(features: int) -> Read:
    from growthbook import GrowthBook

    def feature(number: int) -> dict[str, Any]:
        if is_overridden(number):
            rule: dict[str, Any] = {"condition": {"plan": "pro"}, "force": True}
        elif is_split(number):
            rule = {"variations": ["a", "b"], "weights": [0.5, 0.5], "hashAttribute": "id"}
        else:
            return {"defaultValue": True}
        return {"defaultValue": is_split(number), "rules": [rule]}

    all_features = {f"feature_{number}": feature(number) for number in range(features)}
    attributes = {"id": IDENTIFIER, **TRAITS}

    # One object for all requests, its fastest way: a new one copies all features.
    book = GrowthBook(features=all_features)

    def read() -> int:
        book.set_attributes(attributes)
        return sum(book.is_on(name) for name in READ)

    return read


def launchdarkly(features: int) -> Read:
    from ldclient import Context
    from ldclient.client import LDClient
    from ldclient.config import Config
    from ldclient.integrations.test_data import TestData

    logging.getLogger("ldclient").setLevel(logging.ERROR)
    data = TestData.data_source()
    for number in range(features):
        flag = data.flag(f"feature_{number}").boolean_flag()
        if is_overridden(number):
            flag = flag.if_match("plan", "pro").then_return(True).fallthrough_variation(False)
        data.update(flag.on(True))
    client = LDClient(Config("key", update_processor_class=data, send_events=False))
    builder = Context.builder(IDENTIFIER)
    for name, value in TRAITS.items():
        builder.set(name, value)
    context = builder.build()
    return lambda: sum(client.variation(name, context, False) for name in READ)


def unleash(features: int) -> Read:
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    def strategy(number: int) -> dict[str, Any]:
        constraints = [{"contextName": "plan", "operator": "IN", "values": ["pro"]}]
        if is_split(number):
            parameters = {"rollout": "100", "stickiness": "userId", "groupId": str(number)}
            return {"name": "flexibleRollout", "parameters": parameters}
        if is_overridden(number):
            return {"name": "default", "parameters": {}, "constraints": constraints}
        return {"name": "default", "parameters": {}}

    cache = FileCache("bench", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict(
        {
            "version": 2,
            "features": [
                {"name": f"feature_{number}", "enabled": True, "strategies": [strategy(number)]}
                for number in range(features)
            ],
        }
    )
    client = UnleashClient(
        "http://127.0.0.1:9/",
        "bench",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
        verbose_log_level=50,
    )
    client.initialize_client(fetch_toggles=False)
    context = {"userId": IDENTIFIER, "properties": {name: str(v) for name, v in TRAITS.items()}}
    return lambda: sum(client.is_enabled(name, context) for name in READ)


def openfeature(features: int) -> Read:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature_flagsmith.provider import FlagsmithProvider

    domain = f"bench-{features}"
    api.set_provider(FlagsmithProvider(_flagsmith(features)), domain)
    client = api.get_client(domain)
    context = EvaluationContext(attributes=dict(TRAITS))

    def read() -> int:
        return sum(client.get_boolean_value(name, False, context) for name in READ)

    return read


def openfeature_alone(features: int) -> Read:
    """Read from OpenFeature's in-memory provider."""
    from openfeature import api
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    domain = f"bench-alone-{features}"
    known = {f"feature_{n}": InMemoryFlag("on", {"on": True}) for n in range(features)}
    api.set_provider(InMemoryProvider(known), domain)
    client = api.get_client(domain)
    return lambda: sum(client.get_boolean_value(name, False) for name in READ)
