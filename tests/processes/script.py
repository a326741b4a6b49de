"""An app that runs as a script: ``python script.py [debug]``."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags

app = Flask(__name__)
app.config.from_prefixed_env()
FlagsmithRealtime(app)


@app.get("/")
def state() -> dict[str, Any]:
    return {"pid": 0, "banner": flags.get_feature_value("banner_text")}


if __name__ == "__main__":
    app.run(port=0, debug="debug" in sys.argv)
