import os
from typing import Any

from redis import Redis
from rq import SimpleWorker

from flask_flagsmith_realtime import flags

from .shop import create_app


class AppWorker(SimpleWorker):
    """Runs jobs in this process, each in an app context."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        with app.app_context():
            return super().perform_job(*args, **kwargs)


def banner() -> Any:
    return flags.get_feature_value("banner_text")


if __name__ == "__main__":
    # Not above: for its jobs, RQ imports this file again.
    app = create_app()
    AppWorker(["default"], connection=Redis.from_url(os.environ["REDIS_URL"])).work()
