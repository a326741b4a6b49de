"""The error for a package that an integration needs."""

from __future__ import annotations


def missing_package(extra: str, requirement: str, error: ImportError) -> ModuleNotFoundError:
    """Returns the error that names what to install.

    :param extra: the integration's name, which is that of its extra as well.
    :param requirement: the package and its version, as in setup.cfg.
    :param error: the error of the import.
    """
    return ModuleNotFoundError(
        f"flask_flagsmith_realtime.integrations.{extra} needs {requirement} ({error}): "
        f"pip install 'flask-flagsmith-realtime[{extra}]'.",
        name=error.name,
    )
