from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from flask_flagsmith_realtime import flags


def schedule(app: Flask, banners: list[object]) -> BackgroundScheduler:
    scheduler = BackgroundScheduler()

    @scheduler.scheduled_job("interval", seconds=0.1)
    def collect() -> None:
        # A context for each run: it sees the flags of its start.
        with app.app_context():
            banners.append(flags.get_feature_value("banner_text"))

    scheduler.start()
    return scheduler
