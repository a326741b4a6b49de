"""The types of identities and of ``flag_required``."""

from flask import Flask
from flask.views import View
from typing_extensions import reveal_type

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flag_required, flags

app = Flask(__name__)
flagsmith = FlagsmithRealtime(app)

identity = Identity("alice", {"plan": "pro", "age": 37, "beta": True, "height": 1.7, "old": None})
reveal_type(identity)  # => flask_flagsmith_realtime.model.identity.Identity
reveal_type(identity.identifier)  # => str
reveal_type(identity.transient)  # => bool
Identity(1)  # => error: arg-type
Identity("alice", {"plan": ["pro"]})  # => error: dict-item
identity.identifier = "bob"  # => error: misc

reveal_type(flags.for_identity("alice"))  # => flask_flagsmith_realtime.reading.flags.Flags
beta = flags.for_identity("alice", {"plan": "pro"}, transient=True)
reveal_type(beta.segments)  # => tuple[str, ...]
reveal_type(flags.for_identity(identity))  # => flask_flagsmith_realtime.reading.flags.Flags


@flagsmith.identity_loader
def load() -> Identity | None:
    return identity


reveal_type(load())  # => flask_flagsmith_realtime.model.identity.Identity | None


@app.get("/")
@flag_required("beta", value="b", otherwise="old")
def view(name: str) -> str:
    return name


reveal_type(view("a"))  # => str


@app.get("/async")
@flag_required("beta", status=403, otherwise=view)
async def async_view() -> str:
    return ""


class ClassView(View):
    decorators = [flag_required("beta")]  # noqa: RUF012


flag_required("beta", status="404")  # => error: arg-type
