import os
from typing import Any

from redis import Redis
from rq import Worker

from flask_flagsmith_realtime import flags

from .shop import create_app, flagsmith


class AppWorker(Worker):
    """Forks for each job, and runs it in an app context."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        with app.app_context():
            done: bool = super().perform_job(*args, **kwargs)
        # RQ ends the child without Python's exit handlers: this reports the usage that is left.
        flagsmith.stop(app)
        return done


def banner() -> Any:
    return flags.get_feature_value("banner_text")


if __name__ == "__main__":
    # Not above: for its jobs, RQ imports this file again.
    app = create_app()
    AppWorker(["default"], connection=Redis.from_url(os.environ["REDIS_URL"])).work()
