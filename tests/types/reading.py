"""The types of reading flags. Each comment is the type checker's report for its line."""

from typing_extensions import reveal_type

from flask_flagsmith_realtime import Experiment, Flag, Flags, flags

reveal_type(flags)  # => flask_flagsmith_realtime.reading.flags.Flags
reveal_type(flags.epoch)  # => float | None
reveal_type(flags.is_feature_enabled("a"))  # => bool
reveal_type(flags.is_feature_enabled("a", default=True))  # => bool
reveal_type(flags.get_feature_value("a"))  # => str | int | float | None
reveal_type(flags.get_feature_value("a", default="b"))  # => str | int | float | None
reveal_type(flags.get_flag("a"))  # => flask_flagsmith_realtime.model.flag.Flag
reveal_type(flags.all_flags())  # => list[flask_flagsmith_realtime.model.flag.Flag]
reveal_type(flags["my-flag"])  # => flask_flagsmith_realtime.model.flag.Flag
reveal_type(flags.my_flag)  # => flask_flagsmith_realtime.model.flag.Flag
reveal_type("a" in flags)  # => bool
reveal_type(list(flags))  # => list[str]
reveal_type(flags.identity)  # => flask_flagsmith_realtime.model.identity.Identity | None
reveal_type(flags.get_experiment_flag("a"))  # => flask_flagsmith_realtime.model.flag.Flag
reveal_type(flags.read)  # => tuple[flask_flagsmith_realtime.model.flag.Flag, ...]
reveal_type(len(flags))  # => int

flag = flags["a"]
reveal_type(flag.feature_name)  # => str
reveal_type(flag.enabled)  # => bool
reveal_type(flag.value)  # => str | int | float | None
reveal_type(flag.feature_id)  # => int | None
reveal_type(flag.variant)  # => str | None
reveal_type(flag.is_default)  # => bool
reveal_type(flag.experiment)  # => flask_flagsmith_realtime.model.flag.Experiment | None
experiment: Experiment = Experiment(1, "colours", True)
reveal_type(experiment.in_experiment)  # => bool
reveal_type(Flag("a", enabled=True, value=1))  # => flask_flagsmith_realtime.model.flag.Flag

flags.is_feature_enabled(1)  # => error: arg-type
flags.is_feature_enabled("a", default="yes")  # => error: arg-type
flags.get_feature_value("a", default=[])  # => error: arg-type
flag.enabled = True  # => error: misc


def takes_flags(given: Flags) -> None: ...


takes_flags(flags)
