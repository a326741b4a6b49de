import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_shutdown

from flask_flagsmith_realtime import flags

from .shop import create_app, flagsmith

app = create_app()


class AppTask(Task):
    """A task with an app context of its own: it reads one state of the flags."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with app.app_context():
            return self.run(*args, **kwargs)


celery = Celery("shop", task_cls=AppTask, broker=os.environ["REDIS_URL"])
celery.conf.result_backend = os.environ["REDIS_URL"]


@worker_process_shutdown.connect
def stop(**_: Any) -> None:
    # Celery ends its processes without Python's exit handlers: this reports the usage that is left.
    flagsmith.stop(app)


@celery.task
def banner() -> Any:
    return flags.get_feature_value("banner_text")
