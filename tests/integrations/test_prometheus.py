"""Metrics for Prometheus: in one process, and in gunicorn's workers with multi-process mode."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import CollectorRegistry

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.integrations import prometheus
from tests.support.apps import MakeApp
from tests.support.paths import ROOT
from tests.support.programs import find_program
from tests.support.servers import Serve, gunicorn
from tests.support.waiting import PATIENCE_SECONDS, eventually

DASHBOARD = ROOT / "docs" / "_static" / "grafana-dashboard.json"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_metrics_follow_the_signals(
    make_app: MakeApp, emulator: Emulator, registry: CollectorRegistry
) -> None:
    app = make_app()
    prometheus.init_app(app, registry=registry, evaluations=True)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"app": app.name, **labels})

    with app.app_context():
        assert flags.is_feature_enabled("banner_text")
        flags.is_feature_enabled("banner_text")
        flags.is_feature_enabled("no_such_feature")
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    eventually(lambda: value("flagsmith_flag_changes_total", feature="banner_text") == 1)
    eventually(lambda: value("flagsmith_environment_epoch_seconds") == emulator.epoch)
    eventually(lambda: value("flagsmith_processes", state="live") == 1)
    eventually(lambda: value("flagsmith_processes", state="polling") == 0)
    assert value("flagsmith_refreshes_total", result="ok")
    assert value("flagsmith_last_refresh_timestamp_seconds")
    counted = {
        sample.labels["feature"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "flagsmith_evaluations_total"
    }
    assert counted == {"banner_text": 1}
    emulator.stop()
    FlagsmithRealtime().stop(app)
    FlagsmithRealtime().start(app)
    eventually(lambda: value("flagsmith_refreshes_total", result="failed"))


def test_apps_share_a_registry(
    make_app: MakeApp, emulator: Emulator, registry: CollectorRegistry
) -> None:
    apps = [make_app(), make_app()]
    for app in apps:
        with app.app_context():
            assert flags.epoch
        # Also after the first signals.
        prometheus.init_app(app, registry=registry)
        epoch = registry.get_sample_value("flagsmith_environment_epoch_seconds", {"app": app.name})
        assert epoch == emulator.epoch


def test_workers_of_gunicorn_are_summed(serve: Serve, emulator: Emulator, tmp_path: Path) -> None:
    server = serve(
        gunicorn("--workers", "2", app="tests.integrations.metrics_app:create_app()"),
        {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
    )
    server.wait_for_all(2, lambda answer: True)
    assert emulator.wait_for_streams(2)
    emulator.set_flag("banner_text", value="new")

    def value(pattern: str) -> float:
        text = requests.get(f"{server.url}/metrics", timeout=PATIENCE_SECONDS).text
        return sum(float(number) for number in re.findall(rf"^{pattern} (\S+)$", text, re.M))

    changes = r'flagsmith_flag_changes_total\{app="metered",feature="banner_text"\}'
    eventually(lambda: value(changes) == 2)
    live = r'flagsmith_processes\{app="metered",state="live"\}'
    eventually(lambda: value(live) == 2)
    # The oldest of all workers.
    epoch = r'flagsmith_environment_epoch_seconds\{app="metered"\}'
    eventually(lambda: value(epoch) == pytest.approx(emulator.epoch, abs=1e-3))
    assert server.stop() == 0


def queries_of_dashboard() -> dict[str, str]:
    """Return the queries of the dashboard's panels, for all apps, by title and letter."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']}, {target['refId']}": target["expr"].replace("$app", ".+")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def test_dashboard_shows_all_metrics(registry: CollectorRegistry) -> None:
    prometheus._Metrics(registry)
    names = {name for names in registry._collector_to_names.values() for name in names}
    known = {name for name in names if not name.endswith("_created")}
    shown = set(re.findall(r"\bflagsmith_\w+", " ".join(queries_of_dashboard().values())))
    counters = {name for name in known if f"{name}_total" in known}
    assert shown == known - counters


def test_dashboard_gets_its_figures_from_prometheus(
    serve: Serve, emulator: Emulator, tmp_path: Path
) -> None:
    started = time.time()
    multiprocess = tmp_path / "multiprocess"
    multiprocess.mkdir()
    server = serve(
        gunicorn("--workers", "2", app="tests.integrations.metrics_app:create_app()"),
        {"PROMETHEUS_MULTIPROC_DIR": str(multiprocess)},
    )
    server.wait_for_all(2, lambda answer: True)
    assert emulator.wait_for_streams(2)
    config = {
        "global": {"scrape_interval": "200ms"},
        "scrape_configs": [
            {
                "job_name": "shop",
                "static_configs": [{"targets": [server.url.removeprefix("http://")]}],
            }
        ],
    }
    (tmp_path / "prometheus.json").write_text(json.dumps(config))
    monitor = serve(
        [
            find_program("prometheus"),
            f"--config.file={tmp_path / 'prometheus.json'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
    )
    monitor.wait_for_output("Server is ready to receive web requests")
    address = monitor.wait_for_output(r"Listening on\W+address=(127\.0\.0\.1:\d+)")[1]

    def results(query: str) -> list[dict[str, Any]]:
        url = f"http://{address}/api/v1/query"
        answer = requests.get(url, {"query": query}, timeout=PATIENCE_SECONDS).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    queries = queries_of_dashboard()

    def values(title: str) -> dict[str, float]:
        return {
            " ".join(result["metric"].values()): float(result["value"][1])
            for result in results(queries[title])
        }

    # The first scrapes come before the change, as they usually do.
    eventually(lambda: values("Failed fetches, A") == {"": 0})
    emulator.set_flag("banner_text", value="new")
    eventually(lambda: values("Changes, A") == {"banner_text": 2})
    eventually(lambda: values("Processes by state, A").get("live") == 2)
    epoch_ms = pytest.approx(emulator.epoch * 1000, abs=10)
    eventually(lambda: values("Last change, A") == {"": epoch_ms})
    server.get("/")
    eventually(lambda: values("Most read features, A").get("true banner_text", 0) > 0)
    eventually(lambda: values("Fetches and stream connections, A").get("ok", 0) > 0)
    assert values("Fetches and stream connections, A").keys() == {"ok", "failed"}
    eventually(lambda: all(results(query) for query in queries.values()))
    # Rounded to milliseconds.
    assert 0 <= values("Age of the flags, A")[""] <= time.time() - started + 0.001
